package price

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// MaxTable is the size in bytes of the largest table that is read.
const MaxTable = 32 << 20

// mistakesShown is after how many mistakes the reading of a table ends.
const mistakesShown = 20

// columns are those of a table. What stands behind the first few may be left out.
var columns = [...]string{"kind", "region", "part", "name", "price", "currency", "os", "market", "per", "date", "source"}

// columnsNeeded is how many may not.
const columnsNeeded = 6

var (
	kindRule     = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	currencyRule = regexp.MustCompile(`^[A-Z]{3}$`)
)

// Read reads a table in CSV. Its first line names the columns; lines that begin
// with # are left out. With kinds, others are a mistake. Errors are
// fleet.CodeInvalid, name file and line, and tell all mistakes at once.
func Read(name string, from io.Reader, kinds []string) ([]Row, error) {
	limited := &io.LimitedReader{R: from, N: MaxTable + 1}
	r := csv.NewReader(limited)
	r.Comment, r.TrimLeadingSpace, r.FieldsPerRecord = '#', true, -1
	t := reading{name: name, kinds: kinds, lines: map[key]int{}}
	head, err := r.Read()
	switch {
	case errors.Is(err, io.EOF):
		return nil, fleet.Errorf(fleet.CodeInvalid, "price table %s is empty: its first line must name the columns %s", name, strings.Join(columns[:], ","))
	case err != nil:
		return nil, fleet.Errorf(fleet.CodeInvalid, "price table %s: %w", name, err)
	}
	if err := t.header(head); err != nil {
		return nil, err
	}
	for len(t.mistakes) < mistakesShown {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.mistakes = append(t.mistakes, fmt.Sprintf("%s: %v", name, err))
			break
		}
		line, _ := r.FieldPos(0)
		t.row(line, record)
	}
	switch {
	case limited.N == 0:
		return nil, fleet.Errorf(fleet.CodeInvalid, "price table %s is larger than %d bytes: leave out what is not used", name, MaxTable)
	case len(t.mistakes) > 0:
		return nil, fleet.Errorf(fleet.CodeInvalid, "price table %s cannot be used:\n%s", name, strings.Join(t.mistakes, "\n"))
	}
	return t.rows, nil
}

// ReadFile is [Read] of a file.
func ReadFile(name string, kinds []string) (rows []Row, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fleet.Errorf(fleet.CodeInvalid, "the price table cannot be read: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return Read(name, f, kinds)
}

// reading is a table that is being read.
type reading struct {
	name     string
	kinds    []string
	place    map[string]int // column → its number
	width    int
	rows     []Row
	lines    map[key]int // where each price stands
	mistakes []string
}

func (t *reading) header(head []string) error {
	t.place, t.width = map[string]int{}, len(head)
	for i, c := range head {
		c = strings.TrimSpace(strings.TrimPrefix(c, "\ufeff"))
		if !slices.Contains(columns[:], c) {
			return fleet.Errorf(fleet.CodeInvalid, "price table %s: column %q is not known: the first line names the columns, which are %s", t.name, c, strings.Join(columns[:], ","))
		}
		if _, twice := t.place[c]; twice {
			return fleet.Errorf(fleet.CodeInvalid, "price table %s: column %q is there twice: remove one of them", t.name, c)
		}
		t.place[c] = i
	}
	for _, c := range columns[:columnsNeeded] {
		if _, ok := t.place[c]; !ok {
			return fleet.Errorf(fleet.CodeInvalid, "price table %s: column %q is missing: the first line must name at least %s", t.name, c, strings.Join(columns[:columnsNeeded], ","))
		}
	}
	return nil
}

func (t *reading) row(line int, record []string) {
	before := len(t.mistakes)
	say := func(format string, args ...any) {
		t.mistakes = append(t.mistakes, fmt.Sprintf("%s:%d: ", t.name, line)+fmt.Sprintf(format, args...))
	}
	if len(record) != t.width {
		say("has %d fields: the first line names %d columns", len(record), t.width)
		return
	}
	get := func(column, otherwise string) string {
		if i, ok := t.place[column]; ok {
			if text := strings.TrimSpace(record[i]); text != "" {
				return text
			}
		}
		return otherwise
	}
	r := Row{
		Kind: get("kind", ""), Region: get("region", ""), Part: Part(get("part", "")), Name: get("name", ""), OS: get("os", ""),
		Market: Market(get("market", string(OnDemand))), Per: Per(get("per", string(PerHour))), Currency: get("currency", ""),
		Date: get("date", ""), Source: get("source", ""),
	}
	switch {
	case !kindRule.MatchString(r.Kind):
		say("kind: %q is no kind of VM provider: write for example openstack", r.Kind)
	case t.kinds != nil && !slices.Contains(t.kinds, r.Kind):
		say("kind: %q is not known: `headroom provider kinds` lists all", r.Kind)
	}
	if r.Region == "" {
		say("region: is empty: name a region, or write %s for all", Everywhere)
	}
	if !slices.Contains(Parts(), r.Part) {
		say("part: %q is not known: use one of %v", r.Part, Parts())
	}
	if r.OS != "" && r.OS != "linux" && r.OS != "windows" {
		say("os: %q is not known: use linux or windows, or nothing where the price is the same", r.OS)
	}
	if r.Market != OnDemand && r.Market != Spot {
		say("market: %q is not known: use %s or %s", r.Market, OnDemand, Spot)
	}
	if r.Per != PerHour && r.Per != PerMonth {
		say("per: %q is not known: use %s or %s", r.Per, PerHour, PerMonth)
	}
	if !currencyRule.MatchString(r.Currency) {
		say("currency: %q is no currency: write its three letters, for example EUR", r.Currency)
	}
	if _, err := time.Parse(time.DateOnly, r.Date); err != nil && r.Date != "" {
		say("date: %q is no date: write for example 2026-01-19", r.Date)
	}
	var err error
	if r.Price, err = strconv.ParseFloat(get("price", ""), 64); err != nil || math.IsNaN(r.Price) || r.Price < 0 || r.Price > MaxPrice {
		say("price: %q is no price: write a number from 0 to %d with a point, for example 0.096", get("price", ""), int64(MaxPrice))
	}
	if first, twice := t.lines[r.key()]; twice {
		say("is the price of the same thing as line %d: remove one of them", first)
	}
	if len(t.mistakes) > before {
		return
	}
	t.lines[r.key()] = line
	t.rows = append(t.rows, r)
}

// MaxPrice is the highest price of one unit; what is more is a mistake.
const MaxPrice = 1e6
