package openstack

import (
	"context"
	"encoding/json"
	"iter"
	"net/url"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/headroom-dev/headroom/internal/provider"
)

// pages yields all objects of a collection, or an error.
//
// The SDK's own paging is not used, for two reasons. It takes an answer without
// the collection (a gateway's error page with status 200) for an empty
// one. And it follows the addresses in answers, which are what the service
// believes to be its own: behind a gateway that is often wrong, sometimes even
// without TLS. Here the next page is asked for at the endpoint in use, by the last
// object of this one.
func pages[T any](ctx context.Context, c *gophercloud.ServiceClient, which service, path, collection string, query url.Values, id func(T) string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		query := cloneValues(query)
		for {
			var body map[string]json.RawMessage
			at := c.ServiceURL(path)
			if len(query) > 0 {
				at += "?" + query.Encode()
			}
			resp, err := c.Get(ctx, at, &body, nil) //nolint:bodyclose // the SDK has read and closed it
			if _, _, err := gophercloud.ParseResponse(resp, err); err != nil {
				yield(zero, classify(err, which))
				return
			}
			var found []T
			raw, ok := body[collection]
			if !ok || string(raw) == "null" || json.Unmarshal(raw, &found) != nil {
				yield(zero, provider.Errorf(provider.Unavailable, "the answer of %s holds no readable list of %s: something else may answer at its address", which.name(), collection))
				return
			}
			for _, o := range found {
				if !yield(o, nil) {
					return
				}
			}
			if !hasNext(body[collection+"_links"]) || len(found) == 0 {
				return
			}
			last := id(found[len(found)-1])
			if last == "" || last == query.Get("marker") {
				yield(zero, provider.Errorf(provider.Unavailable, "%s shows the same page of its %s again and again", which.name(), collection))
				return
			}
			query.Set("marker", last)
		}
	}
}

func cloneValues(v url.Values) url.Values {
	out := url.Values{}
	for key, values := range v {
		out[key] = values
	}
	return out
}

func hasNext(links json.RawMessage) bool {
	var all []struct {
		Rel string `json:"rel"`
	}
	if links == nil || json.Unmarshal(links, &all) != nil {
		return false
	}
	for _, l := range all {
		if l.Rel == "next" {
			return true
		}
	}
	return false
}

// collect is pages as a slice.
func collect[T any](ctx context.Context, c *gophercloud.ServiceClient, which service, path, collection string, query url.Values, id func(T) string) ([]T, error) {
	var all []T
	for o, err := range pages(ctx, c, which, path, collection, query, id) {
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	return all, nil
}
