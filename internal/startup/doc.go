// Package startup prepares the startup scripts of machines: it substitutes the
// variables of a script ([Render]), finds mistakes before a machine is made
// with it ([Check]), and packs it for the channel by which it reaches the
// machine ([Pack]).
//
// A script is written once, by the operator, in Bash, PowerShell, batch or as a
// cloud-config; what a channel demands around it (a marker in the first line, a
// MIME envelope, compression, a small script that fetches the large one) is
// added here, so that nobody writes it by hand. Package provider lets each kind
// of cloud say by [Channel] what its machines can take.
package startup
