// Package price knows what machines cost by the hour: list prices that are part
// of the program, each with its date and source, and prices that an operator has
// set over them. It asks nobody and guesses nothing: what is in no table has no
// price, and that is something else than a price of 0.
//
// A machine is billed as a sum of [Item]s, such as the machine itself, its disk
// and its public address. A [Table] answers a [Quote] with one [Line] for each.
// [Bill]s add quotes up, each currency by itself.
package price

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Part says what of a machine is paid for.
type Part string

// The parts. Each has a unit in which its quantity is counted.
const (
	Machine Part = "machine" // a machine of a size that has a name
	Core    Part = "core"    // a core of a family of machines, as the cloud bills it
	Memory  Part = "memory"  // a GiB of memory of a family
	GPU     Part = "gpu"     // a GPU of a type
	Disk    Part = "disk"    // a GiB of a type of disk, or one disk of a type that is sold whole
	Address Part = "address" // a public IPv4 address
	License Part = "license" // the operating system's licence, for one core, or for a machine of a size that is named
)

// Parts lists all, in the order in which they are shown.
func Parts() []Part { return []Part{Machine, Core, Memory, GPU, Disk, Address, License} }

// Market says how a machine is bought.
type Market string

// The markets.
const (
	OnDemand Market = "on_demand"
	Spot     Market = "spot" // cheaper, and taken back when the cloud wants it
)

// Per is the time that a price is for.
type Per string

// The times. A month is one of 730 hours, as the clouds reckon.
const (
	PerHour  Per = "hour"
	PerMonth Per = "month"
)

// hoursPerMonth is what a month has on the price lists of all the big clouds.
const hoursPerMonth = 730

// daysShown is the length of time for which bills are shown besides the hour.
const daysShown = 30

// Everywhere is the region of a price that is the same in all regions.
const Everywhere = "*"

// Unsaid is the quantity of an item of which it is not known how much there is.
const Unsaid = -1

// Item is something that a machine is billed for.
type Item struct {
	Part     Part
	Name     string  // size, family or type, as the cloud calls it
	Region   string  // empty: the cloud has none
	OS       string  // linux or windows where the price depends on it
	Market   Market  // empty: OnDemand
	Quantity float64 // in the unit of the part; 0 stands for 1, [Unsaid] for one that is not known
	// Of is what the item is made of: these are priced instead when no table has
	// the item itself, such as a size of which only core and memory have prices.
	Of []Item
}

// WithWindows is a machine that is sold with Windows on it, on demand: at a price
// of its own, else at that of the same machine with Linux and what the licence
// costs for one of its size.
func WithWindows(linux Item) Item {
	i := linux
	i.OS = "windows"
	i.Of = []Item{linux, {Part: License, Name: "windows " + linux.Name, Region: linux.Region}}
	return i
}

// String names the item for people.
func (i Item) String() string {
	text := string(i.Part)
	if i.Name != "" {
		text += " " + i.Name
	}
	if i.OS == "windows" && i.Part == Machine {
		text += " with Windows"
	}
	if i.Market == Spot {
		text += " (spot)"
	}
	if i.Region != "" && i.Region != Everywhere {
		text += " in " + i.Region
	}
	return text
}

// Origin says where a price comes from.
type Origin string

// The origins, in order of their weight: the first that knows a price wins.
const (
	FromProvider Origin = "vm_provider" // prices of the VM provider config
	FromTable    Origin = "price_table" // the operator's own table
	FromList     Origin = "list"        // the list prices that are part of the program
	FromCloud    Origin = "cloud"       // told by the cloud's own API just now
	ByHand       Origin = "by_hand"     // given to a back-test on its command line
)

// Line is the price of one item.
type Line struct {
	Part     Part     `json:"part" enum:"machine,core,memory,gpu,disk,address,license"`
	Name     string   `json:"name,omitempty" doc:"Size, family or type, as the cloud calls it."`
	Region   string   `json:"region,omitempty"`
	Quantity float64  `json:"quantity" doc:"Machines, cores, GiB, GPUs or addresses."`
	Price    *float64 `json:"price,omitempty" doc:"Of one unit. Absent: unknown, which is not 0."`
	Per      Per      `json:"per,omitempty" enum:"hour,month" doc:"A month has 730 hours."`
	PerHour  *float64 `json:"per_hour,omitempty" doc:"Of the whole quantity."`
	Currency string   `json:"currency,omitempty"`
	Origin   Origin   `json:"origin,omitempty" enum:"vm_provider,price_table,list,cloud" doc:"vm_provider: set in the VM provider config. price_table: from the table given to serve. list: a list price of the vendor, without discounts and taxes. cloud: told by the cloud's API."`
	Date     string   `json:"date,omitempty" doc:"When the figure was read." example:"2026-01-19"`
	Source   string   `json:"source,omitempty" doc:"Where the vendor publishes it."`
}

// Quote is the price of a machine.
type Quote struct {
	PerHour  *float64 `json:"per_hour,omitempty" doc:"Sum of the lines that have a price. Absent: the machine itself has none, so that its price is unknown."`
	Currency string   `json:"currency,omitempty"`
	Lines    []Line   `json:"lines"`
	Missing  []string `json:"missing,omitempty" doc:"What has no price. With these the machine costs more than per_hour says."`
}

// Known says that every part of the machine has a price.
func (q Quote) Known() bool { return q.PerHour != nil && len(q.Missing) == 0 }

// Overridden says that the operator has set a price that is part of the quote.
func (q Quote) Overridden() bool {
	for _, l := range q.Lines {
		if l.Origin == FromProvider || l.Origin == FromTable {
			return true
		}
	}
	return false
}

// String is the quote for people: "0.134 USD/h", "at least 0.134 USD/h (no price
// for disk x)", "unknown (no price for machine y in z)".
func (q Quote) String() string {
	missing := ""
	if len(q.Missing) > 0 {
		missing = "no price for " + strings.Join(q.Missing, ", ")
	}
	switch {
	case q.PerHour == nil && missing == "":
		return "unknown"
	case q.PerHour == nil:
		return "unknown (" + missing + ")"
	case missing != "":
		return fmt.Sprintf("at least %s %s/h (%s)", Figure(*q.PerHour), q.Currency, missing)
	}
	return fmt.Sprintf("%s %s/h", Figure(*q.PerHour), q.Currency)
}

// Fixed is the quote of a machine whose whole price has been told.
func Fixed(name string, perHour float64, currency string, origin Origin) Quote {
	perHour = round(perHour)
	return Quote{
		PerHour: &perHour, Currency: currency,
		Lines: []Line{{Part: Machine, Name: name, Quantity: 1, Price: &perHour, Per: PerHour, PerHour: &perHour, Currency: currency, Origin: origin}},
	}
}

// Figure writes an amount with the digits that matter: four behind the point, and
// more of an amount below a tenth.
func Figure(f float64) string {
	digits := 4
	for f != 0 && math.Abs(f) < math.Pow10(3-digits) && digits < 8 {
		digits++
	}
	text := strings.TrimRight(strconv.FormatFloat(f, 'f', digits, 64), "0")
	return strings.TrimSuffix(text, ".")
}

// round drops what sums of decimals in binary leave behind.
func round(f float64) float64 { return math.Round(f*1e9) / 1e9 }
