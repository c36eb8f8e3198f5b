package aws_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/aws/fakeaws"
)

// TestErrorClasses: each code of the service has the class of what it means.
func TestErrorClasses(t *testing.T) {
	t.Parallel()
	s, a := account(t)
	d := opened(t, s)
	for code, want := range map[string]provider.Class{
		"InsufficientInstanceCapacity": provider.NoCapacity, "InsufficientFreeAddressesInSubnet": provider.NoCapacity, "Unsupported": provider.NoCapacity, "InsufficientHostCapacity": provider.NoCapacity, "SpotMaxPriceTooLow": provider.NoCapacity,
		"VcpuLimitExceeded": provider.Quota, "InstanceLimitExceeded": provider.Quota, "MaxSpotInstanceCountExceeded": provider.Quota, "VolumeLimitExceeded": provider.Quota, "NetworkInterfaceLimitExceeded": provider.Quota,
		"RequestLimitExceeded": provider.RateLimited, "Throttling": provider.RateLimited, "RequestThrottled": provider.RateLimited,
		"InvalidAMIID.NotFound": provider.Invalid, "InvalidAMIID.Malformed": provider.Invalid, "InvalidAMIID.Unavailable": provider.Invalid, "InvalidSubnetID.NotFound": provider.Invalid, "InvalidGroup.NotFound": provider.Invalid,
		"InvalidKeyPair.NotFound": provider.Invalid, "InvalidParameterValue": provider.Invalid, "InvalidParameterCombination": provider.Invalid, "MissingParameter": provider.Invalid, "UnknownParameter": provider.Invalid, "VPCIdNotSpecified": provider.Invalid, "InvalidSnapshot.NotFound": provider.Invalid,
		"UnauthorizedOperation": provider.Forbidden, "AccessDenied": provider.Forbidden, "OptInRequired": provider.Forbidden, "Blocked": provider.Forbidden, "PendingVerification": provider.Forbidden,
		"AuthFailure": provider.Unauthenticated, "InvalidClientTokenId": provider.Unauthenticated, "SignatureDoesNotMatch": provider.Unauthenticated, "ExpiredToken": provider.Unauthenticated, "RequestExpired": provider.Unauthenticated,
		"IncorrectInstanceState": provider.Conflict, "UnsupportedOperation": provider.Unsupported, "InternalError": provider.Unavailable, "Unavailable": provider.Unavailable, "ServiceUnavailable": provider.Unavailable,
		"InsufficientReservedInstanceCapacity": provider.NoCapacity, "InsufficientAddressCapacity": provider.NoCapacity, "ReservationCapacityExceeded": provider.NoCapacity, "Server.InsufficientInstanceCapacity": provider.NoCapacity,
		"Client.VcpuLimitExceeded": provider.Quota, "HostLimitExceeded": provider.Quota, "AddressLimitExceeded": provider.Quota, "Client.RequestLimitExceeded": provider.RateLimited, "ThrottlingException": provider.RateLimited, "EC2ThrottledException": provider.RateLimited,
		"TagLimitExceeded": provider.Invalid, "SecurityGroupsPerInstanceLimitExceeded": provider.Invalid, "SecurityGroupsPerInterfaceLimitExceeded": provider.Invalid, "AttachmentLimitExceeded": provider.Invalid, "PrivateIpAddressLimitExceeded": provider.Invalid,
		"Client.InvalidSubnetID.NotFound": provider.Invalid, "InvalidPlacementGroup.Unknown": provider.Invalid, "InvalidIPAddress.InUse": provider.Invalid, "UnsupportedTenancy": provider.Invalid, "InvalidVolume.NotFound": provider.Invalid,
		"ExpiredTokenException": provider.Unauthenticated, "RequestTimeTooSkewed": provider.Unauthenticated, "UnrecognizedClientException": provider.Unauthenticated, "SubscriptionRequiredException": provider.Forbidden,
		"InternalFailure": provider.Unavailable, "RequestTimeout": provider.Unavailable, "IDPCommunicationError": provider.Unavailable, "IncorrectState": provider.Conflict,
		"SomethingNew": provider.Unavailable, // by the status
	} {
		a.Spoil(fakeaws.Fault{Name: "RunInstances", Status: http.StatusServiceUnavailable, Code: code, Message: "The service's own words."})
		_, err := d.Create(t.Context(), request(code))
		shown := strings.TrimPrefix(strings.TrimPrefix(code, "Client."), "Server.") // the side at fault goes without saying
		if provider.ClassOf(err) != want || !strings.Contains(err.Error(), shown) {
			t.Errorf("%s: %v, expected %s", code, err, want)
		}
	}
	a.Spoil(fakeaws.Fault{Name: "RunInstances", Status: 401, Code: "AuthFailure", Message: "Not authorized for images: [ami-1]"})
	if _, err := d.Create(t.Context(), request("image")); provider.ClassOf(err) != provider.Invalid {
		t.Errorf("an image that is not shared: %v", err)
	}
	// With on-demand machines to turn to, the quota of spot machines is no end.
	s.Spot, s.OnDemandFallback = true, true
	for _, code := range []string{"MaxSpotInstanceCountExceeded", "VcpuLimitExceeded"} {
		a.Spoil(fakeaws.Fault{Name: "RunInstances", Status: 400, Code: code, Message: "Max spot instance count exceeded"})
		if _, err := opened(t, s).Create(t.Context(), request("x")); provider.ClassOf(err) != provider.NoCapacity {
			t.Errorf("%s of a spot machine: %v", code, err)
		}
	}
	if n := a.Instances(); n != 0 {
		t.Errorf("%d instances", n)
	}
}

