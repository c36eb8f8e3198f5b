// Package claim holds the rules by which sessions get and give up capacity.
// Every function works inside of a transaction of the caller, so that a change
// of a session, of the server that it sits on and of the queue behind it is one
// commit. People's requests and the system's own loops use the same rules:
//
//   - The queue of a pool is served first come, first served. A session that
//     finds nobody ahead of it is placed at once ([Place]); otherwise it waits
//     and [AssignQueued] places it when its turn comes.
//   - A session that waits for one zone only holds up later sessions on that
//     zone and no others. A session that may run anywhere holds up all.
//   - Whoever ends a session ends it with [End], which serves the queue from
//     the capacity that became free before anybody else can take it.
//   - A one-shot server whose last session has ended is spent and no longer
//     open, so that the queue is not served from it; the planner retires it.
package claim
