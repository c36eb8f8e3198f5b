package sim

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
)

// Operation names a call of the driver.
type Operation string

// The operations.
const (
	OpCheck         Operation = "check"
	OpCreate        Operation = "create"
	OpList          Operation = "list"
	OpGet           Operation = "get"
	OpDelete        Operation = "delete"
	OpListRemnants  Operation = "list_remnants"
	OpDeleteRemnant Operation = "delete_remnant"
	OpConsole       Operation = "console"
	OpPassword      Operation = "password"
)

// Call is what a script sees of a call before it has an effect.
type Call struct {
	Op     Operation
	N      int64 // how many calls of this operation the cloud has had, this one included
	At     time.Time
	Owner  provider.Owner // of the machine or the listing; empty when unknown
	Server string         // id of the server, empty when unknown
	ID     string         // of the machine or remnant, empty for create and list
	Offer  string
}

// Fault is what goes wrong with one call; the zero value is nothing. The
// package documentation explains each field.
type Fault struct {
	Err   *provider.Error
	Lost  bool
	Hang  bool
	Delay time.Duration

	NeverBoot bool
	FailAfter time.Duration
	FailClass provider.Class // of FailAfter: NoCapacity or Quota
	DieAfter  time.Duration
	Mute      bool
	Twice     bool
	LeaveDisk bool

	FailList bool
	CutList  bool
	Repeat   bool
	After    int // machines that are shown before FailList or CutList
}

// Refuse is a fault that answers an error of the class and has no effect.
func Refuse(class provider.Class) Fault {
	return Fault{Err: provider.Errorf(class, "the simulated cloud was told to answer %s", class)}
}

// Throttle is a refusal that names the time to wait; 0: it names none.
func Throttle(after time.Duration) Fault {
	return Fault{Err: &provider.Error{Class: provider.RateLimited, Message: "too many requests to the simulated cloud", After: after}}
}

// Rates are probabilities from 0 to 1 of faults, drawn for each call.
type Rates struct {
	FailCall   float64 // any call: Unavailable, no effect
	LoseCreate float64 // Lost
	LoseDelete float64 // Lost
	NeverBoot  float64
	FailBoot   float64 // FailAfter half of the boot time
	Die        float64 // DieAfter a time drawn around DieAfter
	DieAfter   time.Duration
	LeaveDisk  float64 // create refused with a disk left; delete with a disk left
	FailList   float64
	CutList    float64
}

// Law is how a duration is distributed around its mean.
type Law string

// The laws.
const (
	Fixed       Law = "fixed"       // always the mean
	Uniform     Law = "uniform"     // from 0 to twice the mean
	Exponential Law = "exponential" // many short, some long
	Lognormal   Law = "lognormal"   // as boot times of real clouds: a long tail; σ = 0.5
)

// Spread is a distribution of durations. Draws are cut at ten times the mean,
// and at Max when it is set.
type Spread struct {
	Law  Law // empty: Fixed
	Mean time.Duration
	Max  time.Duration
}

// Always is the spread that has one value only.
func Always(d time.Duration) Spread { return Spread{Law: Fixed, Mean: d} }

func (s Spread) draw(r *rand.Rand) time.Duration {
	const sigma = 0.5
	mean := float64(s.Mean)
	switch s.Law {
	case Uniform:
		mean *= 2 * r.Float64()
	case Exponential:
		mean *= r.ExpFloat64()
	case Lognormal:
		mean *= math.Exp(sigma*r.NormFloat64() - sigma*sigma/2)
	}
	d := min(time.Duration(mean), 10*s.Mean)
	if s.Max > 0 {
		d = min(d, s.Max)
	}
	return d
}

// random gives the draws of one call. It depends on what is called for and not
// on the order of concurrent calls.
func random(seed uint64, op Operation, key string, n int64) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(string(op) + "\x00" + key))
	return rand.New(rand.NewPCG(seed, h.Sum64()^uint64(n)*0x9e3779b97f4a7c15))
}

func (r Rates) draw(op Operation, rnd *rand.Rand) Fault {
	hit := func(p float64) bool { return p > 0 && rnd.Float64() < p }
	if hit(r.FailCall) {
		return Fault{Err: provider.Errorf(provider.Unavailable, "the simulated cloud failed by chance")}
	}
	var f Fault
	switch op {
	case OpCreate:
		if hit(r.LeaveDisk) {
			return Fault{LeaveDisk: true, Err: provider.Errorf(provider.Unavailable, "the simulated cloud made a disk and then failed")}
		}
		f.Lost = hit(r.LoseCreate)
		f.NeverBoot = hit(r.NeverBoot)
		if hit(r.FailBoot) {
			f.FailAfter = time.Nanosecond
		}
		if hit(r.Die) {
			f.DieAfter = max(Spread{Law: Exponential, Mean: max(r.DieAfter, time.Second)}.draw(rnd), time.Nanosecond)
		}
	case OpDelete:
		f.Lost, f.LeaveDisk = hit(r.LoseDelete), hit(r.LeaveDisk)
	case OpList:
		f.FailList, f.CutList = hit(r.FailList), hit(r.CutList)
	}
	return f
}
