package gcp

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	compute "google.golang.org/api/compute/v1"
	"google.golang.org/api/googleapi"

	"github.com/headroom-dev/headroom/internal/provider"
)

// classify turns an error of the SDK into one of ours. The service says by a
// reason what a status leaves open.
// https://cloud.google.com/compute/docs/reference/rest/v1/errors
func classify(err error, now time.Time) error {
	if err == nil {
		return nil
	}
	var e *googleapi.Error
	var ours *provider.Error
	switch {
	case errors.As(err, &ours):
		return ours
	case !errors.As(err, &e):
		if t := provider.TransportError(err); t != nil {
			return t
		}
		return provider.Errorf(provider.Unknown, "%w", err)
	}
	reason := reasonOf(e)
	out := &provider.Error{Class: provider.StatusClass(e.Code), Message: e.Message, Cause: err}
	if out.Class == provider.RateLimited { // by the status alone, whoever says so
		out.After = provider.RetryAfterHeader(e.Header, now)
	}
	if reason == "" && e.Message == "" { // no error of the API's form: a proxy in between, or a wrong endpoint
		if out.Class == provider.NotFound || out.Class == provider.Forbidden {
			out.Class = provider.Unavailable
		}
		out.Message = fmt.Sprintf("the answer, with status %d, is none of Google's: check endpoint, and the proxies in between", e.Code)
		return out
	}
	switch {
	case isRate(reason, e.Message):
		out.Class = provider.RateLimited
	case isQuota(reason):
		out.Class = provider.Quota
	case isShort(reason, e.Message):
		out.Class = provider.NoCapacity
	case squeezed(reason) == "conditionnotmet" && strings.Contains(e.Message, "onstraint"): // what an organization's policy forbids
		out.Class = provider.Invalid
	case reason == "resourceNotReady", reason == "resourceInUseByAnotherResource":
		out.Class = provider.Conflict
	case reason == "accessNotConfigured", reason == "SERVICE_DISABLED":
		out.Class = provider.Forbidden
		out.Message = "an API of Google Cloud is not enabled for the project (" + e.Message + "): enable it, and wait some minutes"
	case out.Class == provider.Unauthenticated:
		out.Message = "the credentials are refused (" + e.Message + "): see that the service account and its key exist and are enabled"
	case out.Class == provider.Forbidden:
		out.Message = forbidden(e.Message)
	}
	if out.Message == "" {
		out.Message = fmt.Sprintf("the service answered with status %d %s", e.Code, reason)
	}
	if out.Class == provider.RateLimited {
		out.After = provider.RetryAfterHeader(e.Header, now)
	}
	return out
}

func reasonOf(e *googleapi.Error) string {
	for _, item := range e.Errors {
		if item.Reason != "" {
			return item.Reason
		}
	}
	for _, d := range e.Details {
		if m, ok := d.(map[string]any); ok {
			if reason, _ := m["reason"].(string); reason != "" {
				return reason
			}
		}
	}
	return ""
}

// squeezed is a reason without what differs between the forms that the API has
// for it: rateLimitExceeded in answers, RATE_LIMIT_EXCEEDED in details of them and
// in operations.
func squeezed(reason string) string { return strings.ToLower(strings.ReplaceAll(reason, "_", "")) }

// perTime is how the text of a used-up rate names it; limits of what there may be
// at once have no time.
var perTime = regexp.MustCompile(`(?i)quota exceeded .*\bper (\d+ )?(second|minute|hour|day)`)

func isRate(reason, message string) bool {
	switch squeezed(strings.TrimSuffix(reason, "_WITH_DETAILS")) {
	case "ratelimitexceeded", "userratelimitexceeded", "dailylimitexceeded", "operationrateexceeded", "resourceoperationrateexceeded", "concurrentoperationsquotaexceeded", "servinglimitexceeded":
		return true
	}
	return perTime.MatchString(message)
}

// isShort says that a zone or a reservation has no machine left.
func isShort(reason, message string) bool {
	for _, text := range []string{reason, message} {
		if text = squeezed(text); strings.Contains(text, "resourcepoolexhausted") || strings.Contains(text, "stockout") {
			return true
		}
	}
	return strings.Contains(message, "not have enough resources available") || strings.Contains(message, "not have available resources")
}

func isQuota(reason string) bool {
	switch code := squeezed(reason); code {
	case "limitexceeded":
		return true
	default:
		return strings.HasPrefix(code, "quotaexceeded") || strings.HasPrefix(code, "ipspaceexhausted")
	}
}

