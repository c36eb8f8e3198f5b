package fakeazure

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/dns/armdns"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/dns/armdns/fake"
)

// theZone is the only zone that there is.
const theZone = "example.com"

func (p *Subscription) zoneServer() *fake.ZonesServer {
	return &fake.ZonesServer{Get: func(_ context.Context, _, zone string, _ *armdns.ZonesClientGetOptions) (resp azfake.Responder[armdns.ZonesClientGetResponse], no azfake.ErrorResponder) {
		if zone != theZone {
			no.SetError(absent("/providers/Microsoft.Network/dnszones/" + zone))
			return resp, no
		}
		resp.SetResponse(http.StatusOK, armdns.ZonesClientGetResponse{Zone: armdns.Zone{Name: to.Ptr(zone), Location: to.Ptr("global"), Properties: &armdns.ZoneProperties{
			ZoneType: to.Ptr(armdns.ZoneTypePublic), NumberOfRecordSets: to.Ptr(int64(len(p.records) + 2)), MaxNumberOfRecordSets: to.Ptr(int64(10000)),
		}}}, nil)
		return resp, no
	}}
}

func recordKey(kind, name string) string { return kind + "/" + strings.ToLower(name) }

func (p *Subscription) recordServer() *fake.RecordSetsServer {
	return &fake.RecordSetsServer{
		Get: func(_ context.Context, _, zone, name string, kind armdns.RecordType, _ *armdns.RecordSetsClientGetOptions) (resp azfake.Responder[armdns.RecordSetsClientGetResponse], no azfake.ErrorResponder) {
			if zone != theZone {
				no.SetError(refuse(http.StatusNotFound, "ParentResourceNotFound", "Failed to perform 'read' on resource(s) of type 'dnszones/A', because the parent resource '%s' could not be found.", zone))
				return resp, no
			}
			r := p.records[recordKey(string(kind), name)]
			if r == nil {
				no.SetError(refuse(http.StatusNotFound, "NotFound", "The resource record '%s' does not exist in resource group '%s' of subscription '%s'.", name, p.Group, p.ID))
				return resp, no
			}
			resp.SetResponse(http.StatusOK, armdns.RecordSetsClientGetResponse{RecordSet: *r}, nil)
			return resp, no
		},
		CreateOrUpdate: p.putRecord,
		Delete: func(_ context.Context, _, zone, name string, kind armdns.RecordType, o *armdns.RecordSetsClientDeleteOptions) (resp azfake.Responder[armdns.RecordSetsClientDeleteResponse], no azfake.ErrorResponder) {
			r := p.records[recordKey(string(kind), name)]
			switch {
			case zone != theZone:
				no.SetError(refuse(http.StatusNotFound, "ParentResourceNotFound", "the parent resource '%s' could not be found.", zone))
			case r == nil:
				resp.SetResponse(http.StatusNoContent, armdns.RecordSetsClientDeleteResponse{}, nil)
			case o != nil && o.IfMatch != nil && *o.IfMatch != *r.Etag:
				no.SetError(clash(name))
			default:
				delete(p.records, recordKey(string(kind), name))
				resp.SetResponse(http.StatusOK, armdns.RecordSetsClientDeleteResponse{}, nil)
			}
			return resp, no
		},
		NewListAllByDNSZonePager: func(_, zone string, _ *armdns.RecordSetsClientListAllByDNSZoneOptions) (resp azfake.PagerResponder[armdns.RecordSetsClientListAllByDNSZoneResponse]) {
			if zone != theZone {
				resp.AddError(refuse(http.StatusNotFound, "ParentResourceNotFound", "the parent resource '%s' could not be found.", zone))
				return resp
			}
			var page armdns.RecordSetsClientListAllByDNSZoneResponse
			all := map[string]*armdns.RecordSet{"NS/@": {Name: to.Ptr("@"), Type: to.Ptr("Microsoft.Network/dnszones/NS"), Properties: &armdns.RecordSetProperties{NsRecords: []*armdns.NsRecord{{Nsdname: to.Ptr("ns1-01.azure-dns.com.")}}}}}
			for key, r := range p.records {
				all[key] = r
			}
			names, next := p.pageOf(sorted(all))
			page.Value = []*armdns.RecordSet{}
			for _, name := range names {
				page.Value = append(page.Value, all[name])
			}
			page.NextLink = next
			resp.AddPage(http.StatusOK, page, nil)
			return resp
		},
	}
}

