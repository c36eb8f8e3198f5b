package fleet

import (
	"errors"
	"fmt"
	"strings"
)

// Code classifies an error that a person or a client program can be shown.
type Code string

// The error codes.
const (
	CodeInvalid         Code = "invalid"          // the input is wrong; Fields says where
	CodeNotFound        Code = "not_found"        // the named thing does not exist
	CodeConflict        Code = "conflict"         // the thing is in a state that forbids it
	CodeVersionMismatch Code = "version_mismatch" // somebody else changed it meanwhile
	CodeInUse           Code = "in_use"           // other things still depend on it
	CodeQueueFull       Code = "queue_full"       // the pool's queue takes no further session
	CodeUnauthenticated Code = "unauthenticated"  // no or no valid credential
	CodeForbidden       Code = "forbidden"        // the credential does not allow it
	CodeTooLarge        Code = "too_large"        // the input exceeds a size limit
	CodeUnavailable     Code = "unavailable"      // it cannot be done now; trying again can help
	CodeInternal        Code = "internal"         // a defect of ours
)

// FieldError is one thing that is wrong with one field of an input.
type FieldError struct {
	Source  string `json:"source,omitempty" doc:"Where the document came from: file and line." example:"pool.yaml:12"`
	Path    string `json:"path" doc:"Path of the field." example:"spec.standby.cores"`
	Value   any    `json:"value,omitempty" doc:"What was there; absent for secrets."`
	Message string `json:"message" doc:"The rule that is broken and how to mend it."`
}

// String is "pool.yaml:12: spec.standby.cores: message".
func (f FieldError) String() string {
	var b strings.Builder
	if f.Source != "" {
		b.WriteString(f.Source + ": ")
	}
	if f.Path != "" {
		b.WriteString(f.Path + ": ")
	}
	b.WriteString(f.Message)
	return b.String()
}

// NotDeletedYet is part of the message of an in_use refusal that ends by itself:
// what is in the way is leaving.
const NotDeletedYet = "not deleted yet"

// Error is an error whose text may be shown to whoever caused it. The cause,
// if any, is for logs only.
type Error struct {
	Code    Code
	Message string
	Fields  []FieldError
	Cause   error
}

// Error is the safe text with every field error.
func (e *Error) Error() string {
	if len(e.Fields) == 0 {
		return e.Message
	}
	var b strings.Builder
	b.WriteString(e.Message)
	for _, f := range e.Fields {
		b.WriteString("\n  " + f.String())
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Errorf makes an Error of the given code.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), Cause: errors.Unwrap(err)}
}

// Invalid makes an Error that lists what is wrong with an input, nil when the
// list is empty.
func Invalid(what string, fields []FieldError) error {
	if len(fields) == 0 {
		return nil
	}
	problems := "1 problem"
	if len(fields) > 1 {
		problems = fmt.Sprintf("%d problems", len(fields))
	}
	return &Error{Code: CodeInvalid, Message: what + ": " + problems, Fields: fields}
}

// CodeOf is the code of the first Error in err's chain, CodeInternal without
// one.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}
