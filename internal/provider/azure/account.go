package azure

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

// Account is how a subscription is reached, for machines and for DNS alike.
type Account struct {
	TenantID       string `json:"tenant_id,omitempty" maxLength:"253" pattern:"^[A-Za-z0-9.-]+$" patternDescription:"a tenant's id, or one of its domains" group:"Account" doc:"Tenant of the app registration: its id or one of its domains. Empty: what the surroundings of the controller say." example:"72f988bf-86f1-41af-91ab-2d7cd011db47"`
	ClientID       string `json:"client_id,omitempty" pattern:"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$" patternDescription:"the application (client) id, a UUID" access:"true" group:"Account" doc:"Application (client) id of the app registration, or of a user-assigned managed identity." example:"6731de76-14a6-49ae-97bc-6eba6914391e"`
	ClientSecret   string `json:"client_secret,omitempty" secret:"true" maxLength:"1024" group:"Account" doc:"Value of a client secret of the app registration, not the secret's id. Empty: workload identity where AZURE_FEDERATED_TOKEN_FILE names a token, else the managed identity of the controller's own machine."`
	SubscriptionID string `json:"subscription_id" pattern:"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$" patternDescription:"the id of a subscription, a UUID" group:"Account" doc:"Id of the subscription." example:"8b0c1ec2-3b0a-4c69-9b3f-5d8f8c1f6b3e"`
	Authority      string `json:"authority,omitempty" enum:"public,usgovernment,china,custom" default:"public" group:"Connection" title:"Cloud" doc:"The cloud of the subscription. custom: authority_host, endpoint and audience say where it is."`
	AuthorityHost  string `json:"authority_host,omitempty" required:"true" when:"authority=custom" maxLength:"255" group:"Connection" doc:"Base URL of the service that gives tokens." example:"https://login.example.com"`
	Endpoint       string `json:"endpoint,omitempty" required:"true" when:"authority=custom" maxLength:"255" group:"Connection" doc:"Base URL of Resource Manager." example:"https://management.example.com"`
	Audience       string `json:"audience,omitempty" when:"authority=custom" maxLength:"255" group:"Connection" doc:"For whom tokens are asked. Empty: endpoint." example:"https://management.example.com"`
	provider.Connection
}

// Validate implements settings.Validator.
func (a Account) Validate() []fleet.FieldError {
	problems := a.Connection.Validate()
	for _, f := range []struct{ path, value string }{{"authority_host", a.AuthorityHost}, {"endpoint", a.Endpoint}} {
		if u, err := url.Parse(f.value); f.value != "" && (err != nil || u.Host == "" || u.Scheme != "https" || u.RawQuery != "" || u.User != nil) {
			problems = append(problems, fleet.FieldError{Path: f.path, Value: f.value, Message: "is no base URL: write it as https://HOST, since credentials travel there"})
		}
	}
	if a.ClientSecret != "" {
		for _, f := range []struct{ path, value string }{{"tenant_id", a.TenantID}, {"client_id", a.ClientID}} {
			if f.value == "" {
				problems = append(problems, fleet.FieldError{Path: f.path, Message: "is required with client_secret"})
			}
		}
	}
	return problems
}

// cloud says where the services are.
func (a Account) cloud() cloud.Configuration {
	switch a.Authority {
	case "usgovernment":
		return cloud.AzureGovernment
	case "china":
		return cloud.AzureChina
	case "custom":
		audience := fleet.Or(a.Audience, a.Endpoint)
		return cloud.Configuration{
			ActiveDirectoryAuthorityHost: strings.TrimSuffix(a.AuthorityHost, "/") + "/",
			Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
				cloud.ResourceManager: {Endpoint: strings.TrimSuffix(a.Endpoint, "/"), Audience: audience},
			},
		}
	}
	return cloud.AzurePublic
}

// options are those of every client of the SDK: nothing is repeated, logged or
// registered by it, and the tokens are added by the transport; see [authorized].
func (a Account) options() (*arm.ClientOptions, error) {
	client, err := a.HTTPClient()
	if err != nil {
		return nil, err
	}
	tokens, err := a.tokens()
	if err != nil {
		return nil, err
	}
	where := a.cloud()
	client.Transport = newAuthorized(client.Transport, tokens)
	// A redirect would carry the request, and not what protects it, elsewhere.
	client.CheckRedirect = noRedirect
	return &arm.ClientOptions{
		ClientOptions: policy.ClientOptions{
			Cloud:            where,
			Retry:            policy.RetryOptions{MaxRetries: -1},
			Telemetry:        policy.TelemetryOptions{Disabled: true},
			Transport:        client,
			PerRetryPolicies: []policy.Policy{agent{}},
		},
		DisableRPRegistration: true,
	}, nil
}

// group is the path of a resource group.
func (a Account) group(name string) string {
	return fmt.Sprintf("/subscriptions/%s/resourceGroups/%s", a.SubscriptionID, name)
}