var permissionRule = regexp.MustCompile(`'?\b([a-z]+\.[a-zA-Z]+\.[a-zA-Z]+)'? permission|[Pp]ermission '?([a-z]+\.[a-zA-Z]+\.[a-zA-Z]+)\b`)

// permissionIn is the permission that a refusal names, empty when it names none.
func permissionIn(message string) string {
	m := permissionRule.FindStringSubmatch(message)
	if m == nil {
		return ""
	}
	return m[1] + m[2]
}

func forbidden(message string) string {
	if p := permissionIn(message); p != "" {
		return "the service account lacks the permission " + p + " (" + message + "): grant it; `headroom provider check` names all that are missing"
	}
	return message + "; `headroom provider check` names the permissions that are missing"
}

// statusOf is the HTTP status of an error of the SDK, 0 for others.
func statusOf(err error) int {
	var e *googleapi.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

// isAbsent says that the very object is not there, as against its zone, its
// project, or the API itself, which are answered with the same status.
func isAbsent(err error, kind, name string) bool {
	var e *googleapi.Error
	return errors.As(err, &e) && e.Code == http.StatusNotFound && strings.Contains(e.Message, "/"+kind+"/"+name+"'")
}

// refused is an error of a call in which nothing but what the settings refer to
// can be missing.
func refused(err error, now time.Time) error {
	err = classify(err, now)
	var e *provider.Error
	if !errors.As(err, &e) {
		return err
	}
	return notOffered(e)
}

var missingType = regexp.MustCompile(`machineTypes/|machine type`)

// notOffered tells a machine type that a zone does not have from other bad
// references: the next offer may work then.
func notOffered(e *provider.Error) error {
	absent := e.Class == provider.NotFound || e.Class == provider.Invalid && (strings.Contains(e.Message, "not found") || strings.Contains(e.Message, "does not exist"))
	switch {
	case absent && missingType.MatchString(e.Message):
		e.Class = provider.NoCapacity
		e.Message = "the machine type is not offered in the zone (" + e.Message + ")"
	case e.Class == provider.NotFound:
		e.Class = provider.Invalid
		e.Message = "what the settings name does not exist, or the service account may not see it (" + e.Message + "): `headroom provider check` looks at each reference"
	}
	return e
}

// operationFault is why an operation failed, nil when it did not.
func operationFault(op *compute.Operation) *provider.Error {
	if op == nil || op.Error == nil || len(op.Error.Errors) == 0 {
		return nil
	}
	first := op.Error.Errors[0]
	out := &provider.Error{Class: operationClass(first.Code, first.Message), Message: first.Code + ": " + first.Message}
	if out.Class == provider.Unknown && op.HttpErrorStatusCode != 0 {
		out.Class = provider.StatusClass(int(op.HttpErrorStatusCode))
	}
	switch out.Class {
	case provider.Forbidden:
		out.Message = forbidden(out.Message)
	case provider.NotFound, provider.Invalid:
		var e *provider.Error
		if errors.As(notOffered(out), &e) {
			return e
		}
	}
	return out
}

func operationClass(code, message string) provider.Class {
	switch {
	case isRate(code, message):
		return provider.RateLimited
	case isQuota(code):
		return provider.Quota
	case isShort(code, ""):
		return provider.NoCapacity
	}
	switch code {
	case "RESOURCE_NOT_FOUND":
		return provider.NotFound
	case "RESOURCE_ALREADY_EXISTS", "RESOURCE_NOT_READY", "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE":
		return provider.Conflict
	case "PERMISSIONS_ERROR", "FORBIDDEN", "SERVICE_ACCOUNT_ACCESS_DENIED", "KMS_PERMISSION_DENIED":
		return provider.Forbidden
	case "INTERNAL_ERROR", "UNAVAILABLE", "BACKEND_ERROR", "TIMEOUT", "DEADLINE_EXCEEDED":
		return provider.Unavailable
	case "INVALID_FIELD_VALUE", "INVALID_USAGE", "BAD_REQUEST", "CONDITION_NOT_MET", "UNSUPPORTED_OPERATION", "INVALID_ARGUMENT", "ORG_POLICY_VIOLATION", "CONSTRAINT_VIOLATION":
		if isShort("", message) { // a reservation that is used up
			return provider.NoCapacity
		}
		return provider.Invalid
	}
	if isShort("", message) {
		return provider.NoCapacity
	}
	return provider.Unknown
}