func clash(name string) *refusal {
	return refuse(http.StatusPreconditionFailed, "PreconditionFailed", "The Etag provided in the if-match header did not match the current one of '%s'.", name)
}

func (p *Subscription) putRecord(_ context.Context, _, zone, name string, kind armdns.RecordType, body armdns.RecordSet, o *armdns.RecordSetsClientCreateOrUpdateOptions) (resp azfake.Responder[armdns.RecordSetsClientCreateOrUpdateResponse], no azfake.ErrorResponder) {
	key := recordKey(string(kind), name)
	have := p.records[key]
	if o == nil {
		o = &armdns.RecordSetsClientCreateOrUpdateOptions{}
	}
	bad := func(format string, args ...any) {
		no.SetError(refuse(http.StatusBadRequest, "BadRequest", format, args...))
	}
	v := body.Properties
	switch {
	case zone != theZone:
		no.SetError(refuse(http.StatusNotFound, "ParentResourceNotFound", "the parent resource '%s' could not be found.", zone))
	case o.IfNoneMatch != nil && have != nil, o.IfMatch != nil && (have == nil || *have.Etag != *o.IfMatch):
		no.SetError(clash(name))
	case v == nil || v.TTL == nil || *v.TTL < 1 || *v.TTL > 2147483647:
		bad("The TTL is missing or out of range.")
	case kind == armdns.RecordTypeA && len(v.ARecords) == 0, kind == armdns.RecordTypeAAAA && len(v.AaaaRecords) == 0, kind == armdns.RecordTypeTXT && len(v.TxtRecords) == 0:
		bad("The record set must contain at least one record of its type.")
	case kind == armdns.RecordTypeTXT && longText(v.TxtRecords) != "":
		bad("The value of the TXT record is invalid: %s", longText(v.TxtRecords))
	default:
		p.serial++
		body.ID, body.Name, body.Type = to.Ptr(p.id("Microsoft.Network/dnszones/%s/%s/%s", zone, kind, name)), to.Ptr(name), to.Ptr("Microsoft.Network/dnszones/"+string(kind))
		body.Etag = to.Ptr(strconv.Itoa(p.serial))
		p.records[key] = &body
		status := http.StatusCreated
		if have != nil {
			status = http.StatusOK
		}
		resp.SetResponse(status, armdns.RecordSetsClientCreateOrUpdateResponse{RecordSet: body}, nil)
	}
	return resp, no
}

// longText says which text is too long: a piece has at most 255 bytes, a record
// 4,096.
func longText(all []*armdns.TxtRecord) string {
	for _, r := range all {
		total := 0
		for _, piece := range r.Value {
			total += len(val(piece))
			if len(val(piece)) > 255 {
				return fmt.Sprintf("a piece of %d bytes", len(val(piece)))
			}
		}
		if total > 4096 {
			return fmt.Sprintf("%d bytes", total)
		}
	}
	return ""
}

// Records lists the record sets as text.
func (p *Subscription) Records() []string {
	defer p.locked()()
	var out []string
	for _, key := range sorted(p.records) {
		r := p.records[key]
		var data []string
		for _, a := range r.Properties.ARecords {
			data = append(data, val(a.IPv4Address))
		}
		for _, a := range r.Properties.AaaaRecords {
			data = append(data, val(a.IPv6Address))
		}
		for _, t := range r.Properties.TxtRecords {
			var text []string
			for _, piece := range t.Value {
				text = append(text, val(piece))
			}
			data = append(data, strings.Join(text, "|"))
		}
		slices.Sort(data)
		out = append(out, fmt.Sprintf("%s %d %s", key, val(r.Properties.TTL), strings.Join(data, ",")))
	}
	return out
}

// AddText puts a TXT record set there as somebody else would.
func (p *Subscription) AddText(name string, texts ...[]string) {
	defer p.locked()()
	p.serial++
	r := &armdns.RecordSet{Name: to.Ptr(name), Type: to.Ptr("Microsoft.Network/dnszones/TXT"), Etag: to.Ptr(strconv.Itoa(p.serial)), Properties: &armdns.RecordSetProperties{TTL: to.Ptr[int64](60)}}
	for _, t := range texts {
		r.Properties.TxtRecords = append(r.Properties.TxtRecords, &armdns.TxtRecord{Value: to.SliceOfPtrs(t...)})
	}
	p.records[recordKey("TXT", name)] = r
}
