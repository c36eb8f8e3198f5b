package digitalocean

import (
	"context"
	"slices"
	"time"

	"github.com/digitalocean/godo"

	"github.com/headroom-dev/headroom/internal/dns"
	"github.com/headroom-dev/headroom/internal/provider"
)

// DNSSettings are what the name servers need.
type DNSSettings struct {
	dns.Settings
	Account
}

// DNSKind describes DigitalOcean's name servers.
func DNSKind() dns.Kind {
	return dns.KindOf(dns.Kind{
		Name: KindName, Title: "DigitalOcean DNS", About: "Records of a domain in DigitalOcean's name servers.",
		RateLimit: 3,
		Batch:     10, // each record is a call of its own
	}, openDNS)
}

func openDNS(_ context.Context, s DNSSettings) (dns.Service, error) {
	api, err := s.client()
	if err != nil {
		return nil, err
	}
	return &names{api: api}, nil
}

// names writes records one by one: the API has no record sets and no batches.
type names struct{ api *godo.Client }

// The shortest time to live that the API takes, in seconds.
const leastTTL = 30

// fault classifies an error. The moment until which the API wants no request is
// of no use without a clock; the loop waits as long as it sees fit.
func (n *names) fault(err error) error { return classify(err, time.Time{}) }

// Check implements dns.Service.
func (n *names) Check(ctx context.Context, zone string) (provider.Report, error) {
	_, _, err := n.api.Domains.Get(ctx, zone)
	finding := provider.Finding{Subject: "domain " + zone, Verdict: provider.VerdictOK}
	switch err := n.fault(err); provider.ClassOf(err) {
	case provider.NotFound:
		finding.Verdict, finding.Message, finding.Remedy = provider.VerdictFailed, "the account has no such domain", "add the domain to the account, or correct zone"
	case provider.Forbidden:
		finding.Subject, finding.Verdict = "permission domain:read", provider.VerdictFailed
		finding.Message, finding.Remedy = "the token lacks this scope", "make a token with domain:read, domain:create, domain:update and domain:delete"
	default:
		if err != nil {
			return provider.Report{}, err
		}
	}
	return provider.Report{Findings: []provider.Finding{finding}}, nil
}

// Records implements dns.Service.
func (n *names) Records(ctx context.Context, zone string) ([]dns.Record, error) {
	stored, err := n.records(ctx, zone)
	if err != nil {
		return nil, err
	}
	var out []dns.Record
	for _, r := range stored {
		out = append(out, dns.Record{Key: keyOf(r), Value: r.Data, TTL: time.Duration(r.TTL) * time.Second})
	}
	return out, nil
}

func (n *names) records(ctx context.Context, zone string) ([]godo.DomainRecord, error) {
	var out []godo.DomainRecord
	list := func(ctx context.Context, o *godo.ListOptions) ([]godo.DomainRecord, *godo.Response, error) {
		return n.api.Domains.Records(ctx, zone, o)
	}
	for r, err := range all(ctx, list) {
		if err != nil {
			return nil, n.fault(err)
		}
		out = append(out, r)
	}
	return out, nil
}

// Set implements dns.Service. New values are added before old ones go, so that a
// name is never without an address in between.
func (n *names) Set(ctx context.Context, zone string, records []dns.Record) error {
	if len(records) == 0 {
		return nil
	}
	stored, err := n.records(ctx, zone)
	if err != nil {
		return err
	}
	keys := map[dns.Key]bool{}
	kept := map[int]bool{}
	for _, set := range dns.Sets(records) {
		keys[set.Key] = true
		for _, value := range set.Values {
			edit := &godo.DomainRecordEditRequest{Type: set.Type, Name: set.Name, Data: value, TTL: max(int(set.TTL/time.Second), leastTTL)}
			i := slices.IndexFunc(stored, func(s godo.DomainRecord) bool { return keyOf(s) == set.Key && s.Data == value })
			switch {
			case i < 0:
				_, _, err = n.api.Domains.CreateRecord(ctx, zone, edit)
			case stored[i].TTL != edit.TTL:
				_, _, err = n.api.Domains.EditRecord(ctx, zone, stored[i].ID, edit)
			}
			if err != nil {
				return n.fault(err)
			}
			if i >= 0 {
				kept[stored[i].ID] = true
			}
		}
	}
	for _, s := range stored {
		if keys[keyOf(s)] && !kept[s.ID] {
			if err := n.remove(ctx, zone, s.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// Delete implements dns.Service. Records go in the order of the keys: a mark that
// is named last is there for as long as anything is left.
func (n *names) Delete(ctx context.Context, zone string, keys []dns.Key) error {
	if len(keys) == 0 {
		return nil
	}
	stored, err := n.records(ctx, zone)
	if err != nil {
		return err
	}
	ids := map[dns.Key][]int{}
	for _, s := range stored {
		ids[keyOf(s)] = append(ids[keyOf(s)], s.ID)
	}
	for _, k := range keys {
		for _, id := range ids[k] {
			if err := n.remove(ctx, zone, id); err != nil {
				return err
			}
		}
	}
	return nil
}

func keyOf(r godo.DomainRecord) dns.Key { return dns.Key{Name: r.Name, Type: r.Type} }

func (n *names) remove(ctx context.Context, zone string, id int) error {
	_, err := n.api.Domains.DeleteRecord(ctx, zone, id)
	if err = n.fault(err); provider.ClassOf(err) == provider.NotFound {
		return nil
	}
	return err
}
