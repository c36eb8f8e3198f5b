package azure

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"github.com/headroom-dev/headroom/internal/provider"
)

// answer is an error in the form that Resource Manager and its services share.
// https://learn.microsoft.com/azure/azure-resource-manager/management/common-deployment-errors
type answer struct {
	Code    string   `json:"code"`
	Message string   `json:"message"`
	Details []answer `json:"details"`
}

// classify turns an error of the SDK into one of ours.
func classify(err error, now time.Time) error {
	if err == nil {
		return nil
	}
	var e *azcore.ResponseError
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
	said := read(e)
	out := &provider.Error{Class: provider.StatusClass(e.StatusCode), Message: said.Message, Cause: err}
	if said.Code == "" { // no error of the API's form: a proxy in between, or a wrong endpoint
		if out.Class == provider.NotFound || out.Class == provider.Forbidden || out.Class == provider.Unknown {
			out.Class = provider.Unavailable
		}
		out.Message = fmt.Sprintf("the answer, with status %d, is none of Azure's: check authority, endpoint and the proxies in between", e.StatusCode)
		return out
	}
	if class, known := classOf(said.Code, said.Message); known {
		out.Class = class
	}
	if e.StatusCode == http.StatusTooManyRequests {
		out.Class = provider.RateLimited
	}
	out.Message = said.Code + ": " + said.Message
	if out.Class == provider.RateLimited && e.RawResponse != nil {
		out.After = waitOf(e.RawResponse.Header, now)
		out.Message += emptyBucket(e.RawResponse.Header)
	}
	if remedy := remedyOf(said); remedy != "" {
		out.Message += ": " + remedy
	}
	return out
}

// read takes the code and the text out of an answer. The details of a failed
// validation say more than what is around them.
func read(e *azcore.ResponseError) answer {
	said := answer{Code: e.ErrorCode}
	if e.RawResponse != nil {
		var body struct {
			answer
			Error *answer `json:"error"`
		}
		if text, err := runtime.Payload(e.RawResponse); err == nil && json.Unmarshal(text, &body) == nil {
			switch {
			case body.Error != nil && body.Error.Code != "":
				said = *body.Error
			case body.Code != "":
				said = body.answer
			}
		}
	}
	if _, known := classOf(said.Code, said.Message); !known {
		for _, d := range said.Details {
			if _, known := classOf(d.Code, d.Message); known {
				return d
			}
		}
	}
	if said.Message == "" {
		said.Message = fmt.Sprintf("the service says no more (status %d)", e.StatusCode)
	}
	said.Message = strings.Join(strings.Fields(said.Message), " ")
	return said
}

