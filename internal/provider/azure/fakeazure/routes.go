package fakeazure

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	compute "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8/fake"
	dns "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/dns/armdns/fake"
	network "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9/fake"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/dns/armdns"
)

// doer is a fake server of the SDK.
type doer interface {
	Do(*http.Request) (*http.Response, error)
}

// operation is one operation that the driver may use.
type operation struct {
	method string
	path   *regexp.Regexp
	api    string       // as the SDK calls it; empty: the answer is made by plain
	body   reflect.Type // of the request
	query  []string     // besides api-version
	action string       // that it needs, on its path
	server func(*Subscription) doer
	plain  func(p *Subscription, m []string) (any, error)
}

const (
	subPath   = `^/subscriptions/([0-9a-f-]{36})`
	groupPath = subPath + `/resource[gG]roups/([^/]+)`
	vmPath    = groupPath + `/providers/Microsoft\.Compute/virtualMachines`
	netPath   = groupPath + `/providers/Microsoft\.Network/`
	imagePath = subPath + `/providers/Microsoft\.Compute/locations/([^/]+)/publishers/([^/]+)/artifacttypes/vmimage/offers/([^/]+)/skus`
	zonePath  = groupPath + `/providers/Microsoft\.Network/dnsZones/([^/]+)`
)

func operations() []operation {
	at := regexp.MustCompile
	vms := func(p *Subscription) doer { return compute.NewVirtualMachinesServerTransport(p.machineServer()) }
	extensions := func(p *Subscription) doer {
		return compute.NewVirtualMachineExtensionsServerTransport(p.extensionServer())
	}
	disks := func(p *Subscription) doer { return compute.NewDisksServerTransport(p.diskServer()) }
	skus := func(p *Subscription) doer { return compute.NewResourceSKUsServerTransport(p.skuServer()) }
	images := func(p *Subscription) doer { return compute.NewImagesServerTransport(p.imageServer()) }
	market := func(p *Subscription) doer {
		return compute.NewVirtualMachineImagesServerTransport(p.marketServer())
	}
	interfaces := func(p *Subscription) doer { return network.NewInterfacesServerTransport(p.interfaceServer()) }
	addresses := func(p *Subscription) doer { return network.NewPublicIPAddressesServerTransport(p.addressServer()) }
	subnets := func(p *Subscription) doer { return network.NewSubnetsServerTransport(p.subnetServer()) }
	networks := func(p *Subscription) doer { return network.NewVirtualNetworksServerTransport(p.networkServer()) }
	firewalls := func(p *Subscription) doer { return network.NewSecurityGroupsServerTransport(p.firewallServer()) }
	records := func(p *Subscription) doer { return dns.NewRecordSetsServerTransport(p.recordServer()) }
	zones := func(p *Subscription) doer { return dns.NewZonesServerTransport(p.zoneServer()) }
	const c, n = "Microsoft.Compute/", "Microsoft.Network/"
	return []operation{
		{method: "PUT", path: at(vmPath + `/([^/]+)$`), api: "VirtualMachinesClient.BeginCreateOrUpdate", body: reflect.TypeFor[armcompute.VirtualMachine](), action: c + "virtualMachines/write", server: vms},
		{method: "GET", path: at(vmPath + `/([^/]+)$`), api: "VirtualMachinesClient.Get", query: []string{"$expand"}, action: c + "virtualMachines/read", server: vms},
		{method: "DELETE", path: at(vmPath + `/([^/]+)$`), api: "VirtualMachinesClient.BeginDelete", query: []string{"forceDeletion"}, action: c + "virtualMachines/delete", server: vms},
		{method: "GET", path: at(vmPath + `$`), api: "VirtualMachinesClient.NewListPager", query: []string{"$filter", "$expand", "$skiptoken"}, action: c + "virtualMachines/read", server: vms},
		{method: "GET", path: at(subPath + `/providers/Microsoft\.Compute/virtualMachines$`), api: "VirtualMachinesClient.NewListAllPager", query: []string{"statusOnly", "$filter", "$expand", "$skiptoken"}, action: c + "virtualMachines/read", server: vms},
		{method: "POST", path: at(vmPath + `/([^/]+)/retrieveBootDiagnosticsData$`), api: "VirtualMachinesClient.RetrieveBootDiagnosticsData", query: []string{"sasUriExpirationTimeInMinutes"}, action: c + "virtualMachines/retrieveBootDiagnosticsData/action", server: vms},
		{method: "PUT", path: at(vmPath + `/([^/]+)/extensions/([^/]+)$`), api: "VirtualMachineExtensionsClient.BeginCreateOrUpdate", body: reflect.TypeFor[armcompute.VirtualMachineExtension](), action: c + "virtualMachines/extensions/write", server: extensions},
		{method: "GET", path: at(vmPath + `/([^/]+)/extensions/([^/]+)$`), api: "VirtualMachineExtensionsClient.Get", query: []string{"$expand"}, action: c + "virtualMachines/extensions/read", server: extensions},
		{method: "GET", path: at(groupPath + `/providers/Microsoft\.Compute/disks$`), api: "DisksClient.NewListByResourceGroupPager", query: []string{"$skiptoken"}, action: c + "disks/read", server: disks},
		{method: "DELETE", path: at(groupPath + `/providers/Microsoft\.Compute/disks/([^/]+)$`), api: "DisksClient.BeginDelete", action: c + "disks/delete", server: disks},
		{method: "GET", path: at(subPath + `/providers/Microsoft\.Compute/skus$`), api: "ResourceSKUsClient.NewListPager", query: []string{"$filter", "includeExtendedLocations"}, action: c + "skus/read", server: skus},
		{method: "GET", path: at(imagePath + `/([^/]+)/versions/([^/]+)$`), api: "VirtualMachineImagesClient.Get", action: c + "locations/publishers/artifacttypes/offers/skus/versions/read", server: market},
		{method: "GET", path: at(imagePath + `/([^/]+)/versions$`), api: "VirtualMachineImagesClient.List", query: []string{"$top", "$orderby", "$expand"}, action: c + "locations/publishers/artifacttypes/offers/skus/versions/read", server: market},
		{method: "GET", path: at(imagePath + `$`), api: "VirtualMachineImagesClient.ListSKUs", action: c + "locations/publishers/artifacttypes/offers/skus/read", server: market},
		{method: "GET", path: at(groupPath + `/providers/Microsoft\.Compute/images/([^/]+)$`), api: "ImagesClient.Get", query: []string{"$expand"}, action: c + "images/read", server: images},
		{method: "GET", path: at(groupPath + `/providers/Microsoft\.Compute/images$`), api: "ImagesClient.NewListByResourceGroupPager", action: c + "images/read", server: images},
		{method: "GET", path: at(netPath + `networkInterfaces$`), api: "InterfacesClient.NewListPager", query: []string{"$skiptoken"}, action: n + "networkInterfaces/read", server: interfaces},
		{method: "GET", path: at(netPath + `networkInterfaces/([^/]+)$`), api: "InterfacesClient.Get", query: []string{"$expand"}, action: n + "networkInterfaces/read", server: interfaces},
		{method: "DELETE", path: at(netPath + `networkInterfaces/([^/]+)$`), api: "InterfacesClient.BeginDelete", action: n + "networkInterfaces/delete", server: interfaces},
		{method: "GET", path: at(netPath + `publicIPAddresses$`), api: "PublicIPAddressesClient.NewListPager", query: []string{"$skiptoken"}, action: n + "publicIPAddresses/read", server: addresses},
		{method: "DELETE", path: at(netPath + `publicIPAddresses/([^/]+)$`), api: "PublicIPAddressesClient.BeginDelete", action: n + "publicIPAddresses/delete", server: addresses},
		{method: "GET", path: at(netPath + `virtualNetworks/([^/]+)$`), api: "VirtualNetworksClient.Get", query: []string{"$expand"}, action: n + "virtualNetworks/read", server: networks},
		{method: "GET", path: at(subPath + `/providers/Microsoft\.Network/virtualNetworks$`), api: "VirtualNetworksClient.NewListAllPager", action: n + "virtualNetworks/read", server: networks},
		{method: "GET", path: at(netPath + `virtualNetworks/([^/]+)/subnets/([^/]+)$`), api: "SubnetsClient.Get", query: []string{"$expand"}, action: n + "virtualNetworks/subnets/read", server: subnets},
		{method: "GET", path: at(netPath + `networkSecurityGroups/([^/]+)$`), api: "SecurityGroupsClient.Get", query: []string{"$expand"}, action: n + "networkSecurityGroups/read", server: firewalls},
		{method: "GET", path: at(subPath + `/providers/Microsoft\.Network/networkSecurityGroups$`), api: "SecurityGroupsClient.NewListAllPager", action: n + "networkSecurityGroups/read", server: firewalls},
		{method: "GET", path: at(zonePath + `$`), api: "ZonesClient.Get", action: n + "dnsZones/read", server: zones},
		{method: "GET", path: at(zonePath + `/all$`), api: "RecordSetsClient.NewListAllByDNSZonePager", query: []string{"$top", "$recordsetnamesuffix", "$skiptoken"}, action: n + "dnsZones/all/read", server: records},
		{method: "GET", path: at(zonePath + `/recordsets$`), api: "RecordSetsClient.NewListByDNSZonePager", query: []string{"$top", "$recordsetnamesuffix", "$skiptoken"}, action: n + "dnsZones/recordsets/read", server: records},
		{method: "GET", path: at(zonePath + `/(A|AAAA|TXT)/([^/]+)$`), api: "RecordSetsClient.Get", action: n + "dnsZones/{4}/read", server: records},
		{method: "PUT", path: at(zonePath + `/(A|AAAA|TXT)/([^/]+)$`), api: "RecordSetsClient.CreateOrUpdate", body: reflect.TypeFor[armdns.RecordSet](), action: n + "dnsZones/{4}/write", server: records},
		{method: "DELETE", path: at(zonePath + `/(A|AAAA|TXT)/([^/]+)$`), api: "RecordSetsClient.Delete", action: n + "dnsZones/{4}/delete", server: records},

		{method: "GET", path: at(`^(/subscriptions/.*)/providers/Microsoft\.Authorization/permissions$`), action: "Microsoft.Authorization/permissions/read", plain: (*Subscription).permissions},
		{method: "GET", path: at(groupPath + `/providers/Microsoft\.Authorization/locks$`), action: "Microsoft.Authorization/locks/read", plain: (*Subscription).locks},
		{method: "GET", path: at(groupPath + `$`), action: "Microsoft.Resources/subscriptions/resourceGroups/read", plain: (*Subscription).resourceGroup},
		{method: "GET", path: at(subPath + `/resourcegroups$`), action: "Microsoft.Resources/subscriptions/resourceGroups/read", plain: (*Subscription).resourceGroups},
		{method: "GET", path: at(subPath + `/locations$`), action: "Microsoft.Resources/subscriptions/locations/read", plain: (*Subscription).locations},
		{method: "GET", path: at(groupPath + `/providers/Microsoft\.Compute/galleries/([^/]+)/images/([^/]+)$`), action: c + "galleries/images/read", plain: (*Subscription).galleryImage},
		{method: "GET", path: at(groupPath + `/providers/Microsoft\.Compute/galleries/([^/]+)/images/([^/]+)/versions/([^/]+)$`), action: c + "galleries/images/versions/read", plain: (*Subscription).galleryVersion},
		{method: "GET", path: at(subPath + `/providers/Microsoft\.MarketplaceOrdering/offerTypes/virtualmachine/publishers/([^/]+)/offers/([^/]+)/plans/([^/]+)/agreements/current$`), action: "Microsoft.MarketplaceOrdering/offerTypes/publishers/offers/plans/agreements/read", plain: (*Subscription).terms},
	}
}

