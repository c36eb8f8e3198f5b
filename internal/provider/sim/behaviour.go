package sim

import (
	"github.com/headroom-dev/headroom/internal/fleet"
)

// Behaviour is how the cloud treats the calls of one driver.
type Behaviour struct {
	Token       string          // credential that the driver shows
	Shape       fleet.Resources // of the machines
	Offers      []string        // names; empty: one nameless kind of machine
	Quota       int             // machines of one owner that may exist at once; 0: no limit of its own
	Boot        Spread
	DeleteTime  Spread // from the delete's effect until the machine is gone
	ListLag     Spread
	GetLag      Spread
	Latency     Spread               // of each call; a listing has it once per page
	LatencyOf   map[Operation]Spread // instead of Latency
	Page        int                  // machines on one page of a listing; 0: 100
	RequestRate float64              // calls per second above which the cloud refuses; 0: no limit
	NoTokens    bool                 // a repeated create makes another machine, as on clouds without idempotency
	ReuseIDs    bool                 // a new machine gets the lowest id that is free, as where clients choose small numbers
	Rates       Rates
}

func (b Behaviour) latency(op Operation) Spread {
	if s, ok := b.LatencyOf[op]; ok {
		return s
	}
	return b.Latency
}
