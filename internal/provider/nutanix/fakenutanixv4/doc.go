// Package fakenutanixv4 is a Prism Central in memory that speaks the v4 API, for
// tests of the driver and of whole pools. It speaks HTTPS.
//
// Nothing of the API is described here a second time: which operations there
// are, with which queries and which bodies, is read from the source of the
// vendor's SDK in the module cache, and bodies and answers are decoded with the
// SDK's own types, which must know every field, every type and every value.
//
// What those types do not say is added from what users of the API report:
// changes of virtual machines need the ETag of what is changed, a clone is not
// switched on, its task names its source too, a token of a request is answered
// once, and a category cannot go while something bears it.
package fakenutanixv4
