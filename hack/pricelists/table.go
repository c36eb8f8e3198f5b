package main

import (
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
)

// table is prices by name and region.
type table map[string]map[string]float64

// everywhere is the region of what costs the same in all of them.
const everywhere = "*"

func (t table) set(name, region string, p float64) {
	if t[name] == nil {
		t[name] = map[string]float64{}
	}
	t[name][region] = p
}

func (t table) figures() int {
	n := 0
	for _, regions := range t {
		n += len(regions)
	}
	return n
}

// same says that two prices are one but for rounding.
func same(a, b float64) bool { return math.Abs(a-b) <= max(0.0006*max(a, b), 0.00006) }

// drop leaves out the names of which a second source says another price in any
// region, and returns them, besides how many prices it confirms. What it does not
// have is neither.
func (t table) drop(known table) (confirmed int, contradicted []string) {
	for name, regions := range known {
		for _, region := range slices.Sorted(maps.Keys(regions)) {
			p := regions[region]
			ours, ok := t[name][region]
			switch {
			case !ok:
			case same(ours, p):
				confirmed++
			default:
				contradicted = append(contradicted, fmt.Sprintf("%s (%g, now %g in %s)", name, ours, p, region))
				delete(t, name)
			}
		}
	}
	slices.Sort(contradicted)
	return confirmed, contradicted
}

// without leaves out the regions that another table has whole, and the names of
// which it knows nothing.
func (t table) without(known table) {
	whole := map[string]bool{}
	for _, regions := range known {
		for region := range regions {
			whole[region] = true
		}
	}
	for name, regions := range t {
		if known[name] == nil {
			delete(t, name)
			continue
		}
		maps.DeleteFunc(regions, func(region string, _ float64) bool { return whole[region] })
		if len(regions) == 0 {
			delete(t, name)
		}
	}
}

// only keeps the licences of machines that have a price.
func (t table) only(machines ...table) {
	for name := range t {
		size := strings.TrimPrefix(name, licence)
		if !slices.ContainsFunc(machines, func(m table) bool { return m[size] != nil }) {
			delete(t, name)
		}
	}
}

// common brings the prices of a name under one for all regions, when most
// regions have the same but for rounding; what differs stays beside it. It does
// nothing when a region where the machine is sold has no price here: that one
// would then have a guess.
func (t table) common(sold func(name string) map[string]float64) {
	for name, regions := range t {
		most, alike := mode(regions), 0
		machines := sold(name)
		near := func(region string, p float64) bool { return math.Abs(p-most) <= digit(machines[region]) }
		for region, p := range regions {
			if near(region, p) {
				alike++
			}
		}
		if len(regions) < len(machines) || alike*4 < len(regions)*3 {
			continue
		}
		maps.DeleteFunc(regions, near)
		regions[everywhere] = most
	}
}

// mode is the price that most regions have; the least of several.
func mode(regions map[string]float64) float64 {
	count := map[float64]int{}
	for _, p := range regions {
		count[p]++
	}
	return slices.MaxFunc(slices.Sorted(maps.Keys(count)), func(a, b float64) int { return count[a] - count[b] })
}

// header is what all prices of a sheet have in common.
type header struct{ kind, part, os, date, source string }

// write writes a sheet: what is common, the regions, and a line for each name.
func (t table) write(file string, h header) error {
	regions := map[string]bool{}
	for _, r := range t {
		for region := range r {
			regions[region] = true
		}
	}
	columns := slices.Sorted(maps.Keys(regions))
	var b strings.Builder
	fmt.Fprintf(&b, "# Made by hack/pricelists. See README.md for where the figures are from.\n")
	fmt.Fprintf(&b, "kind,part,os,currency,date,source\n%s,%s,%s,USD,%s,%s\n", h.kind, h.part, h.os, h.date, h.source)
	b.WriteString("name," + strings.Join(columns, ",") + "\n")
	for _, name := range slices.Sorted(maps.Keys(t)) {
		b.WriteString(name)
		for _, region := range columns {
			b.WriteByte(',')
			if p, ok := t[name][region]; ok {
				b.WriteString(strconv.FormatFloat(p, 'f', -1, 64))
			}
		}
		b.WriteByte('\n')
	}
	return os.WriteFile(file, []byte(b.String()), 0o644) //nolint:gosec // a file of the repository
}
