package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// pageSize is the largest page that the API gives.
const pageSize = 1000

// all reads every page of a list.
func all[T any](ctx context.Context, c *Client, query url.Values, path ...string) ([]T, error) {
	if query == nil {
		query = url.Values{}
	}
	query.Set("limit", strconv.Itoa(pageSize))
	items := []T{}
	for seen := ""; ; {
		var p page[T]
		if _, err := c.do(ctx, request{method: http.MethodGet, path: path, query: query, out: &p, repeat: true}); err != nil {
			return nil, err
		}
		items = append(items, p.Items...)
		if p.Next == "" {
			return items, nil
		}
		if p.Next == seen {
			return nil, fmt.Errorf("the list %s does not end: the controller gave the cursor %q twice", path, seen)
		}
		seen = p.Next
		query.Set("cursor", seen)
	}
}

func get[T any](ctx context.Context, c *Client, query url.Values, path ...string) (T, error) {
	var out T
	_, err := c.do(ctx, request{method: http.MethodGet, path: path, query: query, out: &out, repeat: true})
	return out, err
}

// set adds the values that are not empty, as key, value, key, value.
func set(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}

func flag(on bool) string {
	if on {
		return "true"
	}
	return ""
}

// Resources lists every object of a kind that bears all of the labels, each
// "key=value", or "key" for any value.
func (c *Client) Resources(ctx context.Context, kind fleet.Kind, labels []string) ([]Resource, error) {
	return all[Resource](ctx, c, url.Values{"label": labels}, kind.Plural())
}

// Resource reads one object.
func (c *Client) Resource(ctx context.Context, kind fleet.Kind, name string) (*Resource, error) {
	r, err := get[Resource](ctx, c, nil, kind.Plural(), name)
	if err != nil {
		return nil, err
	}
	return &r, nil
}

// PutOptions guard a PUT.
type PutOptions struct {
	IfVersion int64 // write only when the object has this version; 0: any
	Create    bool  // write only when there is no such object
}

// PutResource creates or replaces an object and says which of both it did.
func (c *Client) PutResource(ctx context.Context, kind fleet.Kind, name string, in ResourceInput, o PutOptions) (r *Resource, created bool, err error) {
	h := http.Header{}
	if o.IfVersion > 0 {
		h.Set("If-Match", etag(o.IfVersion))
	}
	if o.Create {
		h.Set("If-None-Match", "*")
	}
	r = &Resource{}
	a, err := c.do(ctx, request{
		method: http.MethodPut, path: []string{kind.Plural(), name}, header: h, body: in, out: r,
		repeat: o == PutOptions{}, // a guarded write that succeeded would refuse its own repetition
	})
	if err != nil {
		return nil, false, err
	}
	return r, a.status == http.StatusCreated, nil
}

// DeleteOptions guard a DELETE.
type DeleteOptions struct {
	Drain     bool  // let machines that depend on the object run empty first
	IfVersion int64 // delete only this version; 0: any
}

// DeleteResource deletes an object.
func (c *Client) DeleteResource(ctx context.Context, kind fleet.Kind, name string, o DeleteOptions) error {
	h := http.Header{}
	if o.IfVersion > 0 {
		h.Set("If-Match", etag(o.IfVersion))
	}
	_, err := c.do(ctx, request{
		method: http.MethodDelete, path: []string{kind.Plural(), name}, header: h,
		query: set("drain", flag(o.Drain)),
	})
	return err
}

func etag(version int64) string { return strconv.Quote(strconv.FormatInt(version, 10)) }

// Apply makes the objects be as the documents say, all or none of them.
func (c *Client) Apply(ctx context.Context, in ApplyRequest) (*ApplyResult, error) {
	var out ApplyResult
	_, err := c.do(ctx, request{method: http.MethodPost, path: []string{"apply"}, body: in, out: &out, repeat: in.DryRun})
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// Delete deletes a set of objects, all or none of them.
func (c *Client) Delete(ctx context.Context, in DeleteRequest) (*DeleteResult, error) {
	var out DeleteResult
	_, err := c.do(ctx, request{method: http.MethodPost, path: []string{"delete"}, body: in, out: &out, repeat: in.DryRun})
	if err != nil {
		return nil, err
	}
	return &out, nil
}
