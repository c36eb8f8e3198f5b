// Package fakenutanix is a Prism Central in memory, for tests of the driver and
// of whole pools. It speaks HTTPS, and it holds every request that it gets and
// every answer that it gives against the vendor's own description of the API,
// which ships with the SDK.
//
// What it adds of its own: clones take time; names need not be unique; the
// description of a clone is that of its source, whatever the request says; what
// could not be made is not listed; a UUID is given out once; a category must
// exist before it is used, and is not deleted while it is.
package fakenutanix
