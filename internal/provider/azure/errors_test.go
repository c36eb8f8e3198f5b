package azure_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/azure/fakeazure"
)

// TestErrors: codes that a status alone does not tell, each with what to do.
func TestErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status        int
		code, message string
		class         provider.Class
		says          string
	}{
		{403, "AuthorizationFailed", "The client 'x' with object id 'x' does not have authorization to perform action 'Microsoft.Compute/virtualMachines/write' over scope '/subscriptions/s/g' or the scope is invalid.", provider.Forbidden, "grant the app Microsoft.Compute/virtualMachines/write on /subscriptions/s/g"},
		{403, "LinkedAuthorizationFailed", "The client has permission to perform action 'Microsoft.Compute/virtualMachines/write' on scope 'a'; however, it does not have permission to perform action(s) 'Microsoft.Network/virtualNetworks/subnets/join/action' on the linked scope(s) '/subscriptions/s/net' (respectively).", provider.Forbidden, "grant the app Microsoft.Network/virtualNetworks/subnets/join/action on /subscriptions/s/net"},
		{401, "InvalidAuthenticationTokenTenant", "The access token is from the wrong issuer.", provider.Unauthenticated, "correct tenant_id"},
		{404, "SubscriptionNotFound", "The subscription 'x' could not be found.", provider.Invalid, "subscription_id"},
		{404, "ResourceGroupNotFound", "Resource group 'x' could not be found.", provider.Invalid, "resource_group"},
		{404, "ImageNotFound", "The Image cannot be found.", provider.Invalid, "correct image"},
		{400, "MarketplacePurchaseEligibilityFailed", "Marketplace purchase eligibilty check returned errors.", provider.Forbidden, "az vm image terms accept"},
		{400, "ResourcePurchaseValidationFailed", "User failed validation to purchase resources. Error message: 'You have not accepted the legal terms on this subscription'", provider.Forbidden, "az vm image terms accept"},
		{409, "AnotherOperationInProgress", "Another operation on this or dependent resource is in progress.", provider.Conflict, ""},
		{409, "PropertyChangeNotAllowed", "Changing property 'osDisk.name' is not allowed.", provider.Conflict, ""},
		{409, "ReadOnlyDisabledSubscription", "The subscription 'x' is disabled and therefore marked as read only.", provider.Forbidden, "enable it"},
		{409, "ScopeLocked", "The scope cannot perform write operation because following scope(s) are locked.", provider.Forbidden, "remove the lock"},
		{409, "MissingSubscriptionRegistration", "The subscription is not registered to use namespace 'Microsoft.Compute'.", provider.Forbidden, "az provider register"},
		{403, "RequestDisallowedByPolicy", "Resource 'hr-a' was disallowed by policy.", provider.Forbidden, "exempt"},
		{409, "OperationNotAllowed", "Operation could not be completed as it results in exceeding approved standardDSv5Family Cores quota.", provider.Quota, ""},
		{409, "OperationNotAllowed", "The VM cannot be changed now.", provider.Conflict, ""},
		{400, "InvalidParameter", "The requested VM size Standard_D2s_v5 is not available in the current region.", provider.NoCapacity, ""},
		{400, "InvalidParameter", "The value of parameter osProfile is invalid.", provider.Invalid, ""},
		{400, "SubnetIsFull", "Subnet desktops with address prefix 10.0.0.0/28 does not have enough capacity for 1 IP addresses.", provider.Quota, ""},
		{409, "ZonalAllocationFailed", "Allocation failed.", provider.NoCapacity, ""},
		{409, "AllocationFailed", "Allocation failed. We do not have sufficient capacity for the requested VM size in this region.", provider.NoCapacity, ""},
		{409, "OverconstrainedZonalAllocationRequest", "Allocation failed. VM(s) with the following constraints cannot be allocated.", provider.NoCapacity, ""},
		{409, "SkuNotAvailable", "The requested VM size for resource 'Following SKUs have failed for Capacity Restrictions: Standard_D2s_v5' is currently not available in location 'westeurope'.", provider.NoCapacity, ""},
		{400, "QuotaExceeded", "Operation could not be completed as it results in exceeding approved Total Regional Cores quota.", provider.Quota, ""},
		{409, "OperationNotAllowed", "Operation could not be completed as it results in exceeding approved LowPriorityCores quota.", provider.Quota, ""},
		{400, "PublicIPCountLimitReached", "Cannot create more than 20 public IP addresses for this subscription in this region.", provider.Quota, ""},
		{400, "StaticPublicIPCountLimitReached", "Cannot create more than 20 public IP addresses with static allocation method for this subscription in this region.", provider.Quota, ""},
		{400, "IPv4StandardSkuPublicIpCountLimitReached", "Cannot create more than 10 IPv4 Standard SKU public IP addresses for this subscription in this region.", provider.Quota, ""},
		{409, "OperationPreempted", "Operation was preempted by a more recent operation.", provider.Conflict, ""},
		{409, "CanceledAndSupersededDueToAnotherOperation", "Operation was canceled and superseded.", provider.Conflict, ""},
		{429, "RetryableErrorDueToAnotherOperation", "A retryable error occurred.", provider.RateLimited, ""},
		{503, "ResourceRequestsThrottled", "Number of requests exceeded the limit.", provider.RateLimited, ""},
		{401, "ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than current UTC time.", provider.Unauthenticated, "client_secret"},
		{404, "ResourceNotFound", "The Resource 'Microsoft.Network/virtualNetworks/net' under resource group 'g' was not found.", provider.Invalid, "provider check"},
		{503, "ServerTimeout", "The request timed out.", provider.Unavailable, ""},
		{429, "TooManyRequests", "The request is being throttled.", provider.RateLimited, ""},
		{500, "InternalExecutionError", "An internal execution error occurred.", provider.Unavailable, ""},
		{418, "SomethingNew", "A new thing.", provider.Unknown, "SomethingNew: A new thing."},
	} {
		s, p := subscription(t)
		p.Spoil(fakeazure.Fault{Method: http.MethodPut, Path: "/virtualMachines/", Status: c.status, Code: c.code, Message: c.message})
		_, err := opened(t, s).Create(t.Context(), request("a"))
		if provider.ClassOf(err) != c.class || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), c.code) {
			t.Errorf("%s: %v, expected %s with %q", c.code, err, c.class, c.says)
		}
	}
	s, p := subscription(t)
	d := opened(t, s)
	if _, err := d.Create(t.Context(), request("a")); err != nil {
		t.Fatal(err)
	}
	p.Lock("CanNotDelete")
	if err := d.Delete(t.Context(), "hr-a"); provider.ClassOf(err) != provider.Forbidden || !strings.Contains(err.Error(), "remove the lock") {
		t.Errorf("a lock: %v", err)
	}
}
