// Package store keeps the state of Headroom in SQLite or PostgreSQL.
//
// There is one SQL text for both databases; the few places that cannot share
// it are the connection set-up and the row locks of PostgreSQL. Times are
// stored as microseconds since the epoch, JSON and bytes as text.
//
// # Writing
//
// [Store.Write] runs a closure in a transaction and returns once the commit is
// durable. Concurrent writers share a commit: the first becomes leader, runs
// the closures that queued up behind it, each under its own savepoint, commits
// once, answers everybody and hands the lead on. On SQLite those that come while
// it runs join it before the commit. A lone writer runs inline in its own
// goroutine; the package starts no goroutine of its own.
//
// On PostgreSQL, statements whose answer nobody waits for are sent together with
// the next one (pipeline.go), and several connections commit at once, of which
// [Store.WriteSession] uses one.
//
// A closure may run more than once and must therefore touch nothing but its
// [Tx] and variables that it sets anew on each run. It must not call Write or
// Read. An SQL error inside of a closure ends it: every later call on its Tx
// returns the same error, and so does Write, whatever the closure returns.
// [ErrNotFound], [ErrExists] and [ErrStale] are answers, not such errors.
//
// # Events
//
// Events are buffered per closure and numbered from one counter row as the
// last act before the commit. The row stays locked until the commit, so that
// the order of sequence numbers is the order of commits, on several nodes too:
// a reader that has seen number n has seen every event before it.
//
// # Claims
//
// [Tx.Claim], [Tx.Release] and the hand-over of a staged session in
// [Tx.SaveSession] are the only statements that change what a server has given
// out. See claims.go for how the cost of a claim is bounded.
package store
