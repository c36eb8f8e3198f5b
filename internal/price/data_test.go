package price_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/price"
)

// TestLists holds the embedded lists to what is promised of them. Read has
// refused wrong fields and duplicates already.
func TestLists(t *testing.T) {
	t.Parallel()
	rows, err := price.Rows()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) < 500 {
		t.Fatalf("only %d prices", len(rows))
	}
	for _, r := range rows {
		if r.Price <= 0 {
			t.Errorf("%+v: a list price is more than nothing; leave out what is not known", r)
		}
		d, err := time.Parse(time.DateOnly, r.Date)
		if err != nil || d.After(time.Now()) || d.Year() < 2020 {
			t.Errorf("%+v: the date is missing or cannot be", r)
		}
		if u, err := url.Parse(r.Source); err != nil || u.Scheme != "https" || u.Host == "" {
			t.Errorf("%+v: the source is no page of the vendor", r)
		}
		if r.Name == "" && r.Part != price.Address {
			t.Errorf("%+v: has no name", r)
		}
		if r.Market != price.OnDemand {
			t.Errorf("%+v: prices of spot machines change by the day and are not listed", r)
		}
	}
}

// TestKnownPrices pins figures that are on the vendors' pages, against a slip in
// a file.
func TestKnownPrices(t *testing.T) {
	t.Parallel()
	list, err := price.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		kind string
		item price.Item
		want string
	}{
		{"digital_ocean", price.Item{Part: price.Machine, Name: "s-4vcpu-8gb", Region: "nyc1"}, "0.07143 USD/h"},
		{"digital_ocean", price.Item{Part: price.Machine, Name: "g-2vcpu-8gb", Region: "fra1"}, "0.09375 USD/h"},
		{"gcp", price.Item{Part: price.Machine, Name: "g2-standard-4", Region: "us-central1"}, "0.7068 USD/h"},
		{"gcp", price.Item{Part: price.Machine, Name: "n2-standard-4", Region: "us-central1", Of: []price.Item{
			{Part: price.Core, Name: "n2", Region: "us-central1", Quantity: 4}, {Part: price.Memory, Name: "n2", Region: "us-central1", Quantity: 16},
		}}, "0.1942 USD/h"},
	} {
		if got := list.Quote(c.kind, []price.Item{c.item}).String(); got != c.want {
			t.Errorf("%s %s costs %s, want %s", c.kind, c.item.Name, got, c.want)
		}
	}
}
