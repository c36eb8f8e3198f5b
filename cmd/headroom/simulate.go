package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
	"golang.org/x/sync/errgroup"

	"github.com/headroom-dev/headroom/internal/app"
	"github.com/headroom-dev/headroom/internal/cli"
	"github.com/headroom-dev/headroom/internal/client"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/all"
	"github.com/headroom-dev/headroom/internal/service"
	"github.com/headroom-dev/headroom/internal/simulate"
)

// simulation is the command line of a back-test.
type simulation struct {
	configs, boots, shapes, prices []string
	demand, history, pool          string
	start, patience, warmUp        string
	bootLaw, priceFile             string
	priceTable, currency           string
	exportTo, out, format          string
	seed                           uint64
}

var currencyRule = regexp.MustCompile(`^[A-Z]{3}$`)

const simulateLong = `Let a demand meet one policy or several, on virtual time, and compare how long
people would have waited and what the machines would have cost. The planner, the
control loops, the rules of claims and the database are those of the running
system; every cloud is replaced by a simulated one. Nothing real is touched.

Each --config is one policy: a manifest file, or several with commas between
them, with NAME= before it if its file name is no good name. The demand is a CSV
file, or what a running controller remembers of its sessions (--from-history).

The columns of the CSV file are at and duration, and where wanted pool, cores,
memory, gpus, user and zone. at is RFC 3339 or seconds from --start; duration is
how long the session is used once it is served (90s, 45m).`

func newSimulate(streams cli.Streams) func(connect func() (*client.Client, error)) *cobra.Command {
	return func(connect func() (*client.Client, error)) *cobra.Command {
		var s simulation
		cmd := &cobra.Command{
			Use: "simulate", Short: "Compare policies under a recorded or imagined demand", Long: simulateLong,
			Example: `  headroom simulate --config examples/desktops.yaml --demand examples/demand.csv
  headroom simulate --config small=a.yaml --config large=b.yaml --demand monday.csv --out report.html
  headroom simulate --config base.yaml,new-policy.yaml --from-history 14d --price aws=0.12/h
  headroom simulate --from-history 14d --export-demand demand.csv`,
			Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return s.run(cmd.Context(), connect, streams.Out) },
		}
		f := cmd.Flags()
		f.StringArrayVar(&s.configs, "config", nil, "policy: [NAME=]FILE[,FILE...]; repeatable")
		f.StringVar(&s.demand, "demand", "", "CSV file with the demand")
		f.StringVar(&s.history, "from-history", "", "take the demand from the sessions of the running controller since so long ago, for example 14d")
		f.StringVar(&s.pool, "pool", "", "only the demand for this pool")
		f.StringVar(&s.exportTo, "export-demand", "", "write the demand to this CSV file; without --config nothing else is done")
		f.StringVar(&s.start, "start", "2026-03-02T00:00:00Z", "moment from which seconds in the demand count; schedules see it")
		f.Uint64Var(&s.seed, "seed", 1, "what is left to chance is drawn from it; the same seed gives the same result")
		f.StringArrayVar(&s.boots, "boot", nil, "time until a machine is ready: 90s, or PROVIDER=90s; repeatable (default: boot_time of the provider's settings, else 90s)")
		f.StringVar(&s.bootLaw, "boot-law", simulate.BootLaws()[0], "how the times of --boot are distributed: "+strings.Join(simulate.BootLaws(), "|"))
		f.StringArrayVar(&s.shapes, "shape", nil, "what a machine offers: PROVIDER=4cores,16Gi,1gpu; repeatable (default: what the provider's settings say)")
		f.StringArrayVar(&s.prices, "price", nil, "price of a machine: PROVIDER=0.12/h; repeatable")
		f.StringVar(&s.priceFile, "prices", "", "YAML file with prices like those of --price: a mapping of providers to prices")
		f.StringVar(&s.currency, "currency", provider.DefaultCurrency, "currency of --price and --prices")
		f.StringVar(&s.priceTable, "price-table", "", "CSV file with prices of your own, as serve --price-table takes it; --price wins over it, and it over the list prices of vendors")
		f.StringVar(&s.patience, "patience", "10m", "waiting time after which a session is given up")
		f.StringVar(&s.warmUp, "warm-up", "1h", "how long the policy is at work before the demand begins")
		f.StringVar(&s.out, "out", "", "also write a report with a chart: FILE.html, FILE.svg or FILE.json")
		f.StringVarP(&s.format, "output", "o", "table", "how to print the result: table|json|yaml")
		return cmd
	}
}

