// Package sim runs the real planner, the real control loops, the real service
// and a real database on virtual time against the simulated cloud, one thing
// after the other, so that a seed always gives the same history. After each
// step the promises of the system are checked.
//
// Everything that people, agents, operators, the cloud and the database do or
// fail to do is an [Accident]: the n-th opportunity of its kind, which is taken
// or not by a draw that depends on the seed, the kind and n alone. A history can
// therefore be lived through again with some of its accidents left out. That is
// how [Shrink] finds the few that a broken promise needs.
package sim
