// Package manifest reads the documents in which people declare zones, pools,
// providers and policies:
//
//	apiVersion: headroom.dev/v1
//	kind: Pool
//	metadata: {name: desktops, labels: {team: blue}}
//	spec: {type: docker_agent}
//
// [Parse] takes any number of texts, each with any number of YAML documents
// (JSON is YAML too), and reports everything that is wrong with any of them at
// once, with file, line and field path. What only the database knows, such as
// whether a referenced pool exists, is left to the caller: [References] lists
// what a document refers to. [Diff] compares specs for people.
package manifest
