// Package fleet holds the nouns of Headroom and the rules that belong to a
// single noun: what a zone, a pool, a server or a session is, which phases
// follow one another, how resources add up, what a valid name looks like and
// which errors a person can be shown.
//
// It is the lowest package of the tree: it imports the standard library only,
// does no I/O and knows no clock. The structs carry JSON tags and are the wire
// format of the REST API as well; there is no second set of "models".
package fleet
