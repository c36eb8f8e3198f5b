package oci

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/oracle/oci-go-sdk/v65/common"

	"github.com/headroom-dev/headroom/internal/provider"
)

// classify turns an error of the SDK into one of ours.
// https://docs.oracle.com/en-us/iaas/Content/API/References/apierrors.htm
func classify(err error) error {
	if err == nil {
		return nil
	}
	var ours *provider.Error
	if errors.As(err, &ours) {
		return ours
	}
	var e common.ServiceError
	if !errors.As(err, &e) {
		if t := provider.TransportError(err); t != nil {
			return t
		}
		return provider.Errorf(provider.Unknown, "%w", err)
	}
	out := &provider.Error{Class: classOf(e.GetHTTPStatusCode(), e.GetCode(), e.GetMessage()), Message: e.GetMessage(), Cause: err}
	switch {
	case e.GetCode() == "BadErrorResponse", e.GetCode() == "": // the SDK's own word for an answer that is no error of the API's form
		out.Class = provider.StatusClass(e.GetHTTPStatusCode())
		if out.Class == provider.NotFound || out.Class == provider.Forbidden {
			out.Class = provider.Unavailable
		}
		out.Message = fmt.Sprintf("the answer, with status %d, is none of Oracle's: check endpoint, and the proxies in between", e.GetHTTPStatusCode())
	case out.Message == "":
		out.Message = fmt.Sprintf("the service answered with status %d %s", e.GetHTTPStatusCode(), e.GetCode())
	case e.GetCode() == "InvalidatedRetryToken":
		out.Message = "the machine that this call made before has been deleted since (" + out.Message + "): a new one needs a new token"
	case e.GetCode() == "SignUpRequired":
		out.Message = "the tenancy is not signed up for the service (" + out.Message + "): look at its subscription in the console"
	}
	return out
}

// classOf reads status and code, and the text where the code leaves open what
// happened.
func classOf(status int, code, message string) provider.Class {
	if isOutOfCapacity(message) {
		return provider.NoCapacity
	}
	if code == "InvalidParameter" && strings.Contains(strings.ToLower(message), "retry token") {
		return provider.Conflict // used with another request: there is a machine
	}
	switch code {
	case "OutOfHostCapacity", "OutOfCapacity":
		return provider.NoCapacity
	case "LimitExceeded", "QuotaExceeded", "ServiceLimitExceeded", "CompartmentQuotaExceeded":
		return provider.Quota
	case "NotAuthenticated":
		return provider.Unauthenticated
	case "NotAuthorizedOrNotFound", "NotFound":
		return provider.NotFound
	case "NotAuthorized", "Forbidden", "SignUpRequired", "InsufficientServicePermissions", "TenantDisabled":
		return provider.Forbidden
	case "RelatedResourceNotAuthorizedOrNotFound", "InvalidParameter", "MissingParameter", "CannotParseRequest", "UnsupportedShape":
		return provider.Invalid
	case "IncorrectState", "InvalidatedRetryToken", "Conflict", "NotAuthorizedOrResourceAlreadyExists", "NoEtagMatch", "InvalidRetryToken":
		return provider.Conflict
	case "ExternalServerIncorrectState", "ExternalServerUnreachable", "ExternalServerTimeout", "ExternalServerInvalidResponse", "ServiceUnavailable":
		return provider.Unavailable
	case "TooManyRequests":
		return provider.RateLimited
	case "MethodNotAllowed", "MethodNotImplemented":
		return provider.Unsupported
	}
	if status == http.StatusPaymentRequired {
		return provider.Forbidden
	}
	return provider.StatusClass(status)
}

// isOutOfCapacity: launches are refused with InternalError, and failed work
// requests have no code of their own either: the text alone tells.
// https://docs.oracle.com/en-us/iaas/Content/Compute/Tasks/troubleshooting-out-of-host-capacity.htm
func isOutOfCapacity(message string) bool {
	text := strings.ToLower(message)
	return strings.Contains(text, "out of host capacity") || strings.Contains(text, "out of capacity")
}

var missingShape = regexp.MustCompile(`(?i)\bshape:? \S+ (is )?(not found|not available|not supported in)`)

// launchFault is an error of a launch, in which an object that is not found is
// one that the settings name. The service does not tell it from a right that is
// missing.
func launchFault(err error) error {
	err = classify(err)
	var e *provider.Error
	if !errors.As(err, &e) {
		return err
	}
	out := *e
	switch {
	case (e.Class == provider.NotFound || e.Class == provider.Invalid) && missingShape.MatchString(e.Message):
		out.Class = provider.NoCapacity
		out.Message = "the shape is not offered in the availability domain (" + e.Message + ")"
	case e.Class == provider.NotFound:
		out.Class = provider.Forbidden
		out.Message = "something that the settings name does not exist, or the credentials lack a right that a launch needs; Oracle Cloud does not tell which (" + e.Message + "): `headroom provider check` looks at each"
	case e.Class == provider.Invalid && codeOf(err) == "RelatedResourceNotAuthorizedOrNotFound":
		out.Message = "something that the settings name does not exist, or may not be used (" + e.Message + "): `headroom provider check` looks at each"
	}
	return &out
}

// codeOf is the service's code of an error, empty for others.
func codeOf(err error) string {
	var e common.ServiceError
	if errors.As(err, &e) {
		return e.GetCode()
	}
	return ""
}

// isClass says that an error has the class.
func isClass(err error, class provider.Class) bool {
	return err != nil && provider.ClassOf(err) == class
}
