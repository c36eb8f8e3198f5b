package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/headroom-dev/headroom/internal/client"
	"github.com/headroom-dev/headroom/internal/price"
)

const priceRemedy = "set prices in the VM provider, or give a table to serve --price-table"

func (a *app) costCommand() *cobra.Command {
	var o getOptions
	cmd := &cobra.Command{
		Use: "cost", GroupID: groupLook, Args: exactly(),
		Short: "Show what the machines cost that exist now",
		Long: `Show what the machines cost that exist now, by autoscale config, provider and
size, for an hour and for 30 days.

A price is the one that the VM provider sets, else that of the table which was
given to serve --price-table, else the vendor's list price, without discounts and
taxes. What has no price is unknown and not in the sums. Currencies are summed
apart.`,
		Example: "  headroom cost\n  headroom cost --pool desktops -o json",
	}
	cmd.Flags().StringVar(&o.pool, "pool", "", "only this pool")
	cmd.Flags().BoolVar(&o.noHeaders, "no-headers", false, "print no header")
	outputFlag(cmd, &o.output)
	a.completeFlag(cmd, "pool", poolKind())
	cmd.RunE = a.with(func(ctx context.Context, c *client.Client, _ []string) error {
		r, err := c.Costs(ctx, o.pool)
		if err != nil {
			return err
		}
		return a.print(o.output, r, func() error { return a.printCosts(r, o) })
	})
	return cmd
}

func (a *app) printCosts(r *client.CostReport, o getOptions) error {
	k := kind{plural: "machines", columns: []column{
		{title: "POOL"},
		{title: "CONFIG", drop: 3},
		{title: "PROVIDER"},
		{title: "OFFER", drop: 1, flex: true},
		{title: "MACHINES"},
		{title: "PRICE/H"},
		{title: "COST/H"},
		{title: "COST/30D"},
		{title: "FROM", drop: 2},
	}}
	var items []item
	var missing []string
	for _, m := range r.Machines {
		if m.Cost.Machines == 0 {
			continue
		}
		missing = append(missing, m.Price.Missing...)
		hour, month := "unknown", "unknown"
		if len(m.Cost.Amounts) > 0 { // of one price there is one currency
			hour, month = amount(m.Cost.Amounts[0].PerHour, m.Price), amount(m.Cost.Amounts[0].Per30Days, m.Price)
		}
		items = append(items, item{value: m, cells: func(time.Time) []string {
			return []string{
				m.Pool, dash(m.AutoscaleConfig), m.VMProvider, dash(m.Offer), strconv.FormatInt(m.Cost.Machines, 10),
				eachPrice(m.Price), hour, month, dash(origins(m.Price)),
			}
		}})
	}
	if err := a.printItems(k, items, o, false); err != nil || len(items) == 0 {
		return err
	}
	var hour, month []string
	for _, t := range r.Total.Amounts {
		hour = append(hour, price.Figure(t.PerHour)+" "+t.Currency)
		month = append(month, money(t.Per30Days)+" "+t.Currency)
	}
	total := "what they cost is not known"
	if len(hour) > 0 {
		total = fmt.Sprintf("%s an hour, %s in 30 days", strings.Join(hour, " + "), strings.Join(month, " + "))
	}
	if _, err := fmt.Fprintf(a.out, "\n%s: %s\n", count(int(r.Total.Machines), "machine"), total); err != nil {
		return err
	}
	if r.Total.Unknown > 0 {
		slices.Sort(missing)
		_, err := fmt.Fprintf(a.out, "%s without a full price: no price for %s; %s\n",
			count(int(r.Total.Unknown), "machine"), oneLine(strings.Join(slices.Compact(missing), ", ")), priceRemedy)
		return err
	}
	return nil
}

// eachPrice is what one machine costs by the hour, in short.
func eachPrice(q price.Quote) string {
	if q.PerHour == nil {
		return "unknown"
	}
	return amount(*q.PerHour, q)
}

// amount marks a sum from which something is missing.
func amount(f float64, q price.Quote) string {
	text := money(f) + " " + q.Currency
	if len(q.Missing) > 0 {
		return "≥ " + text
	}
	return text
}

// money leaves out digits that nobody reads in larger sums.
func money(f float64) string {
	if f >= 100 {
		return strconv.FormatFloat(f, 'f', 2, 64)
	}
	return price.Figure(f)
}

