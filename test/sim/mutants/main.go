// Command mutants proves that the simulation can fail: it plants one defect
// after the other into the real code, through the compiler's overlay, so that no
// file of the tree is touched, and lets the simulation find it.
//
//	go run ./test/sim/mutants [-seeds 4] [-quick] [-anew] [-list] [NAME...]
//
// Each verdict is written down when it falls (-state), with a fingerprint of the
// code, so that a run that was interrupted goes on where it was. The command
// ends with code 1 when a defect was missed, or when the text that it would
// replace is no longer in the code.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// mutant is a planted defect: in a file, one text becomes another.
type mutant struct {
	name string
	what string
	// by is what is asked first: a regular expression of tests, or "history of"
	// and a scenario.
	by   string
	file string
	old  string
	new  string
	more []edit // where the same is guarded more than once
}

// edit is a text of a file and what it becomes.
type edit struct{ file, old, new string }

// historyOf begins a mutant's "by" that is a scenario.
const historyOf = "history of "

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:forbidigo // this is a command
	}
}

func run(ctx context.Context, out io.Writer) error {
	h := hunter{}
	flag.IntVar(&h.seeds, "seeds", 4, "histories of each scenario, one after the other, after the tests that have names")
	flag.DurationVar(&h.length, "length", 24*time.Hour, "length of a history")
	flag.DurationVar(&h.limit, "limit", 20*time.Minute, "for one defect")
	flag.BoolVar(&h.quick, "quick", false, "ask only the tests that are likely to notice")
	state := flag.String("state", "bin/mutants.json", "file that keeps verdicts")
	anew := flag.Bool("anew", false, "take no verdict from the file")
	list := flag.Bool("list", false, "list the defects and do nothing")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: mutants [flags] [NAME...]; without a name, all defects are planted")
		flag.PrintDefaults()
	}
	flag.Parse()
	chosen, err := choose(flag.Args())
	if err != nil {
		return err
	}
	if *list {
		for _, m := range chosen {
			fmt.Fprintf(out, "%-24s %s\n", m.name, m.what)
		}
		return nil
	}
	kept, err := readVerdicts(*state)
	if err != nil {
		return err
	}
	code, err := fingerprint()
	if err != nil {
		return err
	}
	rows := make([]verdict, 0, len(chosen))
	for _, m := range chosen {
		v, known := kept[m.name]
		if !known || *anew || !v.Caught || v.Code != code+m.fingerprint() {
			v = h.hunt(ctx, m)
			v.Code = code + m.fingerprint()
			kept[m.name] = v
			if err := writeVerdicts(*state, kept); err != nil {
				return err
			}
			fmt.Fprintln(out, v)
		}
		rows = append(rows, v)
	}
	return table(out, rows)
}

// choose gives the defects of these names, all when there is none.
func choose(names []string) ([]mutant, error) {
	all := mutants()
	if len(names) == 0 {
		return all, nil
	}
	out := make([]mutant, 0, len(names))
	for _, name := range names {
		i := slices.IndexFunc(all, func(m mutant) bool { return m.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no defect %q; -list lists them", name)
		}
		out = append(out, all[i])
	}
	return out, nil
}

// table shows all verdicts and says whether each defect was caught.
func table(out io.Writer, rows []verdict) error {
	var missed []string
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nDEFECT\tVERDICT\tFOUND BY\tSEEDS\tTOOK\tPROMISE")
	for _, v := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", v.Name, v.word(), v.By, v.seeds(), v.Took.Round(time.Second), v.Promise)
		if !v.Caught {
			missed = append(missed, v.Name)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%d of %d defects were caught\n", len(rows)-len(missed), len(rows))
	if len(missed) > 0 {
		return fmt.Errorf("not caught: %s", strings.Join(missed, ", "))
	}
	return nil
}