// TestErrorTexts: what people read says what to do.
func TestErrorTexts(t *testing.T) {
	t.Parallel()
	s, a := account(t)
	a.Lack("ec2:CreateTags")
	_, err := opened(t, s).Create(t.Context(), request("a"))
	if provider.ClassOf(err) != provider.Forbidden || !strings.Contains(err.Error(), "lack ec2:CreateTags on arn:aws:ec2") || strings.Contains(err.Error(), "Xy9") {
		t.Errorf("without the right to tag: %v", err)
	}
	a.Lack()
	wrong := *s
	wrong.SecretAccessKey = "another"
	if _, err := opened(t, &wrong).Create(t.Context(), request("a")); provider.ClassOf(err) != provider.Unauthenticated || !strings.Contains(err.Error(), "secret_access_key does not belong") {
		t.Errorf("a wrong secret: %v", err)
	}
	wrong.AccessKeyID = "AKIANOBODY"
	if _, err := opened(t, &wrong).Create(t.Context(), request("a")); provider.ClassOf(err) != provider.Unauthenticated || strings.Contains(err.Error(), "AKIANOBODY") {
		t.Errorf("an unknown key: %v", err)
	}
	a.Spoil(fakeaws.Fault{Status: 400, Code: "RequestExpired", Message: "Request has expired."})
	if _, err := opened(t, s).Get(t.Context(), "i-0123456789abcdef0"); provider.ClassOf(err) != provider.Unauthenticated || !strings.Contains(err.Error(), "clock is wrong") || !strings.Contains(err.Error(), "AWS's clock says 20") {
		t.Errorf("a wrong clock: %v", err)
	}
	for status, want := range map[int]provider.Class{502: provider.Unavailable, 403: provider.Unavailable, 404: provider.Unavailable, 429: provider.RateLimited, 407: provider.Unavailable} {
		a.Spoil(fakeaws.Fault{Status: status, Text: "<html><body>proxy</body></html>"})
		if _, err := opened(t, s).Get(t.Context(), "i-0123456789abcdef0"); provider.ClassOf(err) != want || !strings.Contains(err.Error(), "none of AWS's") {
			t.Errorf("a proxy's answer with status %d: %v", status, err)
		}
	}
	for _, rubbish := range []string{"hello", "{}", "<", "", "<html><body>welcome</body></html>", "<DescribeInstancesResponse><reservationSet>", `<?xml version="1.0"?>`} {
		a.Spoil(fakeaws.Fault{Status: 200, Text: rubbish + " "})
		if _, err := opened(t, s).Get(t.Context(), "i-0123456789abcdef0"); err == nil || provider.ClassOf(err) == provider.NotFound {
			t.Errorf("the answer %q: %v", rubbish, err)
		}
		a.Spoil(fakeaws.Fault{Name: "DescribeInstances", Status: 200, Text: rubbish + " "})
		for i, err := range opened(t, s).List(t.Context(), request("a").Tags.Owner()) {
			if err == nil {
				t.Errorf("the listing %q shows %+v", rubbish, i)
			}
		}
	}
}
