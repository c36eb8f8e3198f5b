package price

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// sheet is list prices of one kind of cloud and one part by name and region. The
// big clouds have tens of thousands, of which an installation asks for a few: they
// stay the text that they are in, and a line is read when somebody asks for it.
type sheet struct {
	head    Row               // what all have in common
	regions []string          // of the columns
	column  map[string]int    // region → its number
	names   []string          // in the order of the file
	lines   map[string]string // name → its prices, one for each column; empty where there is none
}

// sheetColumns are those of the line that says what all prices have in common.
const sheetColumns = "kind,part,os,currency,date,source"

// readSheet reads a sheet: a line with the names of what is common, one with the
// values, one that names the regions, and one for each name. Lines that begin with
// # are left out. The prices themselves are looked at by [sheet.all] only.
func readSheet(file, text string) (*sheet, error) {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("price list %s: %w", file, fmt.Errorf(format, args...))
	}
	s := &sheet{column: map[string]int{}, lines: map[string]string{}}
	var top []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if len(top) < 3 {
			top = append(top, line)
			if len(top) < 3 {
				continue
			}
			if err := s.begin(top); err != nil {
				return nil, bad("%w", err)
			}
			continue
		}
		name, prices, _ := strings.Cut(line, ",")
		switch {
		case name == "" || s.lines[name] != "":
			return nil, bad("%q is no name, or is there twice", name)
		case strings.Count(prices, ",") != len(s.regions)-1:
			return nil, bad("%s has not one price for each of the %d regions", name, len(s.regions))
		}
		s.names, s.lines[name] = append(s.names, name), prices
	}
	if len(s.names) == 0 {
		return nil, bad("holds no price")
	}
	return s, nil
}

// begin reads what stands above the prices.
func (s *sheet) begin(top []string) error {
	values, regions := strings.Split(top[1], ","), strings.Split(top[2], ",")
	if top[0] != sheetColumns || len(values) != strings.Count(sheetColumns, ",")+1 {
		return fmt.Errorf("does not begin with the columns %s and their values", sheetColumns)
	}
	if regions[0] != "name" || len(regions) < 2 {
		return errors.New("does not name its regions")
	}
	s.head = Row{
		Kind: values[0], Part: Part(values[1]), OS: values[2], Market: OnDemand, Per: PerHour,
		Currency: values[3], Date: values[4], Source: values[5],
	}
	if s.head.Part == Disk { // the clouds that have sheets sell disks by the month
		s.head.Per = PerMonth
	}
	s.regions = regions[1:]
	for i, r := range s.regions {
		if _, twice := s.column[r]; twice {
			return fmt.Errorf("region %s is there twice", r)
		}
		s.column[r] = i
	}
	if _, err := time.Parse(time.DateOnly, s.head.Date); err != nil {
		return fmt.Errorf("its date is none: %w", err)
	}
	return nil
}

// find looks a price up.
func (s *sheet) find(k key) (Row, bool) {
	h := s.head
	column, ok := s.column[k.region]
	if !ok || k.kind != h.Kind || k.part != h.Part || k.os != h.OS || k.market != h.Market {
		return Row{}, false
	}
	prices, ok := s.lines[k.name]
	if !ok {
		return Row{}, false
	}
	for range column {
		_, prices, _ = strings.Cut(prices, ",")
	}
	text, _, _ := strings.Cut(prices, ",")
	p, err := strconv.ParseFloat(text, 64)
	if err != nil { // empty: there is no price in that region
		return Row{}, false
	}
	h.Region, h.Name, h.Price = k.region, k.name, p
	return h, true
}

// all are the prices, with every mistake that there is in one.
func (s *sheet) all() ([]Row, error) {
	var rows []Row
	var mistakes []error
	for _, name := range s.names {
		for i, text := range strings.Split(s.lines[name], ",") {
			if text == "" {
				continue
			}
			p, err := strconv.ParseFloat(text, 64)
			if err != nil || !(p > 0) || p > MaxPrice {
				mistakes = append(mistakes, fmt.Errorf("%s in %s: %q is no price", name, s.regions[i], text))
				continue
			}
			r := s.head
			r.Region, r.Name, r.Price = s.regions[i], name, p
			rows = append(rows, r)
		}
	}
	return rows, errors.Join(mistakes...)
}