// origins says where the prices of a quote are from.
func origins(q price.Quote) string {
	var out []string
	for _, l := range q.Lines {
		text := ""
		switch l.Origin {
		case price.FromProvider:
			text = "VM provider"
		case price.FromTable:
			text = strings.TrimSpace("price table " + l.Date)
		case price.FromList:
			text = "list " + l.Date
		case price.FromCloud:
			text = "the cloud"
		case price.ByHand:
			text = "by hand"
		}
		if text != "" && !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return strings.Join(out, ", ")
}

// planPrice is the price of a planned machine, behind what it is.
func planPrice(c client.PlanCost, provider string) string {
	for _, p := range c.Providers {
		switch {
		case p.Provider != provider:
		case p.Price.PerHour == nil:
			return ", price unknown"
		case len(p.Price.Missing) > 0:
			return fmt.Sprintf(", at least %s %s/h each", price.Figure(*p.Price.PerHour), p.Price.Currency)
		default:
			return fmt.Sprintf(", %s %s/h each", price.Figure(*p.Price.PerHour), p.Price.Currency)
		}
	}
	return ""
}

// writePlanCost says what a pool costs before and after.
func writePlanCost(b *strings.Builder, c client.PlanCost) {
	if c.Now.Machines == 0 && c.After.Machines == 0 {
		return
	}
	fmt.Fprintf(b, "  cost: %s now", c.Now)
	if c.After.String() != c.Now.String() {
		fmt.Fprintf(b, "; %s when this is done", c.After)
	}
	b.WriteString("\n")
	for _, p := range c.Providers {
		if len(p.Price.Missing) > 0 {
			fmt.Fprintf(b, "  no price for %s of provider %s: %s\n", oneLine(strings.Join(p.Price.Missing, ", ")), p.Provider, priceRemedy)
		}
	}
}

func (a *app) providerPrice() *cobra.Command {
	var o getOptions
	var files draftFlags
	cmd := &cobra.Command{
		Use: "price NAME | -f FILE", Args: cobra.MaximumNArgs(1), Short: "Say what a machine of a VM provider costs",
		Long: `Say what a machine of a VM provider config costs by the hour, for each size and
place in the order in which they are tried, line by line, with the date and the
origin of each price. Nothing is created.

` + draftLong,
		Example: "  headroom provider price frankfurt\n  headroom provider price -f providers.yaml -o json", ValidArgsFunction: a.completeNames(vmProviderKind()),
	}
	files.add(cmd)
	cmd.Flags().BoolVar(&o.noHeaders, "no-headers", false, "print no header")
	outputFlag(cmd, &o.output)
	cmd.RunE = a.with(func(ctx context.Context, c *client.Client, args []string) error {
		d, err := a.draft(files, args)
		if err != nil {
			return err
		}
		prices, err := c.PriceProvider(ctx, d)
		if err != nil {
			return err
		}
		return a.print(o.output, prices, func() error { return a.printPrices(prices, o) })
	})
	return cmd
}

func (a *app) printPrices(prices []client.OfferPrice, o getOptions) error {
	k := kind{plural: "prices", columns: []column{
		{title: "OFFER"},
		{title: "PART"},
		{title: "NAME", flex: true},
		{title: "AMOUNT"},
		{title: "PRICE"},
		{title: "AN HOUR"},
		{title: "FROM", drop: 1},
		{title: "SOURCE", drop: 2, flex: true},
	}}
	var items []item
	add := func(cells ...string) {
		items = append(items, item{cells: func(time.Time) []string { return cells }})
	}
	for _, p := range prices {
		for _, l := range p.Price.Lines {
			unit, hour := "unknown", "unknown"
			if l.Price != nil {
				unit = fmt.Sprintf("%s %s/%s", price.Figure(*l.Price), l.Currency, l.Per)
			}
			if l.PerHour != nil {
				hour = price.Figure(*l.PerHour) + " " + l.Currency
			}
			quantity := "?"
			if l.Quantity > 0 {
				quantity = strconv.FormatFloat(l.Quantity, 'f', -1, 64)
			}
			from := origins(price.Quote{Lines: []price.Line{l}})
			add(dash(p.Offer), string(l.Part), dash(l.Name), quantity, unit, hour, dash(from), dash(l.Source))
		}
		if len(p.Price.Lines) != 1 || p.Price.PerHour == nil {
			add(dash(p.Offer), "total", "-", "-", "-", eachPrice(p.Price), "-", "-")
		}
	}
	if err := a.printItems(k, items, o, false); err != nil {
		return err
	}
	var missing []string
	for _, p := range prices {
		missing = append(missing, p.Price.Missing...)
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		a.say("no price for %s: %s\n", oneLine(strings.Join(slices.Compact(missing), ", ")), priceRemedy)
	}
	return nil
}
