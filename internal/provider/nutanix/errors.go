package nutanix

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
)

// reasonClass is the class of a machine-readable reason of the API: the
// enumeration of message_resource with v3, the error group with v4, which no
// published model lists; empty: that of the HTTP status counts.
//
// That v3 says RESOURCE_SHORTAGE of a cluster whose storage pool is above its
// threshold: https://github.com/nutanix-cloud-native/packer-plugin-nutanix/issues/402.
// That v4 says INSUFFICIENT_RESOURCES_ERROR, code VMM-30128, where no host has
// room: https://github.com/nutanix/nutanix.ansible/pull/1143.
func reasonClass(reason string) provider.Class {
	switch reason {
	case "ENTITY_NOT_FOUND":
		return provider.NotFound
	case "RESOURCE_SHORTAGE", "INSUFFICIENT_RESOURCES_ERROR", "AFFINITY_FAILURE", "NO_POLICY_COMPLIANT_CLUSTER", "NO_STORAGE_POLICY_COMPLIANT_CONTAINER":
		return provider.NoCapacity
	case "AUTHENTICATION_REQUIRED", "BEARER_TOKEN_EXPIRED", "BEARER_TOKEN_BAD_SIGNATURE", "UNCONFIGURED_API_KEY":
		return provider.Unauthenticated
	case "ACCESS_DENIED", "ACCESS_FORBIDDEN", "INTERNAL_ROLE_ACCESS_DENIED", "RESERVED_ROLE_ACCESS_DENIED":
		return provider.Forbidden
	case "TOO_MANY_REQUESTS":
		return provider.RateLimited
	case "CONCURRENT_REQUESTS_NOT_ALLOWED", "ENTITY_ALREADY_EXISTS", "SPEC_UPDATE_ERROR":
		return provider.Conflict
	case "SERVICE_UNAVAILABLE", "REMOTE_CLUSTER_NOT_CONNECTED", "REMOTE_CLUSTER_IP_FETCH_FAILED", "DIRECTORY_SERVICE_CONNECTION_FAILED",
		"IDP_NOT_REACHABLE", "INTERNAL_ERROR", "INTERNAL_ERROR_REMOTE_REQUEST", "CLOUD_UNREACHABLE_ERROR":
		return provider.Unavailable
	case "ACTION_NOT_SUPPORTED", "REQUEST_NOT_SUPPORTED", "CLUSTER_CAPABILITY_ERROR":
		return provider.Unsupported
	case "INVALID_ARGUMENT", "INVALID_REQUEST", "INVALID_UUID", "INVALID_DATA_FORMAT", "MISSING_ATTRIBUTE", "VALIDATION_ERROR", "REFERENCE_ERROR",
		"CATEGORY_NAME_VALUE_MISMATCH", "DESERIALIZATION_FAILED", "DEFAULT_PROJECT_UNAVAILABLE", "ENTITY_NAME_UUID_MISMATCH",
		"CONFIGURATION_INCOMPLETE", "SPEC_INCOMPATIBLE_ERROR", "INVALID_OWNER_REFERENCE":
		return provider.Invalid
	}
	return ""
}

// textClass looks for the words by which Prism says that there is no room, where
// its reason is a general one: those of the scheduler of AHV, such as "No host
// has enough available memory for VM …" and "… as no host has enough resources",
// which users have reported. How Prism words the quota of a project was found
// nowhere; that it names the quota is a guess.
func textClass(text string) provider.Class {
	text = strings.ToLower(text)
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(text, w) {
				return true
			}
		}
		return false
	}
	switch {
	case has("quota"):
		return provider.Quota
	case has("resource shortage", "insufficient", "not enough", "nohostresources", "no host has", "out of space", "no free ip", "no ip address"):
		return provider.NoCapacity
	}
	return ""
}

// The versions of the API, as people know them.
const (
	v3Name = "v3"
	v4Name = "v4"
)

// class weighs what an answer says: its text about room first, since Prism
// gives it general reasons, then its reasons, then its status.
func (r *refusal) class() provider.Class {
	if r.status == http.StatusUnauthorized {
		return provider.Unauthenticated
	}
	if r.status == http.StatusTooManyRequests {
		return provider.RateLimited
	}
	if r.status != http.StatusForbidden {
		for _, m := range r.messages {
			if c := textClass(m.Message); c != "" {
				return c
			}
		}
	}
	for _, m := range r.messages {
		if c := reasonClass(m.Reason); c != "" {
			return c
		}
	}
	if c := provider.StatusClass(r.status); c != provider.NotFound || r.parsed {
		return c
	}
	return provider.Unsupported // nothing of the API is at this path
}

// failure gives an error its class and a text for people.
func (d *driver) failure(ctx context.Context, doing string, err error) *provider.Error {
	return failure(ctx, d.now(), v3Name, doing, err)
}

// failure gives an error of a version of the API its class and a text for
// people; doing completes "while …".
func failure(ctx context.Context, now time.Time, version, doing string, err error) *provider.Error {
	var done *provider.Error
	if errors.As(err, &done) {
		return done
	}
	var r *refusal
	if !errors.As(err, &r) {
		if ctx.Err() != nil {
			return &provider.Error{Class: provider.Unavailable, Message: doing + ": Prism did not answer in time", Cause: err}
		}
		if t := provider.TransportError(err); t != nil {
			t.Message = doing + ": " + t.Message
			return t
		}
		return &provider.Error{Class: provider.Unknown, Message: doing + ": the answer is not one of the " + version + " API of Prism Central; check host and port", Cause: err}
	}
	out := &provider.Error{Class: r.class(), Cause: err}
	if wait := provider.RetryAfterHeader(r.header, now); wait > 0 && (out.Class == provider.RateLimited || r.status == http.StatusServiceUnavailable) {
		out.Class, out.After = provider.RateLimited, wait // a service that says when to come back has done nothing
	}
	out.Message = doing + ": " + r.Error() + remedyOf(out.Class)
	return out
}

// remedyOf is what an error of the class tells people to do.
func remedyOf(c provider.Class) string {
	switch c {
	case provider.Unauthenticated:
		return "; check username and password or api_key, and that the user is not locked"
	case provider.Forbidden:
		return "; give the role of the user the right that is missing, provider check names it"
	case provider.Quota:
		return "; raise the project's quota or choose another project"
	case provider.Unsupported:
		return "; check that host and port are those of Prism Central, and that it has this version of the API"
	}
	return ""
}

// faultClass is NoCapacity or Quota where that is why Prism gave a machine up
// after it had accepted it.
func faultClass(all []message) provider.Class {
	for _, m := range all {
		for _, c := range []provider.Class{textClass(m.Message), reasonClass(m.Reason)} {
			if c.FallsThrough() {
				return c
			}
		}
	}
	return ""
}

// join puts messages into one line.
func join(all []message) string {
	var out []string
	for _, m := range all {
		switch {
		case m.Message != "" && m.Reason != "":
			out = append(out, fmt.Sprintf("%s (%s)", m.Message, m.Reason))
		case m.Message != "" || m.Reason != "":
			out = append(out, m.Message+m.Reason)
		}
	}
	return strings.Join(out, "; ")
}

func notFound(id string) *provider.Error {
	return provider.Errorf(provider.NotFound, "Prism has no machine %q", id)
}

func isNotFound(err error) bool { return provider.ClassOf(err) == provider.NotFound }

// grace is the age from which Prism shows what it was asked for.
const grace = time.Minute