func (p *Subscription) route(r *http.Request, body []byte) (any, error) {
	for _, o := range p.operations {
		m := o.path.FindStringSubmatch(r.URL.Path)
		if m == nil || o.method != r.Method {
			continue
		}
		if err := p.admit(o, m, r, body); err != nil {
			return nil, err
		}
		if o.plain != nil {
			return o.plain(p, m)
		}
		// The fake answers in a goroutine of its own while the lock is held here.
		ctx := context.WithValue(context.WithoutCancel(r.Context()), runtime.CtxAPINameKey{}, o.api)
		p.accepted, p.current = nil, r
		again := r.Clone(ctx)
		again.Body = io.NopCloser(bytes.NewReader(body))
		resp, err := o.server(p).Do(again) //nolint:bodyclose // send closes it
		if err != nil {
			return nil, err
		}
		if p.accepted != nil { // the fakes start operations without a body
			text, err := json.Marshal(p.accepted)
			if err != nil {
				return nil, err
			}
			resp.Body = io.NopCloser(bytes.NewReader(text))
			resp.Header = http.Header{"Content-Type": {"application/json"}}
		}
		if resp.StatusCode == http.StatusAccepted || resp.StatusCode == http.StatusCreated {
			resp.Header.Set("Azure-Asyncoperation", "https://"+r.Host+"/subscriptions/"+p.ID+"/providers/Microsoft.Compute/locations/westeurope/operations/1?api-version=2026-04-01")
			if resp.StatusCode == http.StatusAccepted {
				resp.Header.Set("Location", resp.Header.Get("Azure-Asyncoperation"))
			}
		}
		return resp, nil
	}
	return nil, fmt.Errorf("no operation answers")
}

