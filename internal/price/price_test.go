package price_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/price"
)

const head = "kind,region,part,name,price,currency,os,market,per,date,source\n"

func table(t *testing.T, text string) *price.Table {
	t.Helper()
	rows, err := price.Read("test.csv", strings.NewReader(head+text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return (&price.Table{}).With(rows)
}

const cloud = `cloud,north,machine,m1,0.1,USD,linux,on_demand,hour,2026-01-02,https://cloud.example/prices
cloud,north,machine,m1,0.15,USD,windows,on_demand,hour,2026-01-02,
cloud,*,machine,m1,0.2,USD,linux,on_demand,hour,,
cloud,north,machine,m1,0.03,USD,linux,spot,hour,,
cloud,*,machine,plain,0.5,USD,,on_demand,hour,,
cloud,north,core,flex,0.03,USD,,on_demand,hour,2025-05-05,
cloud,north,memory,flex,0.002,USD,,on_demand,hour,,
cloud,north,disk,ssd,0.073,USD,,on_demand,month,,
cloud,north,address,,0.005,USD,,on_demand,hour,,
cloud,north,disk,foreign,0.1,EUR,,on_demand,month,,
`

func TestQuote(t *testing.T) {
	t.Parallel()
	tab := table(t, cloud)
	for name, c := range map[string]struct {
		items []price.Item
		want  string
	}{
		"the region's own price": {[]price.Item{{Part: price.Machine, Name: "m1", Region: "north", OS: "linux"}}, "0.1 USD/h"},
		"the price of all":       {[]price.Item{{Part: price.Machine, Name: "m1", Region: "south", OS: "linux"}}, "0.2 USD/h"},
		"Windows costs more":     {[]price.Item{{Part: price.Machine, Name: "m1", Region: "north", OS: "windows"}}, "0.15 USD/h"},
		"Windows is not Linux": {
			[]price.Item{{Part: price.Machine, Name: "m1", Region: "south", OS: "windows"}},
			"unknown (no price for machine m1 with Windows in south)",
		},
		"whatever the system": {[]price.Item{{Part: price.Machine, Name: "plain", Region: "south", OS: "windows"}}, "0.5 USD/h"},
		"spot":                {[]price.Item{{Part: price.Machine, Name: "m1", Region: "north", OS: "linux", Market: price.Spot}}, "0.03 USD/h"},
		"spot is not on demand": {
			[]price.Item{{Part: price.Machine, Name: "m1", Region: "south", OS: "linux", Market: price.Spot}},
			"unknown (no price for machine m1 (spot) in south)",
		},
		"a sum": {[]price.Item{
			{Part: price.Machine, Name: "m1", Region: "north", OS: "linux"},
			{Part: price.Disk, Name: "ssd", Region: "north", Quantity: 100},
			{Part: price.Address, Region: "north"},
		}, "0.115 USD/h"}, // 0.1 + 100 × 0.073 / 730 + 0.005
		"what it is made of": {[]price.Item{{Part: price.Machine, Name: "flex-4", Region: "north", Of: []price.Item{
			{Part: price.Core, Name: "flex", Region: "north", Quantity: 4}, {Part: price.Memory, Name: "flex", Region: "north", Quantity: 16},
		}}}, "0.152 USD/h"},
		"not of what has no price": {[]price.Item{{Part: price.Machine, Name: "flex-4", Region: "south", Of: []price.Item{
			{Part: price.Core, Name: "flex", Region: "south", Quantity: 4},
		}}}, "unknown (no price for machine flex-4 in south)"},
		"a part without a price": {[]price.Item{
			{Part: price.Machine, Name: "m1", Region: "north", OS: "linux"}, {Part: price.GPU, Name: "g", Region: "north"},
		}, "at least 0.1 USD/h (no price for gpu g in north)"},
		"how much disk": {[]price.Item{
			{Part: price.Machine, Name: "m1", Region: "north", OS: "linux"}, {Part: price.Disk, Name: "ssd", Region: "north", Quantity: price.Unsaid},
		}, "at least 0.1 USD/h (no price for disk ssd in north (how much is not known))"},
		"a disk is no machine": {[]price.Item{
			{Part: price.Machine, Name: "m2", Region: "north"}, {Part: price.Disk, Name: "ssd", Region: "north", Quantity: 10},
		}, "unknown (no price for machine m2 in north)"},
		"another currency": {[]price.Item{
			{Part: price.Machine, Name: "m1", Region: "north", OS: "linux"}, {Part: price.Disk, Name: "foreign", Region: "north", Quantity: 10},
		}, "at least 0.1 USD/h (no price for disk foreign in north in USD (its price is in EUR))"},
		"nothing told": {nil, "unknown (no price for machine)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := tab.Quote("cloud", c.items)
			if got := q.String(); got != c.want {
				t.Errorf("the quote is %q, want %q", got, c.want)
			}
			if other := tab.Quote("other", c.items); other.PerHour != nil {
				t.Errorf("another kind has a price, too: %s", other)
			}
			if q.Known() != (len(q.Missing) == 0) {
				t.Errorf("known is %v with %v missing", q.Known(), q.Missing)
			}
		})
	}
	if q := (*price.Table)(nil).Quote("cloud", []price.Item{{Part: price.Machine, Name: "m1"}}); q.PerHour != nil {
		t.Errorf("no table has a price: %s", q)
	}
}

// TestOverride shows that an operator's price wins, however little it says of
// region and system.
func TestOverride(t *testing.T) {
	t.Parallel()
	rows, err := price.Read("own.csv", strings.NewReader("kind,region,part,name,price,currency\ncloud,*,machine,m1,0.05,EUR\n"), []string{"cloud"})
	if err != nil {
		t.Fatal(err)
	}
	q := table(t, cloud).With(rows).Quote("cloud", []price.Item{{Part: price.Machine, Name: "m1", Region: "north", OS: "linux"}})
	if q.String() != "0.05 EUR/h" || !q.Overridden() || q.Lines[0].Origin != price.FromTable {
		t.Errorf("the quote is %s, its line %+v", q, q.Lines[0])
	}
	list, err := price.List()
	if err != nil {
		t.Fatal(err)
	}
	if q := list.Quote("digital_ocean", []price.Item{{Part: price.Machine, Name: "s-2vcpu-4gb", Region: "fra1"}}); q.Overridden() || q.Lines[0].Origin != price.FromList {
		t.Errorf("a list price is shown as another one: %+v", q.Lines[0])
	}
}

func TestBill(t *testing.T) {
	t.Parallel()
	tab := table(t, cloud)
	known := tab.Quote("cloud", []price.Item{{Part: price.Machine, Name: "m1", Region: "north", OS: "linux"}})
	unknown := tab.Quote("cloud", []price.Item{{Part: price.Machine, Name: "m9", Region: "north"}})
	var b price.Bill
	if b.String() != "nothing" {
		t.Errorf("an empty bill is %q", b)
	}
	b.Add(unknown, 2)
	if b.String() != "unknown" {
		t.Errorf("a bill of machines without prices is %q", b)
	}
	b.Add(known, 3)
	b.Add(price.Fixed("x", 2, "EUR", price.FromProvider), 1)
	want := price.Bill{Machines: 6, Unknown: 2, Amounts: []price.Amount{
		{Currency: "EUR", PerHour: 2, Per30Days: 1440}, {Currency: "USD", PerHour: 0.3, Per30Days: 216},
	}}
	if diff := cmp.Diff(want, b); diff != "" {
		t.Errorf("bill (-want +got):\n%s", diff)
	}
	if got, want := b.String(), "2 EUR/h + 0.3 USD/h (2 machines have no full price)"; got != want {
		t.Errorf("the bill is %q, want %q", got, want)
	}
	after := b.Clone()
	after.Add(known, -1)
	if b.Amounts[1].PerHour != 0.3 || after.Amounts[1].PerHour != 0.2 {
		t.Errorf("a clone shares its amounts: %v and %v", b, after)
	}
}

func TestFigure(t *testing.T) {
	t.Parallel()
	for f, want := range map[float64]string{0: "0", 0.1: "0.1", 12: "12", 0.00595: "0.00595", 1.23456: "1.2346", 0.000123456: "0.0001235", 1000.5: "1000.5"} {
		if got := price.Figure(f); got != want {
			t.Errorf("%v is written %q, want %q", f, got, want)
		}
	}
}

// TestMistakes reads tables that cannot be used, and wants to be told line,
// value and remedy of everything that is wrong.
func TestMistakes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		says []string
	}{
		"empty":            {"", []string{"own.csv is empty", "kind,region,part"}},
		"no header":        {"cloud,*,machine,m1,0.05,EUR\n", []string{`column "cloud" is not known`}},
		"a column lacks":   {"kind,region,part,name,price\n", []string{`column "currency" is missing`}},
		"a column twice":   {"kind,region,part,name,price,currency,kind\n", []string{`column "kind" is there twice`}},
		"fields":           {head + "cloud,*,machine\n", []string{"own.csv:2: has 3 fields"}},
		"an open quote":    {head + "cloud,*,machine,\"m1\n", []string{"own.csv"}},
		"everything wrong": {head + "Cloud!,,thing,m,-1,euro,bsd,auction,year,yesterday,\n", []string{`"Cloud!"`, "region: is empty", `"thing"`, `"-1"`, `"euro"`, `"bsd"`, `"auction"`, `"year"`, `"yesterday"`}},
		"not a number":     {head + "cloud,*,machine,m,NaN,EUR,,,,,\n", []string{`own.csv:2: price: "NaN" is no price`}},
		"too much":         {head + "cloud,*,machine,m,1e9,EUR,,,,,\n", []string{`price: "1e9" is no price`}},
		"unknown kind":     {head + "clowd,*,machine,m,1,EUR,,,,,\n", []string{`kind: "clowd" is not known`}},
		"twice":            {head + "# a note\ncloud,*,machine,m,1,EUR,,,,,\ncloud,*,machine,m,2,EUR,,,,,\n", []string{"own.csv:4: is the price of the same thing as line 3"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rows, err := price.Read("own.csv", strings.NewReader(c.text), []string{"cloud", "Cloud!"})
			if err == nil {
				t.Fatalf("it was read: %+v", rows)
			}
			for _, want := range c.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q:\n%v", want, err)
				}
			}
		})
	}
	if _, err := price.Read("big.csv", strings.NewReader(head+"# "+strings.Repeat("x", price.MaxTable)+"\n"), nil); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("a table that is too large: %v", err)
	}
}
