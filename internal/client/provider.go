package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/price"
)

// Draft names a VM provider config to look at: a stored one, or one of the
// documents.
type Draft struct {
	Name      string     `json:"name,omitempty"`
	Documents []Document `json:"documents,omitempty"`
}

// Title is what people call it.
func (d Draft) Title() string {
	if d.Name != "" || len(d.Documents) == 0 {
		return d.Name
	}
	return d.Documents[0].Source
}

// RenderedCall is one request that would be sent to a cloud.
type RenderedCall struct {
	Call string          `json:"call"`
	Body json.RawMessage `json:"body,omitempty"`
}

// Lookup is the live choices for one setting.
type Lookup struct {
	Setting string   `json:"setting"`
	Choices []Choice `json:"choices"`
	Error   string   `json:"error,omitempty"`
}

// Choice is a value that a setting can take.
type Choice struct {
	Value       string `json:"value"`
	Label       string `json:"label,omitempty"`
	Description string `json:"description,omitempty"`
	// Price is what a machine costs, where the choice is one of sizes.
	Price *price.Quote `json:"price,omitempty"`
}

// OfferPrice is what a machine costs in one of a provider's sizes and places.
type OfferPrice struct {
	Offer string      `json:"offer,omitempty"`
	Price price.Quote `json:"price"`
}

// ScriptPreview shows what a machine would run.
type ScriptPreview struct {
	Script   string          `json:"script"`
	Problems []ScriptProblem `json:"problems"`
	Delivery string          `json:"delivery"`
	Limit    int             `json:"limit,omitempty"`
	Agent    bool            `json:"agent"`
}

// ScriptProblem is something that may be wrong with a script.
type ScriptProblem struct {
	Line    int    `json:"line"`
	Column  int    `json:"column,omitempty"`
	Message string `json:"message"`
}

// ScriptVariable is something that a script can have filled in.
type ScriptVariable struct {
	Name   string `json:"name"`
	About  string `json:"about"`
	Secret bool   `json:"secret,omitempty"`
}

// CheckProvider looks at credentials, permissions and references of a VM
// provider config. It creates nothing.
func (c *Client) CheckProvider(ctx context.Context, d Draft) (*CheckReport, error) {
	return look[*CheckReport](ctx, c, d, "check", nil)
}

// RenderProvider shows the requests by which a machine would be made.
func (c *Client) RenderProvider(ctx context.Context, d Draft) ([]RenderedCall, error) {
	p, err := look[page[RenderedCall]](ctx, c, d, "render", nil)
	return p.Items, err
}

// Catalog lists live choices for one setting, or for all with an empty name.
func (c *Client) Catalog(ctx context.Context, d Draft, setting string) ([]Lookup, error) {
	p, err := look[page[Lookup]](ctx, c, d, "catalog", set("setting", setting))
	return p.Items, err
}

// PriceProvider says what a machine of a VM provider config costs, for each size
// and place.
func (c *Client) PriceProvider(ctx context.Context, d Draft) ([]OfferPrice, error) {
	p, err := look[page[OfferPrice]](ctx, c, d, "price", nil)
	return p.Items, err
}

// RenderScript shows the startup script of a VM provider config with sample
// values.
func (c *Client) RenderScript(ctx context.Context, d Draft) (*ScriptPreview, error) {
	return look[*ScriptPreview](ctx, c, d, "script", nil)
}

// ScriptVariables lists what scripts can have filled in.
func (c *Client) ScriptVariables(ctx context.Context) ([]ScriptVariable, error) {
	p, err := get[page[ScriptVariable]](ctx, c, nil, "script-variables")
	return p.Items, err
}

// look asks about a config, stored or not. Nothing is made, so that it may be
// repeated; a cloud may be slow to answer.
func look[T any](ctx context.Context, c *Client, d Draft, what string, query url.Values) (T, error) {
	var out T
	r := request{method: http.MethodPost, path: []string{fleet.KindVMProvider.Plural(), d.Name, what}, query: query, out: &out, repeat: true, wait: MaxWait}
	if len(d.Documents) > 0 {
		r.path, r.body = []string{"drafts", what}, d
	}
	_, err := c.do(ctx, r)
	if err != nil {
		var zero T
		return zero, err
	}
	return out, nil
}
