package oci_test

import (
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/oci/fakeoci"
)

// TestErrors: codes of the service, as its page of errors lists them and as
// launches have been seen to answer.
func TestErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status        int
		code, message string
		launch, get   provider.Class
	}{
		{500, "InternalError", "Out of host capacity.", provider.NoCapacity, provider.NoCapacity},
		{500, "InternalError", "Out of capacity for shape VM.Standard.A1.Flex in availability domain AD-1.", provider.NoCapacity, provider.NoCapacity},
		{500, "OutOfHostCapacity", "Out of host capacity.", provider.NoCapacity, provider.NoCapacity},
		{500, "InternalError", "An internal server error has occurred.", provider.Unavailable, provider.Unavailable},
		{400, "LimitExceeded", "The following service limits were exceeded: standard-e4-core-count.", provider.Quota, provider.Quota},
		{400, "QuotaExceeded", "The following compartment quotas were exceeded: standard-e4-core-count.", provider.Quota, provider.Quota},
		{404, "NotAuthorizedOrNotFound", "Authorization failed or requested resource not found.", provider.Forbidden, provider.NotFound},
		{404, "NotAuthorizedOrNotFound", "shape VM.Standard.E2.1.Micro not found", provider.NoCapacity, provider.NotFound},
		{400, "RelatedResourceNotAuthorizedOrNotFound", "Subnet not found", provider.Invalid, provider.Invalid},
		{400, "InvalidParameter", "Shape VM.Standard.A1.Flex is not valid for image x.", provider.Invalid, provider.Invalid},
		{400, "MissingParameter", "x is missing", provider.Invalid, provider.Invalid},
		{400, "CannotParseRequest", "x", provider.Invalid, provider.Invalid},
		{401, "NotAuthenticated", "The required information to complete authentication was not provided or was incorrect.", provider.Unauthenticated, provider.Unauthenticated},
		{402, "SignUpRequired", "x", provider.Forbidden, provider.Forbidden},
		{403, "NotAuthorized", "x", provider.Forbidden, provider.Forbidden},
		{405, "MethodNotAllowed", "x", provider.Unsupported, provider.Unsupported},
		{409, "IncorrectState", "x", provider.Conflict, provider.Conflict},
		{409, "ExternalServerIncorrectState", "x", provider.Unavailable, provider.Unavailable},
		{409, "InvalidatedRetryToken", "x", provider.Conflict, provider.Conflict},
		{409, "NotAuthorizedOrResourceAlreadyExists", "x", provider.Conflict, provider.Conflict},
		{412, "NoEtagMatch", "x", provider.Conflict, provider.Conflict},
		{500, "InternalServerError", "x", provider.Unavailable, provider.Unavailable},
		{500, "OutOfCapacity", "The shape has none left.", provider.NoCapacity, provider.NoCapacity},
		{504, "ExternalServerTimeout", "x", provider.Unavailable, provider.Unavailable},
		{422, "UnprocessableEntity", "x", provider.Invalid, provider.Invalid},
		{413, "RequestEntityTooLarge", "x", provider.Invalid, provider.Invalid},
		{429, "TooManyRequests", "Too many requests for the user", provider.RateLimited, provider.RateLimited},
		{501, "MethodNotImplemented", "x", provider.Unsupported, provider.Unsupported},
		{503, "ServiceUnavailable", "x", provider.Unavailable, provider.Unavailable},
	} {
		s, of := tenancy(t)
		d := opened(t, s)
		f := fakeoci.Fault{Path: "/instances", Status: c.status, Code: c.code, Message: c.message}
		of.Spoil(f)
		_, err := d.Create(t.Context(), request("a"))
		if provider.ClassOf(err) != c.launch || !strings.Contains(err.Error(), c.message) {
			t.Errorf("launch, %d %s %s: %v, expected %s", c.status, c.code, c.message, err, c.launch)
		}
		if left := of.Objects(); len(left) > 0 {
			t.Errorf("%s: left: %v", c.code, left)
		}
		of.Spoil(f)
		if _, err := d.Get(t.Context(), gone); provider.ClassOf(err) != c.get {
			t.Errorf("get, %d %s %s: %v, expected %s", c.status, c.code, c.message, err, c.get)
		}
	}
}

// TestShapeNotOffered falls through like a lack of capacity.
func TestShapeNotOffered(t *testing.T) {
	t.Parallel()
	s, _ := tenancy(t)
	s.AvailabilityDomains = []string{fakeoci.Domain(3)}
	req := request("a")
	req.Offer = "VM.Standard.E4.Flex@" + fakeoci.Domain(3)
	if _, err := opened(t, s).Create(t.Context(), req); provider.ClassOf(err) != provider.NoCapacity || !strings.Contains(err.Error(), "not offered") {
		t.Errorf("%v", err)
	}
}
