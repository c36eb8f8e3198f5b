package price

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Row is a price of a table.
type Row struct {
	Kind     string // of VM provider
	Region   string // or Everywhere
	Part     Part
	Name     string
	OS       string // empty: whatever it is
	Market   Market
	Price    float64 // of one unit of the part
	Per      Per
	Currency string // ISO 4217
	Date     string // when the figure was read, YYYY-MM-DD
	Source   string // where the vendor publishes it
}

// key is what tells the prices of a table apart.
type key struct {
	kind, region string
	part         Part
	name, os     string
	market       Market
}

func (r Row) key() key { return key{r.Kind, r.Region, r.Part, r.Name, r.OS, r.Market} }

// layer is the prices of one origin.
type layer struct {
	origin Origin
	rows   map[key]Row
	sheets []*sheet // of list prices only
}

// find looks a price up, in the rows first.
func (l layer) find(k key) (Row, bool) {
	if r, ok := l.rows[k]; ok {
		return r, true
	}
	for _, s := range l.sheets {
		if r, ok := s.find(k); ok {
			return r, true
		}
	}
	return Row{}, false
}

// Table holds prices. It is never changed; its zero value knows none.
type Table struct{ layers []layer } // the first that has a price wins

//go:embed data/*.csv
var data embed.FS

// sheetSuffix ends the names of lists that are sheets: by name and region.
const sheetSuffix = ".sheet.csv"

// List is the list prices that are part of the program.
func List() (*Table, error) {
	rows, sheets, err := lists()
	if err != nil {
		return nil, err
	}
	t := (&Table{}).over(FromList, rows)
	t.layers[0].sheets = sheets
	return t, nil
}

// Rows are the list prices that are part of the program, in the order of their
// files. There are tens of thousands: it is for whoever looks at all of them, such
// as tests and the pages of the documentation.
func Rows() ([]Row, error) {
	rows, sheets, err := lists()
	if err != nil {
		return nil, err
	}
	for _, s := range sheets {
		more, err := s.all()
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

// lists reads the files of list prices.
func lists() ([]Row, []*sheet, error) {
	files, err := fs.Glob(data, "data/*.csv")
	if err != nil {
		return nil, nil, fmt.Errorf("the price lists cannot be found: %w", err)
	}
	var all []Row
	var sheets []*sheet
	for _, name := range files {
		text, err := data.ReadFile(name)
		if err != nil {
			return nil, nil, fmt.Errorf("price list %s: %w", name, err)
		}
		if strings.HasSuffix(name, sheetSuffix) {
			s, err := readSheet(path.Base(name), string(text))
			if err != nil {
				return nil, nil, err
			}
			sheets = append(sheets, s)
			continue
		}
		rows, err := Read(path.Base(name), bytes.NewReader(text), nil)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, rows...)
	}
	return all, sheets, nil
}

// Has says that there are prices of a kind of VM provider.
func (t *Table) Has(kind string) bool {
	if t == nil {
		return false
	}
	for _, l := range t.layers {
		for k := range l.rows {
			if k.kind == kind {
				return true
			}
		}
		if slices.ContainsFunc(l.sheets, func(s *sheet) bool { return s.head.Kind == kind }) {
			return true
		}
	}
	return false
}

// With is the table with an operator's own prices over it.
func (t *Table) With(rows []Row) *Table { return t.over(FromTable, rows) }

func (t *Table) over(origin Origin, rows []Row) *Table {
	l := layer{origin: origin, rows: make(map[key]Row, len(rows))}
	for _, r := range rows {
		l.rows[r.key()] = r
	}
	out := &Table{layers: []layer{l}}
	if t != nil {
		out.layers = append(out.layers, t.layers...)
	}
	return out
}

// find looks a price up. One of the operator's wins over a list price, and
// within a layer one for the region and the system over one for all.
func (t *Table) find(kind string, i Item) (Row, Origin, bool) {
	if t == nil {
		return Row{}, "", false
	}
	for _, l := range t.layers {
		for _, region := range []string{i.Region, Everywhere} {
			for _, os := range []string{i.OS, ""} {
				if r, ok := l.find(key{kind, region, i.Part, i.Name, os, i.market()}); ok {
					return r, l.origin, true
				}
			}
		}
	}
	return Row{}, "", false
}

func (i Item) market() Market {
	if i.Market == "" {
		return OnDemand
	}
	return i.Market
}

// Quote prices a machine of a kind of VM provider that is billed for the items.
// A machine without items has no price.
func (t *Table) Quote(kind string, items []Item) Quote {
	q := Quote{Lines: []Line{}}
	whole := len(items) > 0
	for _, i := range items {
		whole = t.add(&q, kind, i) && whole
	}
	if len(items) == 0 {
		q.Missing = []string{string(Machine)}
	}
	if !whole { // what is left would look like the price of the machine
		q.PerHour, q.Currency = nil, ""
	}
	return q
}

// add adds the line of an item. It answers false when the machine itself, not a
// thing that comes with it, lacks a price.
func (t *Table) add(q *Quote, kind string, i Item) bool {
	r, origin, ok := t.find(kind, i)
	if !ok && t.knowsAll(kind, i.Of) {
		whole := true
		for _, part := range i.Of {
			whole = t.add(q, kind, part) && whole
		}
		return whole
	}
	l := Line{Part: i.Part, Name: i.Name, Region: i.Region, Quantity: i.Quantity}
	if l.Quantity == 0 {
		l.Quantity = 1
	}
	switch {
	case l.Quantity < 0:
		l.Quantity, ok = 0, false
		q.Missing = append(q.Missing, i.String()+" (how much is not known)")
	case !ok:
		q.Missing = append(q.Missing, i.String())
	case q.Currency != "" && q.Currency != r.Currency:
		// What is in another currency cannot be added.
		q.Missing = append(q.Missing, fmt.Sprintf("%s in %s (its price is in %s)", i, q.Currency, r.Currency))
		ok = false
	}
	if ok {
		hour := l.Quantity * r.Price
		if r.Per == PerMonth {
			hour /= hoursPerMonth
		}
		hour = round(hour)
		sum := hour
		if q.PerHour != nil {
			sum = round(*q.PerHour + hour)
		}
		q.PerHour, q.Currency = &sum, r.Currency
		l.Price, l.Per, l.PerHour = &r.Price, r.Per, &hour
		l.Currency, l.Origin, l.Date, l.Source = r.Currency, origin, r.Date, r.Source
	}
	q.Lines = append(q.Lines, l)
	return ok || (i.Part != Machine && i.Part != Core && i.Part != Memory)
}

// knowsAll says that every one of some items, and there are some, has a price.
func (t *Table) knowsAll(kind string, items []Item) bool {
	return len(items) > 0 && !slices.ContainsFunc(items, func(i Item) bool {
		_, _, ok := t.find(kind, i)
		return !ok
	})
}

// Oldest is the date of the oldest price in a quote; empty when none has one.
func (q Quote) Oldest() string {
	oldest := ""
	for _, l := range q.Lines {
		if l.Date != "" && (oldest == "" || strings.Compare(l.Date, oldest) < 0) {
			oldest = l.Date
		}
	}
	return oldest
}
