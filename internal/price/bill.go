package price

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Bill is what machines cost together. Currencies are never added to one
// another.
type Bill struct {
	Machines int64    `json:"machines"`
	Unknown  int64    `json:"unknown,omitempty" doc:"Machines of which something has no price: the amounts leave that out."`
	Amounts  []Amount `json:"amounts" doc:"One for each currency. Empty: nothing has a price."`
}

// Amount is a sum of money for each hour that machines run.
type Amount struct {
	Currency  string  `json:"currency" example:"USD"`
	PerHour   float64 `json:"per_hour"`
	Per30Days float64 `json:"per_30_days" doc:"If they ran for 30 days."`
}

// Add adds n machines of one price; n may be negative.
func (b *Bill) Add(q Quote, n int64) {
	b.Machines += n
	if !q.Known() {
		b.Unknown += n
	}
	if q.PerHour != nil {
		b.amount(q.Currency, *q.PerHour*float64(n))
	}
}

// AddBill adds another bill.
func (b *Bill) AddBill(o Bill) {
	b.Machines, b.Unknown = b.Machines+o.Machines, b.Unknown+o.Unknown
	for _, a := range o.Amounts {
		b.amount(a.Currency, a.PerHour)
	}
}

func (b *Bill) amount(currency string, perHour float64) {
	i, ok := slices.BinarySearchFunc(b.Amounts, currency, func(a Amount, c string) int { return cmp.Compare(a.Currency, c) })
	if !ok {
		b.Amounts = slices.Insert(slices.Clone(b.Amounts), i, Amount{Currency: currency})
	}
	a := &b.Amounts[i]
	a.PerHour = round(a.PerHour + perHour)
	a.Per30Days = round(a.PerHour * 24 * daysShown)
}

// Clone is a bill that can be added to without changing this one. Its amounts
// are never nil.
func (b Bill) Clone() Bill {
	b.Amounts = append([]Amount{}, b.Amounts...)
	return b
}

// String is the bill for people: "1.2 USD/h", "1.2 USD/h + 3 EUR/h (2 machines have
// no full price)".
func (b Bill) String() string {
	var parts []string
	for _, a := range b.Amounts {
		parts = append(parts, fmt.Sprintf("%s %s/h", Figure(a.PerHour), a.Currency))
	}
	text := strings.Join(parts, " + ")
	switch {
	case b.Machines == 0:
		return "nothing"
	case text == "":
		return "unknown"
	case b.Unknown == 1:
		return text + " (1 machine has no full price)"
	case b.Unknown > 1:
		return fmt.Sprintf("%s (%d machines have no full price)", text, b.Unknown)
	}
	return text
}