func (s *simulation) run(ctx context.Context, connect func() (*client.Client, error), to io.Writer) error {
	if err := s.check(); err != nil {
		return err
	}
	setting, err := s.setting()
	if err != nil {
		return err
	}
	policies, err := readPolicies(s.configs)
	if err != nil {
		return err
	}
	trace, err := s.trace(ctx, connect)
	if err != nil {
		return err
	}
	if s.exportTo != "" {
		if err := writeTo(s.exportTo, func(w io.Writer) error { return simulate.WriteTrace(w, trace) }); err != nil {
			return err
		}
		if len(policies) == 0 {
			return nil
		}
	}
	results := make([]*simulate.Result, len(policies))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, p := range policies {
		g.Go(func() (err error) {
			results[i], err = simulate.BackTest(gctx, p, trace, setting)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	report := simulate.NewReport(trace, setting, results)
	if s.out != "" {
		if err := writeTo(s.out, s.writer(report)); err != nil {
			return err
		}
	}
	if s.format == "table" {
		return report.WriteTable(to)
	}
	return cli.WriteValue(to, s.format, report)
}

// writer chooses the form of the report by the name of its file.
func (s *simulation) writer(r *simulate.Report) func(io.Writer) error {
	switch strings.ToLower(filepath.Ext(s.out)) {
	case ".html", ".htm":
		return r.WriteHTML
	case ".svg":
		return r.WriteSVG
	}
	return func(w io.Writer) error { return cli.WriteValue(w, "json", r) }
}

func usage(format string, args ...any) error { return cli.UsageError(fmt.Sprintf(format, args...)) }

func (s *simulation) check() error {
	switch {
	case (s.demand == "") == (s.history == ""):
		return usage("say where the demand comes from: either --demand FILE or --from-history 14d")
	case len(s.configs) == 0 && s.exportTo == "":
		return usage("--config is missing: name the manifest file of the policy")
	case !slices.Contains([]string{"table", "json", "yaml"}, s.format):
		return usage("--output %q is not known: use table, json or yaml", s.format)
	case !slices.Contains(simulate.BootLaws(), s.bootLaw):
		return usage("--boot-law %q is not known: use one of %s", s.bootLaw, strings.Join(simulate.BootLaws(), ", "))
	case !currencyRule.MatchString(s.currency):
		return usage("--currency %q is no currency: write its three letters, for example EUR", s.currency)
	case s.out != "" && !slices.Contains([]string{".html", ".htm", ".svg", ".json"}, strings.ToLower(filepath.Ext(s.out))):
		return usage("--out %q: the name must end in .html, .svg or .json", s.out)
	}
	return nil
}

// setting reads what is taken for granted.
func (s *simulation) setting() (simulate.Setting, error) {
	out := simulate.Setting{
		Kinds: all.Kinds(nil), Seed: s.seed, BootLaw: s.bootLaw,
		Boot: map[string]time.Duration{}, Shapes: map[string]fleet.Shape{}, Prices: map[string]float64{}, Currency: s.currency,
	}
	var err error
	if out.Table, err = app.LoadPrices(s.priceTable, out.Kinds); err != nil {
		return out, err
	}
	for _, d := range []struct {
		flag, text string
		most       time.Duration
		to         *time.Duration
	}{{"--patience", s.patience, service.MaxQueueTimeout, &out.Patience}, {"--warm-up", s.warmUp, 30 * 24 * time.Hour, &out.WarmUp}} {
		v, err := fleet.ParseDuration(d.text)
		if err != nil || v <= 0 || v.D() > d.most {
			return out, usage("%s %q: write a duration of at most %s, for example 10m", d.flag, d.text, fleet.Duration(d.most))
		}
		*d.to = v.D()
	}
	for _, text := range s.boots {
		name, value := assignment(text)
		d, err := fleet.ParseDuration(value)
		if err != nil || d.D() > 24*time.Hour {
			return out, usage("--boot %q: write 90s or PROVIDER=90s, at most 24h", text)
		}
		out.Boot[name] = d.D()
	}
	for _, text := range s.shapes {
		name, value := assignment(text)
		shape, err := parseShape(value)
		if err != nil {
			return out, usage("--shape %q: %v; write for example PROVIDER=4cores,16Gi,1gpu", text, err)
		}
		out.Shapes[name] = shape
	}
	return out, s.readPrices(out.Prices)
}

func assignment(text string) (name, value string) {
	name, value, ok := strings.Cut(text, "=")
	if !ok {
		return "", text
	}
	return name, value
}

// parseShape reads 4cores,16Gi,1gpu in any order.
func parseShape(text string) (fleet.Shape, error) {
	var out fleet.Shape
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		var err error
		switch number := strings.TrimRight(part, "abcdefghijklmnopqrstuvwxyzGPU"); part[len(number):] {
		case "cores", "core":
			out.Cores, err = fleet.ParseCores(number)
		case "gpus", "gpu", "GPUs", "GPU":
			out.GPUs, err = strconv.ParseInt(number, 10, 64)
			if err != nil || out.GPUs < 0 || out.GPUs > 1000 {
				err = fmt.Errorf("%q is not a number of GPUs", part)
			}
		case "":
			err = fmt.Errorf("%q has no unit", part)
		default:
			out.Memory, err = fleet.ParseMemory(part)
		}
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

func (s *simulation) readPrices(to map[string]float64) error {
	if s.priceFile != "" {
		text, err := readFile("--prices", s.priceFile)
		if err != nil {
			return err
		}
		var listed map[string]string
		if err := yaml.Unmarshal([]byte(text), &listed); err != nil {
			return fleet.Errorf(fleet.CodeInvalid, "--prices: %s must be a mapping of providers to prices, for example `aws: 0.12/h`: %w", s.priceFile, err)
		}
		for name, value := range listed {
			if to[name], err = parsePrice(value); err != nil {
				return fleet.Errorf(fleet.CodeInvalid, "--prices: %s: %s: %w", s.priceFile, name, err)
			}
		}
	}
	for _, text := range s.prices {
		name, value := assignment(text)
		price, err := parsePrice(value)
		if err != nil || name == "" {
			return usage("--price %q: write PROVIDER=0.12/h", text)
		}
		to[name] = price
	}
	return nil
}

// parsePrice reads 0.12, 0.12/h or 2.88/d as the price of an hour.
func parsePrice(text string) (float64, error) {
	number, unit, _ := strings.Cut(strings.TrimSpace(text), "/")
	hours, ok := map[string]float64{"": 1, "h": 1, "d": 24}[strings.TrimSpace(unit)]
	f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !ok || !(f >= 0 && f <= 1e9) {
		return 0, fmt.Errorf("%q is not a price: write for example 0.12/h or 2.88/d", text)
	}
	return f / hours, nil
}

// readPolicies reads the manifests of each policy.
func readPolicies(configs []string) ([]simulate.Policy, error) {
	var out []simulate.Policy
	for _, text := range configs {
		name, files := assignment(text)
		p := simulate.Policy{Name: name}
		for file := range strings.SplitSeq(files, ",") {
			manifest, err := readFile("--config", file)
			if err != nil {
				return nil, err
			}
			p.Documents = append(p.Documents, service.ApplyDocument{Source: file, Text: manifest})
			p.Name = fleet.Or(name, strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))) // the last one is what differs
		}
		if slices.ContainsFunc(out, func(o simulate.Policy) bool { return o.Name == p.Name }) {
			return nil, usage("--config: two policies are called %q: put another name and = before one of them", p.Name)
		}
		out = append(out, p)
	}
	return out, nil
}

func readFile(flag, name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", fleet.Errorf(fleet.CodeInvalid, "%s: %w", flag, err)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err = errors.Join(err, f.Close()); err != nil || len(b) > maxManifest {
		return "", fleet.Errorf(fleet.CodeInvalid, "%s: %s cannot be read or is larger than %d bytes", flag, name, maxManifest)
	}
	return string(b), nil
}

// trace reads the demand from its file or from the running controller.
func (s *simulation) trace(ctx context.Context, connect func() (*client.Client, error)) (t *simulate.Trace, err error) {
	if s.demand != "" {
		t, err = s.readDemand()
	} else {
		t, err = s.readHistory(ctx, connect)
	}
	if err != nil || s.pool == "" {
		return t, err
	}
	t.Asks = slices.DeleteFunc(t.Asks, func(a simulate.Ask) bool { return a.Pool != s.pool })
	if len(t.Asks) == 0 {
		return nil, fleet.Errorf(fleet.CodeInvalid, "%s holds no demand for pool %q", t.Name, s.pool)
	}
	return t, nil
}

func (s *simulation) readDemand() (*simulate.Trace, error) {
	start, err := time.Parse(time.RFC3339, s.start)
	if err != nil {
		return nil, usage("--start %q is no moment: write RFC 3339, for example 2026-03-02T00:00:00Z", s.start)
	}
	f, err := os.Open(s.demand)
	if err != nil {
		return nil, fleet.Errorf(fleet.CodeInvalid, "--demand: %w", err)
	}
	t, err := simulate.ReadTrace(s.demand, f, start.UTC())
	return t, errors.Join(err, f.Close())
}

func (s *simulation) readHistory(ctx context.Context, connect func() (*client.Client, error)) (*simulate.Trace, error) {
	ago, err := fleet.ParseDuration(s.history)
	if err != nil || ago <= 0 {
		return nil, usage("--from-history %q: write how far back to go, for example 14d", s.history)
	}
	c, err := connect()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	listed, err := c.Sessions(ctx, client.SessionFilter{IncludeEnded: true})
	if err != nil {
		return nil, err
	}
	sessions := make([]fleet.Session, len(listed))
	for i := range listed {
		sessions[i] = listed[i].Session
	}
	now := time.Now()
	t := simulate.FromSessions("history of the last "+s.history, sessions, now.Add(-ago.D()), now)
	if len(t.Asks) == 0 {
		return nil, fleet.Errorf(fleet.CodeNotFound, "the controller remembers no session of the last %s; serve --retain-sessions says how long it keeps them", s.history)
	}
	return t, nil
}

func writeTo(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return fleet.Errorf(fleet.CodeInvalid, "the file cannot be written: %w", err)
	}
	if err := errors.Join(write(f), f.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}
