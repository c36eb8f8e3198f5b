package all_test

import (
	"slices"
	"testing"

	"github.com/headroom-dev/headroom/internal/price"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/all"
)

// TestPriceLists holds the price lists to the kinds that there are, and the kinds
// to naming what they are billed for.
func TestPriceLists(t *testing.T) {
	t.Parallel()
	rows, err := price.Rows()
	if err != nil {
		t.Fatal(err)
	}
	kinds := all.Kinds(nil)
	checked := map[string]bool{}
	for _, r := range rows {
		if checked[r.Kind] {
			continue
		}
		checked[r.Kind] = true
		i := slices.IndexFunc(kinds, func(k provider.Kind) bool { return k.Name == r.Kind })
		if i < 0 {
			t.Errorf("a price list is of kind %q, which does not exist", r.Kind)
			continue
		}
		if _, ok := kinds[i].NewSettings().(provider.Priced); !ok {
			t.Errorf("kind %q has a price list, and its settings do not tell what is billed", r.Kind)
		}
	}
	for _, k := range kinds { // whatever the settings are, nothing panics
		if p, ok := k.NewSettings().(provider.Priced); ok {
			for _, offer := range []string{"", "odd", "a@b", "@", "/spot"} {
				p.PriceItems(offer)
			}
		}
	}
}
