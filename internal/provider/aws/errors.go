package aws

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/headroom-dev/headroom/internal/provider"
)

// shownWithin is the time in which EC2 surely shows a new instance: it answers
// alike for one that it does not show yet and for one that it has forgotten.
const shownWithin = 2 * time.Minute

// fault is an error of a call. Credentials that were refused are fetched anew by
// the next call.
func (c *clients) fault(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	e := classify(err)
	if e.Class == provider.Unauthenticated {
		c.keys.forget(ctx)
	}
	return e
}

// classify turns an error of the SDK into one of ours. The services say by a code
// what a status leaves open.
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
func classify(err error) *provider.Error {
	var ours *provider.Error
	var api smithy.APIError
	var answer *smithyhttp.ResponseError
	var parameter *smithy.InvalidParamsError
	status := 0
	var header http.Header
	if errors.As(err, &answer) && answer.Response != nil {
		status, header = answer.HTTPStatusCode(), answer.Response.Header
	}
	switch {
	case errors.As(err, &ours):
		return &provider.Error{Class: ours.Class, Message: ours.Message, After: ours.After, Cause: ours.Cause}
	case errors.As(err, &parameter):
		return provider.Errorf(provider.Invalid, "%w", parameter)
	case errors.As(err, &api) && api.ErrorCode() != "" && api.ErrorCode() != "UnknownError":
		return classifyCode(err, bare(api.ErrorCode()), api.ErrorMessage(), status, header)
	case status >= http.StatusMultipleChoices: // no error of the API's form: a proxy in between, or a wrong endpoint
		out := &provider.Error{Class: provider.StatusClass(status), Cause: err}
		if c := out.Class; c != provider.RateLimited && c != provider.Unauthenticated {
			out.Class = provider.Unavailable
		}
		out.After = provider.RetryAfterHeader(header, dateOf(header))
		out.Message = fmt.Sprintf("the answer, with status %d, is none of AWS's: check endpoint, and the proxies in between", status)
		return out
	}
	if t := provider.TransportError(err); t != nil {
		return t
	}
	if status != 0 {
		return &provider.Error{Class: provider.Unknown, Cause: err, Message: "the answer cannot be read: check endpoint, and the proxies in between"}
	}
	return provider.Errorf(provider.Unknown, "%w", err)
}

// bare is a code without the side that is at fault, which reasons of states and
// some gateways put before it.
func bare(code string) string {
	code = strings.TrimPrefix(code, "Client.")
	return strings.TrimPrefix(code, "Server.")
}

func dateOf(h http.Header) time.Time {
	t, _ := http.ParseTime(h.Get("Date")) // zero where the answer has none
	return t
}

func classifyCode(err error, code, message string, status int, header http.Header) *provider.Error {
	out := &provider.Error{Class: classOf(code, message), Cause: err, Message: code + ": " + readable(message)}
	if out.Class == provider.Unknown && status != 0 {
		out.Class = provider.StatusClass(status)
	}
	if code == "InvalidInstanceID.NotFound" {
		out.After = shownWithin
	}
	switch out.Class {
	case provider.RateLimited:
		out.After = provider.RetryAfterHeader(header, dateOf(header))
	case provider.Unauthenticated:
		out.Message = refusedKey(code, readable(message), header)
	case provider.Forbidden:
		out.Message = forbidden(code, message)
	case provider.Invalid:
		for prefix, remedy := range remedies {
			if strings.HasPrefix(code, prefix) {
				out.Message += ": " + remedy
			}
		}
	}
	return out
}

