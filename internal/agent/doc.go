// Package agent is the program that runs on a machine: it registers the
// machine with its controller, reports capacity and load, and obeys orders.
//
// # Identity
//
//	stateDiagram-v2
//	  [*] --> unregistered : credential made and stored
//	  unregistered --> registered : controller accepts token and credential
//	  registered --> rotating : ordered; the next credential is stored
//	  rotating --> registered : controller accepts the next credential
//	  registered --> [*] : the controller no longer knows the server
//	  unregistered --> [*] : the token is refused
//
// Whatever the agent sends for the first time it has stored before, so that a
// crash or a lost answer at any point is mended by sending the same again.
//
// The agent does its work in one goroutine, the caller's. It gives up only
// when a controller itself says that the machine is not, or no longer, its
// own; what a proxy answers, and silence, are waited out.
package agent
