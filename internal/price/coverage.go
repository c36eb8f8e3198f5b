package price

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Coverage is a table in Markdown of what rows hold prices for.
func Coverage(rows []Row) string {
	type covered struct {
		regions, families, other, sources map[string]bool
		figures                           int
		oldest, newest, os                string
	}
	kinds := map[string]*covered{}
	for _, r := range rows {
		c := kinds[r.Kind]
		if c == nil {
			c = &covered{regions: map[string]bool{}, families: map[string]bool{}, other: map[string]bool{}, sources: map[string]bool{}, oldest: r.Date, newest: r.Date}
			kinds[r.Kind] = c
		}
		c.figures++
		c.oldest, c.newest = min(c.oldest, r.Date), max(c.newest, r.Date)
		c.sources[r.Source] = true
		switch r.Part {
		case Machine, Core, Memory:
			c.regions[r.Region] = true
			c.families[family(r)] = true
			if r.OS != "" {
				c.os = " (" + r.OS + ")"
			}
		default:
			c.other[strings.TrimSpace(string(r.Part)+" "+r.Name)] = true
		}
	}
	var b strings.Builder
	b.WriteString("| kind | figures | families | besides | regions | dates |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, k := range slices.Sorted(maps.Keys(kinds)) {
		c := kinds[k]
		regions := "all"
		if !c.regions[Everywhere] {
			regions = names(c.regions)
		}
		dates := c.oldest
		if c.newest != c.oldest {
			dates += " to " + c.newest
		}
		besides := names(c.other)
		if besides == "" {
			besides = "-"
		}
		fmt.Fprintf(&b, "| `%s` | %d | %s%s | %s | %s | %s |\n", k, c.figures, names(c.families), c.os, besides, regions, dates)
	}
	b.WriteString("\nThe vendors publish them at")
	for i, k := range slices.Sorted(maps.Keys(kinds)) {
		if i > 0 {
			b.WriteString(";")
		}
		fmt.Fprintf(&b, " `%s`:", k)
		for j, s := range slices.Sorted(maps.Keys(kinds[k].sources)) {
			if j > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(&b, " <%s>", s)
		}
	}
	b.WriteString(".\n")
	return b.String()
}

func names(set map[string]bool) string { return strings.Join(slices.Sorted(maps.Keys(set)), ", ") }

// family is what the names of sizes have in common: what stands before the dot,
// else before the first dash (c7i-flex.large, s-2vcpu-4gb).
func family(r Row) string {
	if r.Part != Machine {
		return r.Name
	}
	if name, _, ok := strings.Cut(r.Name, "."); ok {
		return name
	}
	name, _, _ := strings.Cut(r.Name, "-")
	return name
}