// classes of codes whose meaning is not that of their status.
var classes = map[string]provider.Class{
	"OverconstrainedAllocationRequest":      provider.NoCapacity,
	"OverconstrainedZonalAllocationRequest": provider.NoCapacity, "SkuNotAvailable": provider.NoCapacity, "AllocationTimedOut": provider.NoCapacity,
	"AvailabilityZoneNotSupported": provider.NoCapacity, "LocationNotSupportAvailabilityZones": provider.NoCapacity, "VMSizeNotSupported": provider.NoCapacity,
	"SpotCapacityNotAvailable": provider.NoCapacity, "LowPriorityVMNotAvailable": provider.NoCapacity, "InsufficientCapacity": provider.NoCapacity,

	"SubnetIsFull": provider.Quota, "InsufficientSubnetSize": provider.Quota,

	"InvalidAuthenticationToken": provider.Unauthenticated, "InvalidAuthenticationTokenTenant": provider.Unauthenticated, "ExpiredAuthenticationToken": provider.Unauthenticated,
	"AuthenticationFailed": provider.Unauthenticated, "AuthenticationFailedMissingToken": provider.Unauthenticated,

	"AuthorizationFailed": provider.Forbidden, "LinkedAuthorizationFailed": provider.Forbidden, "RequestDisallowedByPolicy": provider.Forbidden,
	"RequestDisallowedByAzure": provider.Forbidden, "DenyAssignmentAuthorizationFailed": provider.Forbidden,
	"ScopeLocked": provider.Forbidden, "ReadOnlyDisabledSubscription": provider.Forbidden, "DisabledSubscription": provider.Forbidden,
	"MissingSubscriptionRegistration": provider.Forbidden, "SubscriptionNotRegistered": provider.Forbidden,
	"MarketplacePurchaseEligibilityFailed": provider.Forbidden, "ResourcePurchaseValidationFailed": provider.Forbidden, "ResourcePurchaseCanceled": provider.Forbidden,

	"TooManyRequests": provider.RateLimited, "OperationNotAllowedTooManyRequests": provider.RateLimited,

	"AnotherOperationInProgress": provider.Conflict, "OperationPreempted": provider.Conflict, "Conflict": provider.Conflict, "RetryableError": provider.Conflict,
	"RetryableErrorDueToAnotherOperation": provider.Conflict, "NicReservedForAnotherVm": provider.Conflict, "PropertyChangeNotAllowed": provider.Conflict,
	"PreconditionFailed": provider.Conflict, "ReferencedResourceNotProvisioned": provider.Conflict, "AttachDiskWhileBeingDetached": provider.Conflict,
	"NicInUse": provider.Conflict, "PublicIPAddressCannotBeDeleted": provider.Conflict, "InUsePublicIpAddressCannotBeDeleted": provider.Conflict,
	"InUseNetworkInterfaceCannotBeDeleted": provider.Conflict,

	"ResourceGroupBeingDeleted": provider.Invalid, "SubscriptionNotFound": provider.Invalid, "InvalidSubscriptionId": provider.Invalid,
	"ImageNotFound": provider.Invalid, "PlatformImageNotFound": provider.Invalid, "GalleryImageNotFound": provider.Invalid, "ArtifactNotFound": provider.Invalid,
	"InvalidResourceReference": provider.Invalid, "LocationNotAvailableForResourceType": provider.Invalid, "InvalidParameter": provider.Invalid,
	"VMMarketplaceInvalidInput": provider.Invalid, "NoRegisteredProviderFound": provider.Unsupported, "FeatureNotRegistered": provider.Forbidden,
	"OSProvisioningTimedOut": provider.Unavailable, "InternalExecutionError": provider.Unavailable, "NetworkingInternalOperationError": provider.Unavailable,
	"InternalServerError": provider.Unavailable, "ServerTimeout": provider.Unavailable, "GatewayTimeout": provider.Unavailable, "ServiceUnavailable": provider.Unavailable,
}

var (
	quotaWords    = regexp.MustCompile(`(?i)\bquota\b|exceeding approved|\bcores? (limit|usage)`)
	throttleWords = regexp.MustCompile(`(?i)too many requests|throttl`)
	// The same shortage of a size is told in several codes.
	sizeWords = regexp.MustCompile(`(?i)(requested|vm) (vm )?size .*not (currently )?available in (the current |location|zone|region)`)
)

// classOf is the class of a code; known is false where the status has to tell.
func classOf(code, message string) (class provider.Class, known bool) {
	if code == "OperationNotAllowed" || code == "BadRequest" || code == "InvalidParameter" {
		switch {
		case throttleWords.MatchString(message):
			return provider.RateLimited, true
		case quotaWords.MatchString(message):
			return provider.Quota, true
		case sizeWords.MatchString(message):
			return provider.NoCapacity, true
		}
	}
	if code == "OperationNotAllowed" {
		return provider.Conflict, true
	}
	if class, known = classes[code]; known {
		return class, true
	}
	switch { // families of codes, one for each kind of object or scope
	case strings.HasSuffix(code, "RequestsThrottled"):
		return provider.RateLimited, true
	case strings.HasSuffix(code, "CountLimitReached"), strings.HasSuffix(code, "QuotaExceeded"):
		return provider.Quota, true
	case strings.HasSuffix(code, "AllocationFailed"):
		return provider.NoCapacity, true
	}
	return "", false
}

// longestWait bounds what a service can ask for.
const longestWait = time.Hour

// waitOf is how long an answer asks to wait. Its own date says what its clock
// shows.
func waitOf(h http.Header, now time.Time) time.Duration {
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return min(provider.RetryAfterHeader(h, now), longestWait)
}

// emptyBucket names the limits of Compute that are used up.
// https://learn.microsoft.com/azure/virtual-machines/compute-throttling-limits
func emptyBucket(h http.Header) string {
	var out []string
	for _, value := range h.Values("x-ms-ratelimit-remaining-resource") {
		for entry := range strings.SplitSeq(value, ",") {
			name, left, ok := strings.Cut(strings.TrimSpace(entry), ";")
			if n, err := strconv.Atoi(left); ok && err == nil && n <= 0 {
				out = append(out, name)
			}
		}
	}
	for _, name := range []string{"x-ms-ratelimit-remaining-subscription-reads", "x-ms-ratelimit-remaining-subscription-writes", "x-ms-ratelimit-remaining-subscription-deletes"} {
		if h.Get(name) == "0" {
			out = append(out, strings.TrimPrefix(name, "x-ms-ratelimit-remaining-"))
		}
	}
	if len(out) == 0 {
		return ""
	}
	return " (used up: " + strings.Join(out, ", ") + ")"
}

