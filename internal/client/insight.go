package client

import (
	"cmp"
	"context"
	"net/http"
	"slices"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// ListEvents reads one page of events, in order of their sequence numbers.
func (c *Client) ListEvents(ctx context.Context, f EventFilter) ([]fleet.Event, error) {
	p, err := get[page[fleet.Event]](ctx, c, f.query(), "events")
	inOrder(p.Items)
	return p.Items, err
}

// Plan is what would be done now and what it costs, for one pool or, with an
// empty name, for all.
func (c *Client) Plan(ctx context.Context, pool string) ([]PricedPlan, error) {
	p, err := get[page[PricedPlan]](ctx, c, set("pool", pool), "plan")
	return p.Items, err
}

// Costs is what the machines cost that exist now, of one pool or, with an empty
// name, of all.
func (c *Client) Costs(ctx context.Context, pool string) (*CostReport, error) {
	r, err := get[CostReport](ctx, c, set("pool", pool), "costs")
	if err != nil {
		return nil, err
	}
	return &r, nil
}

// Explain says why a thing is as it is, with its last events, oldest first. The sort is pools, servers or sessions.
func (c *Client) Explain(ctx context.Context, sort, name string) (*Explanation, error) {
	e, err := get[Explanation](ctx, c, nil, "explain", sort, name)
	if err != nil {
		return nil, err
	}
	inOrder(e.Events)
	return &e, nil
}

func inOrder(events []fleet.Event) {
	slices.SortFunc(events, func(a, b fleet.Event) int { return cmp.Compare(a.Seq, b.Seq) })
}

// CreateToken makes an API token. Its secret is in the answer and nowhere else.
func (c *Client) CreateToken(ctx context.Context, in TokenRequest) (*NewToken, error) {
	var out NewToken
	_, err := c.do(ctx, request{method: http.MethodPost, path: []string{"tokens"}, body: in, out: &out})
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// Tokens lists every API token, without secrets.
func (c *Client) Tokens(ctx context.Context) ([]fleet.APIToken, error) {
	return all[fleet.APIToken](ctx, c, nil, "tokens")
}

// RevokeToken makes a token invalid.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	_, err := c.do(ctx, request{method: http.MethodDelete, path: []string{"tokens", id}})
	return err
}

// WhoAmI describes the token that the client bears.
func (c *Client) WhoAmI(ctx context.Context) (*Identity, error) {
	t, err := get[Identity](ctx, c, nil, "whoami")
	if err != nil {
		return nil, err
	}
	return &t, nil
}

// ProviderKinds lists the kinds of clouds that the controller knows.
func (c *Client) ProviderKinds(ctx context.Context) ([]ProviderKind, error) {
	return get[[]ProviderKind](ctx, c, nil, "provider-kinds")
}

// Version describes the build of the controller.
func (c *Client) Version(ctx context.Context) (*VersionInfo, error) {
	v, err := get[VersionInfo](ctx, c, nil, "version")
	if err != nil {
		return nil, err
	}
	return &v, nil
}

// Ready returns nil when the controller does its work.
func (c *Client) Ready(ctx context.Context) error {
	_, err := c.do(ctx, request{method: http.MethodGet, raw: "/readyz"})
	return err
}
