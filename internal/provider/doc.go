// Package provider is the contract between Headroom and the clouds, and the
// client that calls a cloud on behalf of the control loops.
//
// A kind of cloud implements [Driver] and describes itself with a [Kind]. The
// driver translates; everything that is the same for all clouds is done once
// in [Client]: deadlines, rate limit and concurrency, adoption before a
// repeated create, the check of ownership before a delete, the list cache,
// redaction and metrics. A driver therefore never logs, sleeps, retries,
// starts goroutines or keeps state between calls.
//
// # Life of a machine in the cloud
//
//	stateDiagram-v2
//	  [*] --> pending : Create accepted
//	  pending --> running
//	  pending --> failed : cloud gave up
//	  running --> stopped : crashed, powered off
//	  running --> deleting : Delete accepted
//	  stopped --> deleting : Delete accepted
//	  failed --> deleting : Delete accepted
//	  deleting --> [*] : Get says NotFound
//
// # Startup scripts
//
// [Kind].Channel says how a script reaches the machines. Mostly it is part of
// the create call: Request.Bootstrap.UserData holds it, packed for the channel.
// Where the hypervisor runs programs in the guest, the driver is a
// [ScriptRunner], and the control loop takes the script step by step through it.
//
// # Errors
//
// Each error of a driver has a [Class], and each class has one consequence:
//
//	| class           | consequence                                                                    |
//	| NotFound        | the object is gone; a delete has finished                                      |
//	| Invalid         | the circuit of the provider config counts it; the machine fails                |
//	| Unauthenticated | the circuit counts it; the machine waits                                       |
//	| Forbidden       | the circuit counts it; the machine waits                                       |
//	| Quota           | the next provider of the list is used; the provider is avoided for a while     |
//	| NoCapacity      | the next offer, then the next provider is used; the offer is avoided for a while |
//	| RateLimited     | the provider's calls pause for the stated time                                 |
//	| Conflict        | the step is repeated after a fresh look                                        |
//	| Unavailable     | the step is repeated with backoff                                              |
//	| Unsupported     | the circuit counts it; the machine fails                                       |
//	| Unknown         | the step is repeated with backoff; a create is looked for before it is repeated |
//
// A create that consists of several operations, of which one takes its time,
// answers Conflict with a time to wait ([Error.After]) until that one is done:
// the machine itself does not exist yet, for certain, and the same call goes on
// where it was. A cloud that shows a new machine late, and does not tell one that
// it does not show yet from one that is long gone, answers NotFound with the time
// ([Error.After]) by which it has surely shown it: a machine that was asked for
// more recently does not pass for gone. A cloud that accepts a create and finds out afterwards that it
// has no room says so with the machine's state; [Instance.FaultClass] then has
// the consequence that the error would have had.
package provider
