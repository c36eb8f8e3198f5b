// Package sim is a cloud that exists in memory only. It serves demonstrations,
// tests and benchmarks: it has latency, eventual consistency, quotas and
// stock-outs, and it fails in the ways in which real clouds fail.
//
// A [Cloud] has no goroutine and no timer. What a machine is doing follows
// from the injected clock at the moment of the call, so that a simulation that
// moves a fake clock by hand gets the same run for the same seed. Waiting
// happens in one case only: a [Behaviour] with Latency waits on the clock, or
// a fault of a script asks for a delay.
//
// # Life of a machine
//
//	stateDiagram-v2
//	  [*] --> pending : create takes effect
//	  pending --> running : boot time
//	  pending --> pending : Fault.NeverBoot
//	  pending --> failed : Fault.FailAfter
//	  running --> stopped : Fault.DieAfter, Cloud.Kill
//	  running --> deleting : delete takes effect
//	  pending --> deleting
//	  stopped --> deleting
//	  failed --> deleting
//	  deleting --> [*] : delete time
//
// A machine appears in listings ListLag after its create and is shown as
// deleting until ListLag after it is gone; Get lags by GetLag, and Delete does not
// find a new machine for as long: both answer as if it were gone, with the time by
// which it is surely shown. Idempotency tokens and quotas do not lag.
//
// # Faults
//
// Each call asks the script ([Cloud.Script]) for a [Fault]; when the script
// answers none, the [Rates] of the behaviour are drawn. Draws depend on the
// seed, the operation, the object and how often that object was called for,
// and not on the order in which concurrent calls arrive. The vocabulary:
//
//	| fault               | what happens                                                         |
//	| Err                 | the call answers this error and has no effect                        |
//	| Lost                | the call has its effect; the caller gets Unavailable                 |
//	| Hang                | no effect; the call answers when its context ends                    |
//	| Delay               | the call takes this much longer                                      |
//	| NeverBoot           | create: the machine stays pending                                    |
//	| FailAfter           | create: the machine turns to failed                                  |
//	| DieAfter            | create: the machine stops this long after it ran                     |
//	| Mute                | create: the machine runs and never checks in                         |
//	| Twice               | create: two machines are made, one is answered                       |
//	| LeaveDisk           | create: with Err, a disk is left without machine; delete: a disk stays |
//	| FailList + After    | list: ends with an error after so many machines, or after a page     |
//	| CutList + After     | list: ends without an error after so many machines, or after a page  |
//	| Repeat              | list: each machine is shown twice                                    |
//
// [Cloud.Outage] makes every call fail for a time, [Cloud.SetQuota] and
// [Cloud.SetStock] limit what can be made, RequestRate of the behaviour
// refuses calls with a time to wait.
package sim