// admit checks what is the same for all operations.
func (p *Subscription) admit(o operation, m []string, r *http.Request, body []byte) error {
	if !strings.HasPrefix(strings.ToLower(r.URL.Path), "/subscriptions/"+p.ID) {
		return refuse(http.StatusNotFound, "SubscriptionNotFound", "The subscription '%s' could not be found.", strings.Split(r.URL.Path, "/")[2])
	}
	if r.Header.Get("User-Agent") != "headroom" {
		return fmt.Errorf("the agent is %q", r.Header.Get("User-Agent"))
	}
	for name, values := range r.URL.Query() {
		switch {
		case name == "api-version" && (len(values) != 1 || !versionRule.MatchString(values[0])):
			return fmt.Errorf("api-version is %q", values)
		case name != "api-version" && !slices.Contains(o.query, name):
			return fmt.Errorf("unknown query parameter %s", name)
		}
	}
	if r.URL.Query().Get("api-version") == "" {
		return fmt.Errorf("no api-version")
	}
	if wrong := Unknown(o.body, body); wrong != "" {
		return fmt.Errorf("%s", wrong)
	}
	action := o.action
	for i, part := range m {
		action = strings.ReplaceAll(action, fmt.Sprintf("{%d}", i), part)
	}
	if !p.allowed(action) {
		return p.forbidden(action, r.URL.Path)
	}
	if strings.HasPrefix(strings.ToLower(r.URL.Path), "/subscriptions/"+p.ID+"/resourcegroups/") && p.group(r.URL.Path) == "" {
		return refuse(http.StatusNotFound, "ResourceGroupNotFound", "Resource group '%s' could not be found.", strings.Split(r.URL.Path, "/")[4])
	}
	if p.lock != "" && (r.Method == http.MethodDelete || p.lock == "ReadOnly" && r.Method == http.MethodPut) {
		return refuse(http.StatusConflict, "ScopeLocked", "The scope '%s' cannot perform delete operation because following scope(s) are locked: '/subscriptions/%s/resourceGroups/%s'. Please remove the lock and try again.", r.URL.Path, p.ID, p.Group)
	}
	return nil
}

