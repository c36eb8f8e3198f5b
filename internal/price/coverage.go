package price

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Coverage is a table in Markdown of what rows hold prices for.
func Coverage(rows []Row) string {
	type covered struct {
		regions, families, other, sources map[string]bool
		figures                           int
		oldest, newest                    string
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
		default:
			c.other[strings.TrimSpace(string(r.Part)+" "+besides(r))] = true
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
		things := names(c.other)
		if things == "" {
			things = "-"
		}
		fmt.Fprintf(&b, "| `%s` | %d | %s | %s | %s | %s |\n", k, c.figures, names(c.families), things, regions, dates)
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

// azureSize is a size as Azure names it: letters, cores and the rest of its series.
var azureSize = regexp.MustCompile(`^Standard_([A-Z]+)[0-9]+(.*)$`)

// family is what the names of sizes have in common: the series of Azure's
// (Standard_D4s_v5 is of Dsv5), else what stands before the dot, else before the
// first dash (c7i-flex.large, s-2vcpu-4gb).
func family(r Row) string {
	if r.Part != Machine {
		return r.Name
	}
	if m := azureSize.FindStringSubmatch(r.Name); m != nil {
		return m[1] + strings.ReplaceAll(m[2], "_", "")
	}
	if name, _, ok := strings.Cut(r.Name, "."); ok {
		return name
	}
	name, _, _ := strings.Cut(r.Name, "-")
	return name
}

// azureDisk is a disk as Azure sells it whole, such as P10 LRS.
var azureDisk = regexp.MustCompile(`^([A-Z])[0-9]+ ([LZ]RS)$`)

// besides names what comes with a machine, without the sizes that there are of it.
func besides(r Row) string {
	if m := azureDisk.FindStringSubmatch(r.Name); m != nil {
		return m[1] + " " + m[2]
	}
	if r.Part == License {
		name, _, _ := strings.Cut(r.Name, " ")
		return name
	}
	return r.Name
}
