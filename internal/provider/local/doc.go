// Package local makes machines that are no virtual machines: each is a child
// process of the controller's host that runs "headroom agent". It is the
// default of the quick start and serves demonstrations and tests, because it
// needs no cloud. It isolates nothing: every machine shares the host, its
// user and its network with the controller. It works on Linux.
//
// # What a machine is made of
//
//	machines/<name>/           0700, below the data directory of the controller
//	  machine.json             who asked for it: tags, token of the request, shape
//	  lock                     held by the process as long as it lives
//	  agent.json  token        what the agent reads: its settings, its registration token
//	  user-data                the startup script, which is kept and not run
//	  pid  state/  agent.log   what the agent writes
//	  deleting                 when the delete was asked for; absent before
//
// The startup script is not run: scripts are written for machines of their
// own, and this one would be let loose on the controller's host.
//
// The directory is the only memory; a restarted controller finds everything
// again, and any number of drivers may look at it at once. It gets its name
// by a rename when it is complete and loses it by a rename when the process
// has ended, so that there are no half-made machines. A machine whose
// controller dies between making the directory and starting the process is
// shown as failed, and is started by a repeated Create with the same token.
//
// # Whether a machine lives
//
// Process ids are used again by the system, so they prove nothing. The lock
// does: it is an open file description lock, taken by Create before the
// directory is visible and inherited by the process. The kernel frees it when
// the last descriptor is closed, that is when the process ends in any way, a
// zombie included. Looking at the lock does not take it (F_OFD_GETLK; flock
// has no such question), so that a listing never stands in the way of a
// start. A signal goes only to a process that has this lock open as the
// descriptor it was given and that runs with the settings of this machine.
// The data directory must be on a file system of this host, not on NFS.
//
// # How the process is started
//
// Create runs the agent with "detach" in its settings: that process starts
// itself again in a session of its own and ends at once. Create waits for the
// first one, so it leaves no zombie; the second is no child of the controller
// and is reaped by the system's first process, whether the controller still
// lives or not. Waiting for the machine itself would need a goroutine for
// each, and ignoring SIGCHLD would break every other wait of the controller.
// In a container, the first process should therefore be an init (docker run
// --init), and a systemd unit needs KillMode=process, since machines are meant
// to outlive the controller.
//
// # Limits
//
// Where version 2 control groups are writable and offer cpu and memory, each
// machine gets a group of its own with cpu.max and memory.max; the group's
// name is in machine.json, and Delete removes it. Elsewhere there are no
// limits, and Check says so.
package local
