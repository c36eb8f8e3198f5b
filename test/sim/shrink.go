package sim

import (
	"time"
)

// Shrink looks for a shorter history with fewer accidents that breaks the same
// promise. play lives through a history; it is called until nothing can be left
// out any more or the budget of real time is used up, told by over.
func Shrink(h History, play func(Spec) History, over func() bool) History {
	best := h
	try := func(s Spec) bool {
		if over() {
			return false
		}
		got := play(s)
		if got.Failure == nil || got.Failure.Promise != h.Failure.Promise {
			return false
		}
		best = got
		return true
	}
	cut := func() {
		if best.Failure.At < best.Spec.Length {
			s := best.Spec
			s.Length = best.Failure.At.Truncate(time.Minute) + time.Minute
			try(s)
		}
	}
	cut()
	// Whole kinds first: most broken promises need one or two.
	for _, kind := range kindsOf(best.Spec.Accidents) {
		try(without(best.Spec, func(a Accident) bool { return a.Kind == kind }))
	}
	cut()
	// Then ever smaller parts of what is left.
	for parts := 2; len(best.Spec.Accidents) > 0 && !over(); {
		n := len(best.Spec.Accidents)
		parts = min(parts, n)
		size := (n + parts - 1) / parts
		less := false
		for from := 0; from < len(best.Spec.Accidents) && !over(); {
			list := best.Spec.Accidents
			drop := map[Accident]bool{}
			for _, a := range list[from:min(from+size, len(list))] {
				drop[a] = true
			}
			if try(without(best.Spec, func(a Accident) bool { return drop[a] })) {
				less = true
				continue
			}
			from += size
		}
		if !less && size == 1 {
			break
		}
		if !less || parts < 2 {
			parts *= 2
		}
	}
	cut()
	return best
}

func kindsOf(list []Accident) (out []string) {
	seen := map[string]bool{}
	for _, a := range list {
		if !seen[a.Kind] {
			seen[a.Kind] = true
			out = append(out, a.Kind)
		}
	}
	return out
}

func without(s Spec, drop func(Accident) bool) Spec {
	kept := make([]Accident, 0, len(s.Accidents))
	for _, a := range s.Accidents {
		if !drop(a) {
			kept = append(kept, a)
		}
	}
	s.Accidents = kept
	return s
}