// remedies say what to do about references that do not exist, by the beginning
// of the code.
var remedies = map[string]string{
	"InvalidAMIID.":             "correct ami_id, or share the image with the account",
	"InvalidSubnetID.NotFound":  "correct subnet_ids; they must be in the region",
	"InvalidSubnet.":            "correct subnet_ids",
	"InvalidGroup.NotFound":     "correct security_group_ids; they must be in the VPC of the subnets",
	"InvalidSecurityGroupID.":   "correct security_group_ids; they must be in the VPC of the subnets",
	"InvalidKeyPair.NotFound":   "correct key_name; key pairs belong to one region",
	"InvalidBlockDeviceMapping": "correct root_volume_size, root_volume_type or root_device_name",
	"VPCIdNotSpecified":         "the region has no default VPC: give subnet_ids",
	"MissingInput":              "the region has no default subnet: give subnet_ids",
}

func classOf(code, message string) provider.Class {
	switch code {
	case "TagLimitExceeded", "SecurityGroupsPerInstanceLimitExceeded", "SecurityGroupsPerInterfaceLimitExceeded", "PrivateIpAddressLimitExceeded", "AttachmentLimitExceeded":
		return provider.Invalid // the settings ask for more than one machine can have
	case "RequestLimitExceeded", "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException",
		"TooManyRequestsException", "EC2ThrottledException", "BandwidthLimitExceeded", "SlowDown", "RequestResourceCountExceeded", "PriorRequestNotComplete":
		return provider.RateLimited
	case "InsufficientInstanceCapacity", "InsufficientHostCapacity", "InsufficientReservedInstanceCapacity", "InsufficientCapacity", "InsufficientVolumeCapacity",
		"InsufficientCapacityOnOutpost", "InsufficientFreeAddressesInSubnet", "InsufficientAddressCapacity", "UnfulfillableCapacity", "ReservationCapacityExceeded", "SpotMaxPriceTooLow", "Unsupported", "UnsupportedHostConfiguration":
		return provider.NoCapacity // Unsupported: the type does not exist in the zone
	case "AuthFailure":
		if strings.Contains(message, "Not authorized for") { // an image or a snapshot that is not shared
			return provider.Invalid
		}
		return provider.Unauthenticated
	case "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature", "IncompleteSignatureException", "InvalidSecurity", "InvalidAccessKeyId",
		"MissingAuthenticationToken", "MissingAuthenticationTokenException", "ExpiredToken", "ExpiredTokenException", "RequestExpired", "RequestInTheFuture", "RequestTimeTooSkewed", "TokenRefreshRequired", "NotAuthorized", "IDPRejectedClaim", "InvalidIdentityToken":
		return provider.Unauthenticated
	case "UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "OptInRequired", "Blocked", "PendingVerification", "AccountDisabled", "SubscriptionRequiredException", "OperationNotPermittedException":
		return provider.Forbidden
	case "IdempotentParameterMismatch", "IdempotentInstanceTerminated", "IncorrectState", "IncorrectInstanceState", "IncorrectSpotRequestState", "DependencyViolation", "VolumeInUse", "InvalidNetworkInterface.InUse",
		"ConcurrentTagAccess", "OperationNotPermitted", "ResourceInUse", "ConcurrentModification":
		return provider.Conflict
	case "UnsupportedOperation", "UnsupportedProtocol", "UnsupportedHibernationConfiguration", "InvalidAction", "UnknownOperationException":
		return provider.Unsupported
	case "InternalError", "InternalFailure", "InternalServiceError", "ServerInternal", "ServiceUnavailable", "Unavailable", "RequestTimeout", "RequestTimeoutException", "ServiceUnavailableException", "IDPCommunicationError":
		return provider.Unavailable
	case "InvalidInstanceID.NotFound", "InvalidVolume.NotFound", "InvalidNetworkInterfaceID.NotFound", "NoSuchHostedZone":
		return provider.NotFound
	}
	switch {
	case strings.Contains(code, "LimitExceeded"), strings.HasSuffix(code, "CountExceeded"), strings.HasSuffix(code, "QuotaExceeded"):
		return provider.Quota
	case strings.HasPrefix(code, "Invalid"), strings.HasPrefix(code, "Missing"), strings.HasPrefix(code, "Unknown"), strings.HasPrefix(code, "Malformed"),
		strings.HasPrefix(code, "Validation"), strings.HasPrefix(code, "VPC"), strings.HasPrefix(code, "Unsupported"), strings.HasPrefix(code, "NonEBS"), strings.HasSuffix(code, ".Malformed"), strings.HasSuffix(code, ".NotFound"):
		return provider.Invalid
	}
	return provider.Unknown
}

