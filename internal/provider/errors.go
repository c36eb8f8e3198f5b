package provider

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Class says what an error of a cloud means for Headroom. Each class has one
// consequence; the package documentation lists them.
type Class string

// The error classes.
const (
	NotFound        Class = "not_found"
	Invalid         Class = "invalid"
	Unauthenticated Class = "unauthenticated"
	Forbidden       Class = "forbidden"
	Quota           Class = "quota"
	NoCapacity      Class = "no_capacity"
	RateLimited     Class = "rate_limited"
	Conflict        Class = "conflict"
	Unavailable     Class = "unavailable"
	Unsupported     Class = "unsupported"
	Unknown         Class = "unknown"
)

// Error is an error of a cloud.
type Error struct {
	Class   Class
	Message string        // safe to show: no secret, the cloud's words where they help
	After   time.Duration // RateLimited: how long to wait; 0: the cloud did not say. Conflict of a create, NotFound of a machine: see doc.go
	Cause   error         // for logs
}

// Error is the class and the safe text.
func (e *Error) Error() string { return string(e.Class) + ": " + e.Message }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Errorf makes an Error of the given class. A %w operand becomes its cause.
func Errorf(class Class, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Class: class, Message: err.Error(), Cause: errors.Unwrap(err)}
}

// ClassOf is the class of the first Error in err's chain. A deadline that
// passed is Unavailable; anything else is Unknown.
func ClassOf(err error) Class {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Class
	case errors.Is(err, context.DeadlineExceeded):
		return Unavailable
	}
	return Unknown
}

// RetryAfter is how long the error asks to wait, 0 when it does not.
func RetryAfter(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) {
		return e.After
	}
	return 0
}

// TripsCircuit says that the class can never work until somebody changes the
// settings, so that the circuit of the provider config counts it.
func (c Class) TripsCircuit() bool {
	return c == Invalid || c == Unauthenticated || c == Forbidden || c == Unsupported
}

// FallsThrough says that another offer or provider may have what this one
// lacks.
func (c Class) FallsThrough() bool { return c == Quota || c == NoCapacity }

// MadeNothing says that a create which failed with this class left no machine
// behind. After any other class the machine may exist.
func (c Class) MadeNothing() bool {
	switch c {
	case Invalid, Unauthenticated, Forbidden, Quota, NoCapacity, RateLimited, Unsupported:
		return true
	}
	return false
}
