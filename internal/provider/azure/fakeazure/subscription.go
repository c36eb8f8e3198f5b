package fakeazure

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/dns/armdns"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
)

// Subscription is what one app registration reaches.
type Subscription struct {
	ID, Tenant, Client, Secret string
	Federated                  string // the token of a workload that is trusted
	Group, Region              string

	server     *Server
	operations []operation
	faults     []Fault
	expired    bool
	lacking    map[string]bool
	lock       string
	limit      int
	soldOut    map[string]shortage // by offer
	took       time.Duration       // of operations
	leak       bool                // deletes leave interface and disk
	blind      bool                // the statuses of the subscription are empty
	settled    map[string]bool     // machines that listings show; nil: all
	calls      int64
	tokens     int
	serial     int
	accepted   any           // body of an operation that was started
	current    *http.Request // that is being answered

	machines   map[string]*machine // by name in lower case
	interfaces map[string]*armnetwork.Interface
	addresses  map[string]*armnetwork.PublicIPAddress
	disks      map[string]*armcompute.Disk
	console    map[string]string
	records    map[string]*armdns.RecordSet // by zone, type and name
	agreed     bool                         // the terms of the plan
}

type shortage struct {
	code  string
	later bool // after the create was accepted
}

func newSubscription(s *Server, id, tenant, client, secret string) *Subscription {
	return &Subscription{
		ID: id, Tenant: tenant, Client: client, Secret: secret, Federated: "federated-" + id, Group: "desktops", Region: "westeurope",
		server: s, operations: operations(), lacking: map[string]bool{}, limit: 1000, soldOut: map[string]shortage{}, took: 20 * time.Millisecond,
		machines: map[string]*machine{}, interfaces: map[string]*armnetwork.Interface{}, addresses: map[string]*armnetwork.PublicIPAddress{},
		disks: map[string]*armcompute.Disk{}, console: map[string]string{}, records: map[string]*armdns.RecordSet{},
	}
}

// fault finds the fault that a request runs into.
func (p *Subscription) fault(r *http.Request) (Fault, bool) {
	for i := range p.faults {
		f := &p.faults[i]
		if f.Method != "" && f.Method != r.Method || !strings.Contains(r.URL.RequestURI(), f.Path) {
			continue
		}
		if f.After > 0 {
			f.After--
			continue
		}
		out := *f
		p.faults = append(p.faults[:i:i], p.faults[i+1:]...)
		return out, true
	}
	return Fault{}, false
}

func (p *Subscription) allowed(action string) bool { return !p.lacking[strings.ToLower(action)] }

// group says which of the two groups a path is in; empty when in none.
func (p *Subscription) group(path string) string {
	parts := strings.Split(path, "/")
	for _, g := range []string{p.Group, "networks"} {
		if len(parts) > 4 && strings.EqualFold(parts[4], g) {
			return g
		}
	}
	return ""
}

func (p *Subscription) id(format string, args ...any) string {
	return "/subscriptions/" + p.ID + "/resourceGroups/" + p.Group + "/providers/" + fmt.Sprintf(format, args...)
}

// permissions are one role that can do everything but what is lacking.
func (p *Subscription) permissions([]string) (any, error) {
	not := append([]string{}, sorted(p.lacking)...)
	return map[string]any{"value": []any{
		map[string]any{"actions": []string{"Microsoft.Compute/*", "Microsoft.Network/*", "*/read"}, "notActions": not, "dataActions": []string{}, "notDataActions": []string{}},
		map[string]any{"actions": []string{"Microsoft.Support/*"}, "notActions": []string{}},
	}}, nil
}

func (p *Subscription) locks([]string) (any, error) {
	list := []any{}
	if p.lock != "" {
		list = append(list, map[string]any{"name": "keep", "properties": map[string]any{"level": p.lock}})
	}
	return map[string]any{"value": list}, nil
}

func (p *Subscription) resourceGroup(m []string) (any, error) {
	return map[string]any{"id": m[0], "name": m[2], "location": p.Region, "properties": map[string]any{"provisioningState": "Succeeded"}}, nil
}

func (p *Subscription) resourceGroups([]string) (any, error) {
	return map[string]any{"value": []any{map[string]any{"name": p.Group, "location": p.Region}, map[string]any{"name": "networks", "location": p.Region}}}, nil
}

func (p *Subscription) locations([]string) (any, error) {
	return map[string]any{"value": []any{map[string]any{"name": "westeurope", "displayName": "West Europe"}, map[string]any{"name": "eastus", "displayName": "East US"}}}, nil
}

func (p *Subscription) galleryImage(m []string) (any, error) {
	switch m[4] {
	case "golden":
		return map[string]any{"properties": map[string]any{"osType": "Linux", "hyperVGeneration": "V2"}}, nil
	case "golden-windows":
		return map[string]any{"properties": map[string]any{"osType": "Windows", "hyperVGeneration": "V2"}}, nil
	}
	return nil, absent(m[0])
}

func (p *Subscription) galleryVersion(m []string) (any, error) {
	if m[4] == "golden" && m[5] == "1.0.0" {
		return map[string]any{"properties": map[string]any{}}, nil
	}
	return nil, absent(m[0])
}

func (p *Subscription) terms(m []string) (any, error) {
	if m[2] != "acme" {
		return nil, refuse(http.StatusBadRequest, "BadRequest", "Offer with PublisherId: '%s', OfferId: '%s' not found.", m[2], m[3])
	}
	return map[string]any{"properties": map[string]any{"accepted": p.agreed}}, nil
}

var typeRule = regexp.MustCompile(`providers/(.*)$`)

func absent(path string) *refusal {
	what := path
	if m := typeRule.FindStringSubmatch(path); m != nil {
		what = m[1]
	}
	return refuse(http.StatusNotFound, "ResourceNotFound", "The Resource '%s' under resource group '%s' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix", what, "desktops")
}