// encoded is the part of a refusal that only the account's owner can decode; it
// is long.
var encoded = regexp.MustCompile(`\s*Encoded authorization failure message: \S+`)

func readable(message string) string { return strings.TrimSpace(encoded.ReplaceAllString(message, "")) }

func refusedKey(code, message string, header http.Header) string {
	switch {
	case code == "RequestExpired" && !strings.Contains(message, "token"), code == "RequestInTheFuture", code == "RequestTimeTooSkewed", strings.Contains(message, "Signature expired"), strings.Contains(message, "Signature not yet current"):
		text := code + ": the call is too old or too new for AWS: the controller's clock is wrong, which NTP sets right, or the session token has ended"
		if at := dateOf(header); !at.IsZero() {
			text += " (AWS's clock says " + at.UTC().Format(time.RFC3339) + ")"
		}
		return text
	case strings.HasPrefix(code, "ExpiredToken"), code == "TokenRefreshRequired", code == "RequestExpired":
		return code + ": the session token has ended (" + message + "): give new temporary credentials, or an access key with assume_role_arn, which renews by itself"
	case code == "SignatureDoesNotMatch":
		return code + ": secret_access_key does not belong to access_key_id: copy both anew (" + message + ")"
	}
	return code + ": the credentials are refused (" + message + "): see that the access key exists and is active, and belongs to this partition of AWS"
}

var deniedRule = regexp.MustCompile(`not authorized to perform:? ([a-z0-9-]+:[A-Za-z0-9*]+)(?: on resource: (\S+))?`)

// deniedAction is the action that a refusal names, empty when it names none.
func deniedAction(message string) (action, resource string) {
	m := deniedRule.FindStringSubmatch(message)
	if m == nil {
		return "", ""
	}
	return m[1], strings.Trim(m[2], ".,")
}

func forbidden(code, message string) string {
	switch action, resource := deniedAction(message); {
	case code == "OptInRequired":
		return code + ": " + message + ": enable the region for the account, or accept the terms of the image in the Marketplace"
	case code == "Blocked", code == "PendingVerification", code == "AccountDisabled", code == "SubscriptionRequiredException":
		return code + ": " + message
	case action != "" && resource != "":
		return "the credentials lack " + action + " on " + resource + " (" + code + "): add it to the policy; `headroom provider check` names all that are missing"
	case action != "":
		return "the credentials lack " + action + " (" + code + "): add it to the policy; `headroom provider check` names all that are missing"
	}
	return code + ": " + readable(message) + "; `headroom provider check` names the actions that are missing"
}

// codeOf is the code of an error of the SDK, empty for others.
func codeOf(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return bare(api.ErrorCode())
	}
	return ""
}

// launchFault is an error of RunInstances or of a look at what the settings refer
// to: what is not found there is a wrong setting.
func (d *driver) launchFault(ctx context.Context, err error, o offer) error {
	e := classify(err)
	if e.Class == provider.Unauthenticated {
		d.keys.forget(ctx)
	}
	switch code := codeOf(err); {
	case e.Class == provider.NotFound:
		e.Class = provider.Invalid
		e.Message += ": `headroom provider check` looks at each reference"
	case e.Class == provider.Quota && o.spot && d.settings.OnDemandFallback && (code == "MaxSpotInstanceCountExceeded" || code == "VcpuLimitExceeded"):
		e.Class = provider.NoCapacity // on-demand machines have a quota of their own
		e.Message += " (spot; on-demand machines are tried next)"
	case e.Class == provider.NoCapacity:
		e.Message += " (" + o.String() + ")"
	}
	return e
}