var (
	actionRule = regexp.MustCompile(`(?:perform|over) (?:the )?(?:action\(?s?\)? |an action )?'([A-Za-z]+\.[A-Za-z]+/[A-Za-z/]+(?:,\s*[A-Za-z]+\.[A-Za-z]+/[A-Za-z/]+)*)'`)
	scopeRule  = regexp.MustCompile(`(?:over scope|on the linked scope\(s\)|linked scope\(s\)) '([^']+)'`)
)

// remedyOf says what to do about an answer, empty where it says so itself.
func remedyOf(a answer) string {
	switch a.Code {
	case "AuthorizationFailed", "LinkedAuthorizationFailed":
		action, scope := "what it needs", "the scope"
		// What is lacking on something linked comes after what is not.
		if all := actionRule.FindAllStringSubmatch(a.Message, -1); all != nil {
			action = all[len(all)-1][1]
		}
		if all := scopeRule.FindAllStringSubmatch(a.Message, -1); all != nil {
			scope = all[len(all)-1][1]
		}
		return "grant the app " + action + " on " + scope + "; a new role takes some minutes, and `headroom provider check` names all that is missing"
	case "InvalidAuthenticationTokenTenant":
		return "the subscription belongs to another tenant: correct tenant_id"
	case "InvalidAuthenticationToken", "ExpiredAuthenticationToken", "AuthenticationFailed":
		return "see that tenant_id, client_id and client_secret are of the subscription's tenant, and that authority is its cloud"
	case "SubscriptionNotFound", "InvalidSubscriptionId":
		return "correct subscription_id or authority, or give the app a role in the subscription"
	case "ResourceGroupNotFound":
		return "make the resource group, or correct resource_group"
	case "ReadOnlyDisabledSubscription", "DisabledSubscription":
		return "the subscription is disabled: pay what is due, or enable it"
	case "MissingSubscriptionRegistration", "SubscriptionNotRegistered":
		return "register the resource provider: az provider register --namespace Microsoft.Compute (and Microsoft.Network)"
	case "MarketplacePurchaseEligibilityFailed", "ResourcePurchaseValidationFailed", "ResourcePurchaseCanceled":
		return "accept the terms of the image once: az vm image terms accept --urn PUBLISHER:OFFER:SKU:latest; the subscription must be allowed to buy from the marketplace"
	case "VMMarketplaceInvalidInput":
		return "set plan to what `az vm image show --urn …` names, or leave it out where it names none"
	case "ScopeLocked":
		return "a lock forbids it: remove the lock, or take a resource group without one"
	case "RequestDisallowedByPolicy":
		return "a policy of the organization forbids it: change settings or tags as it demands, or exempt the resource group"
	case "ImageNotFound", "PlatformImageNotFound", "GalleryImageNotFound":
		return "correct image; `headroom provider check` looks for it"
	case "PropertyChangeNotAllowed":
		return "a machine of that name exists with other properties: delete it"
	}
	return ""
}

// codeOf is the code of an error of the SDK, empty for others.
func codeOf(err error) string {
	var e *azcore.ResponseError
	if !errors.As(err, &e) {
		return ""
	}
	return read(e).Code
}

func statusOf(err error) int {
	var e *azcore.ResponseError
	if !errors.As(err, &e) {
		return 0
	}
	return e.StatusCode
}

// isGone says that the very object is not there, or the group that it was in; a
// subscription that is not there may be a mistake.
func isGone(err error) bool {
	switch code := codeOf(err); code {
	case "ResourceNotFound", "NotFound", "ResourceGroupNotFound", "ParentResourceNotFound":
		return statusOf(err) == http.StatusNotFound
	}
	return false
}

// onMachine is an error of a call that names one object.
func onMachine(err error, now time.Time) error {
	out := classify(err, now)
	var e *provider.Error
	if errors.As(out, &e) && e.Class == provider.NotFound && !isGone(err) {
		e.Class = provider.Unavailable
	}
	return out
}

// refused is an error of a call in which nothing but what the settings refer to
// can be missing.
func refused(err error, now time.Time) error {
	out := classify(err, now)
	var e *provider.Error
	if errors.As(out, &e) && e.Class == provider.NotFound {
		e.Class = provider.Invalid
		e.Message += ": `headroom provider check` looks at each reference"
	}
	return out
}