func (p *Subscription) forbidden(action, scope string) *refusal {
	return refuse(http.StatusForbidden, "AuthorizationFailed", "The client '%s' with object id '%s' does not have authorization to perform action '%s' over scope '%s' or the scope is invalid. If access was recently granted, please refresh your credentials.", p.Client, p.Client, action, scope)
}

// Unknown says what of a body the type of the SDK does not know; empty when it
// knows all of it.
func Unknown(t reflect.Type, body []byte) string {
	switch {
	case t == nil && len(body) > 0:
		return "a body where none is expected"
	case t == nil:
		return ""
	}
	typed := reflect.New(t).Interface()
	if err := json.Unmarshal(body, typed); err != nil {
		return "a body that cannot be read: " + err.Error()
	}
	again, err := json.Marshal(typed)
	if err != nil {
		return err.Error()
	}
	var want, got any
	if json.Unmarshal(body, &want) != nil || json.Unmarshal(again, &got) != nil {
		return "a body that cannot be compared"
	}
	return lost(want, got, "")
}

func lost(want, got any, path string) string {
	switch w := want.(type) {
	case map[string]any:
		g, _ := got.(map[string]any)
		for _, key := range sorted(w) {
			if _, there := g[key]; !there && w[key] != nil {
				return "unknown member " + path + "." + key
			}
			if wrong := lost(w[key], g[key], path+"."+key); wrong != "" {
				return wrong
			}
		}
	case []any:
		g, _ := got.([]any)
		if len(g) != len(w) {
			return "a list that is cut at " + path
		}
		for i := range w {
			if wrong := lost(w[i], g[i], fmt.Sprintf("%s[%d]", path, i)); wrong != "" {
				return wrong
			}
		}
	default:
		if want != got {
			return fmt.Sprintf("%s is %v and read as %v", path, want, got)
		}
	}
	return ""
}
