package simulate

import (
	"cmp"
	"container/heap"
	"math/rand/v2"
	"time"
)

// task is a piece of work that is due at some moment.
type task struct{ what, key string }

// The kinds of tasks.
const (
	taskPool     = "pool"
	taskServer   = "server"
	taskProvider = "provider"
	taskRemnants = "remnants"
	taskSessions = "sessions"
	taskAgents   = "agents"
	taskReset    = "reset"
	taskRetain   = "retain"
	taskCall     = "call" // of the user of the engine
	taskMail     = "mail" // of a machine
)

// agenda holds each task at most once, with the moment at which it is due.
type agenda struct {
	due   map[task]time.Time
	queue entries // may hold entries that are out of date: due decides
}

func newAgenda() *agenda { return &agenda{due: map[task]time.Time{}} }

// add makes a task due at a moment, unless it is due before.
func (a *agenda) add(t task, at time.Time) {
	if old, ok := a.due[t]; ok && !at.Before(old) {
		return
	}
	a.due[t] = at
	heap.Push(&a.queue, entry{at, t})
}

func (a *agenda) has(t task) bool {
	_, ok := a.due[t]
	return ok
}

// forget drops every task that keep does not want.
func (a *agenda) forget(keep func(task) bool) {
	var kept entries
	for t, at := range a.due {
		if !keep(t) {
			delete(a.due, t)
			continue
		}
		kept = append(kept, entry{at, t})
	}
	a.queue = kept
	heap.Init(&a.queue)
}

// next is the moment of the first task.
func (a *agenda) next() (time.Time, bool) {
	for len(a.queue) > 0 && !a.valid(a.queue[0]) {
		heap.Pop(&a.queue)
	}
	if len(a.queue) == 0 {
		return time.Time{}, false
	}
	return a.queue[0].at, true
}

// take removes one of the tasks that are due first, drawn at random.
func (a *agenda) take(rnd *rand.Rand) (task, bool) {
	at, ok := a.next()
	if !ok {
		return task{}, false
	}
	var first []entry // in order of their names, so that the draw is repeatable
	for len(a.queue) > 0 && a.queue[0].at.Equal(at) {
		e := a.pop()
		if a.valid(e) && (len(first) == 0 || first[len(first)-1].task != e.task) {
			first = append(first, e)
		}
	}
	drawn := rnd.IntN(len(first))
	for i, e := range first {
		if i != drawn {
			heap.Push(&a.queue, e)
		}
	}
	delete(a.due, first[drawn].task)
	return first[drawn].task, true
}

func (a *agenda) pop() entry {
	first := a.queue[0]
	heap.Pop(&a.queue)
	return first
}

func (a *agenda) valid(e entry) bool {
	at, ok := a.due[e.task]
	return ok && at.Equal(e.at)
}

// entry is a task in the order of time, and of names within a moment.
type entry struct {
	at   time.Time
	task task
}

type entries []entry

func (e entries) Len() int { return len(e) }

func (e entries) Less(i, j int) bool {
	if c := e[i].at.Compare(e[j].at); c != 0 {
		return c < 0
	}
	return cmp.Or(cmp.Compare(e[i].task.what, e[j].task.what), cmp.Compare(e[i].task.key, e[j].task.key)) < 0
}

func (e entries) Swap(i, j int) { e[i], e[j] = e[j], e[i] }

func (e *entries) Push(x any) {
	if v, ok := x.(entry); ok {
		*e = append(*e, v)
	}
}

func (e *entries) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}
