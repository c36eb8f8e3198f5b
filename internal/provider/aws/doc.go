// Package aws makes machines as instances of Amazon EC2, and keeps DNS records
// in Route 53.
//
// # What a machine is made of
//
// One instance, its volumes and its network interfaces; volumes and interfaces
// are made to end with it. All of them bear four tags, headroom-installation,
// -provider, -autoscale and -server, which RunInstances sets in the same step, so
// that nothing unmarked exists at any moment. A spot machine has a one-time spot
// request besides, which ends with the instance.
//
// RunInstances carries a client token that is derived from the token of the
// request: a repeated call is answered with the instance of the first. EC2
// remembers the token together with every parameter. Where a parameter has
// changed meanwhile, as the newest image of a name does, EC2 answers
// IdempotentParameterMismatch, and the instance is looked for by its token.
//
// # Calls
//
// A create is DescribeImages, which tells the image's devices, and RunInstances;
// with an image by SSM parameter it is RunInstances alone. Delete, Get and Console
// are one call each. A listing is one call for each 1,000 machines, one that asks
// for scheduled events, and with spot one that asks for interruptions.
//
// # Consistency
//
// EC2 shows a new instance after some seconds, and a terminated one for about an
// hour. InvalidInstanceID.NotFound therefore means that an instance is gone unless
// it has just been made; the error says so by its time. A terminated instance is
// gone: List leaves it out, and Get answers NotFound with EC2's reason.
//
// # Least permissions
//
// The policy in docs/providers/aws.md; [actions] lists what `provider check`
// tries by dry runs. For DNS see [DNSKind].
//
// API reference: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/Welcome.html
package aws
