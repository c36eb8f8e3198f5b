// Package simulate runs a whole installation on virtual time: the real planner,
// the real control loops, the real service and a real database in memory, one
// step after the other, against the simulated cloud. A seed always gives the
// same history.
//
// An [Engine] is the installation and its clock. [BackTest] lets a recorded or
// imagined demand meet policies and measures how long people waited and what
// the machines would have cost. The simulation tests use the same engine, and
// add crashes, faults and checks.
package simulate
