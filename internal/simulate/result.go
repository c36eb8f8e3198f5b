package simulate

import (
	"math"
	"slices"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/price"
)

// Result is how one policy met a demand.
type Result struct {
	Policy   string           `json:"policy"`
	Sessions SessionFigures   `json:"sessions"`
	Waiting  WaitingFigures   `json:"waiting"`
	Machines MachineFigures   `json:"machines"`
	Costs    []Cost           `json:"costs,omitempty"` // one for each currency; empty: nothing has a price
	Provider []ProviderFigure `json:"providers"`
	Assumed  []string         `json:"assumed"` // what was taken for granted of this policy
	Notes    []string         `json:"notes,omitempty"`
	Samples  Samples          `json:"samples"`
}

// SessionFigures count the sessions.
type SessionFigures struct {
	Asked   int64   `json:"asked"`
	Served  int64   `json:"served"`
	GaveUp  int64   `json:"gave_up"`   // waited for too long
	Refused int64   `json:"refused"`   // were not even let into the queue
	Short   int64   `json:"cut_short"` // lost their machine
	Warm    int64   `json:"warm"`      // were served at once
	Share   float64 `json:"warm_share"`
	Hours   float64 `json:"hours"` // of use
}

// WaitingFigures are how long people waited, those who gave up included.
type WaitingFigures struct {
	P50  fleet.Duration `json:"p50"`
	P95  fleet.Duration `json:"p95"`
	P99  fleet.Duration `json:"p99"`
	Max  fleet.Duration `json:"max"`
	Mean fleet.Duration `json:"mean"`
}

// MachineFigures are what the policy spent.
type MachineFigures struct {
	Hours          float64        `json:"hours"`
	PerSessionHour float64        `json:"per_session_hour"` // 0: there was no session
	Most           int64          `json:"most"`             // at once
	Made           int64          `json:"made"`
	Deleted        int64          `json:"deleted"`
	AtCeiling      fleet.Duration `json:"at_ceiling"` // more machines were wanted than max_servers and max_instances allow
	CeilingShare   float64        `json:"at_ceiling_share"`
}

// ProviderFigure is what one provider config did.
type ProviderFigure struct {
	Name  string   `json:"name"`
	Hours float64  `json:"machine_hours"`
	Most  int64    `json:"most"`
	Price *float64 `json:"price,omitempty"` // of a machine and hour
	// Currency and origin of the price; see package price.
	Currency string       `json:"currency,omitempty"`
	Origin   price.Origin `json:"price_from,omitempty"`
}

// Cost is a sum in one currency.
type Cost struct {
	Currency string  `json:"currency"`
	Amount   float64 `json:"amount"`
}

// Samples are mean values over stretches of equal length. Demand and machines
// have the same unit: what a session needs is told as the part of a machine
// that it fills.
type Samples struct {
	From     time.Time      `json:"from"`
	Step     fleet.Duration `json:"step"`
	Active   []float64      `json:"active"`
	Waiting  []float64      `json:"waiting"`
	Ready    []float64      `json:"ready"`
	ComingUp []float64      `json:"coming_up"`
}

// quantile is the smallest value that at least the share q of the values does
// not exceed. The values are sorted.
func quantile(sorted []time.Duration, q float64) fleet.Duration {
	if len(sorted) == 0 {
		return 0
	}
	i := int(math.Ceil(q*float64(len(sorted)))) - 1
	return fleet.Duration(sorted[min(max(i, 0), len(sorted)-1)])
}

func waiting(waits []time.Duration) WaitingFigures {
	if len(waits) == 0 {
		return WaitingFigures{}
	}
	slices.Sort(waits)
	sum := time.Duration(0)
	for _, w := range waits {
		sum += w
	}
	return WaitingFigures{
		P50: quantile(waits, 0.5), P95: quantile(waits, 0.95), P99: quantile(waits, 0.99), Max: quantile(waits, 1),
		Mean: fleet.Duration((sum / time.Duration(len(waits))).Round(time.Millisecond)),
	}
}

// round keeps figures readable where they are printed as they are.
func round(f float64, digits int) float64 {
	p := math.Pow10(digits)
	return math.Round(f*p) / p
}
