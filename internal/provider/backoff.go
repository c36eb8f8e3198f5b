package provider

import "time"

// Backoff is how long to wait before a step is repeated whose attempt (counted
// from 1) failed with the class. It doubles with each attempt up to a limit
// and always answers the same for the same input:
//
//	| class                                            | first | at most |
//	| NotFound                                         | 0     | 0       |
//	| Conflict                                         | 1 s   | 10 s    |
//	| Unavailable, Unknown                             | 1 s   | 60 s    |
//	| RateLimited                                      | 5 s   | 60 s    |
//	| Quota, NoCapacity                                | 30 s  | 10 min  |
//	| Invalid, Unauthenticated, Forbidden, Unsupported | 30 s  | 30 min  |
//
// For RateLimited, the time of [RetryAfter] comes first when there is one.
func Backoff(class Class, attempt int64) time.Duration {
	first, limit := time.Second, time.Minute
	switch class {
	case NotFound:
		return 0
	case Conflict:
		limit = 10 * time.Second
	case RateLimited:
		first = 5 * time.Second
	case Quota, NoCapacity:
		first, limit = 30*time.Second, 10*time.Minute
	case Invalid, Unauthenticated, Forbidden, Unsupported:
		first, limit = 30*time.Second, 30*time.Minute
	}
	d := first
	for ; attempt > 1 && d < limit; attempt-- {
		d *= 2
	}
	return min(d, limit)
}

func (c Class) known() bool {
	switch c {
	case NotFound, Invalid, Unauthenticated, Forbidden, Quota, NoCapacity, RateLimited, Conflict, Unavailable, Unsupported, Unknown:
		return true
	}
	return false
}
