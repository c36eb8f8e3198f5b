package price_test

import (
	"cmp"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
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
	if len(rows) < 50_000 {
		t.Fatalf("only %d prices", len(rows))
	}
	type thing struct {
		kind, region string
		part         price.Part
		name, os     string
	}
	seen := map[thing]bool{}
	for _, r := range rows {
		if k := (thing{r.Kind, r.Region, r.Part, r.Name, r.OS}); seen[k] {
			t.Errorf("%+v: two lists have a price of it", r)
		} else {
			seen[k] = true
		}
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

func machine(name, region string) price.Item {
	return price.Item{Part: price.Machine, Name: name, Region: region, OS: "linux"}
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
		{"aws", machine("m5.large", "us-east-1"), "0.096 USD/h"},
		{"aws", price.WithWindows(machine("m5.large", "us-east-1")), "0.188 USD/h"},
		{"aws", price.WithWindows(machine("t3.large", "eu-west-1")), "0.1188 USD/h"},
		{"aws", machine("m8i.xlarge", "us-east-1"), "0.2117 USD/h"},
		{"aws", machine("c6i.2xlarge", "ap-northeast-1"), "0.428 USD/h"},
		{"aws", machine("p5.48xlarge", "us-east-1"), "55.04 USD/h"},
		{"aws", machine("p5.48xlarge", "us-west-2"), "unknown (no price for machine p5.48xlarge in us-west-2)"}, // the sources disagree
		{"aws", price.Item{Part: price.Disk, Name: "gp3", Region: "eu-central-1", Quantity: 730}, "0.0952 USD/h"},
		{"azure", machine("Standard_D2s_v5", "eastus"), "0.096 USD/h"},
		{"azure", machine("Standard_D2s_v5", "westeurope"), "0.115 USD/h"},
		{"azure", price.WithWindows(machine("Standard_D2s_v5", "eastus")), "0.188 USD/h"},
		{"azure", price.WithWindows(machine("Standard_B2ms", "eastus")), "0.0912 USD/h"},
		{"azure", price.WithWindows(machine("Standard_D2s_v3", "koreasouth")), "0.193 USD/h"}, // a licence of that region
		{"azure", machine("Standard_NC4as_T4_v3", "eastus"), "0.526 USD/h"},
		{"azure", price.Item{Part: price.Disk, Name: "P10 LRS", Region: "eastus", Quantity: 1}, "0.027 USD/h"},
		{"azure", price.Item{Part: price.Address, Region: "westeurope"}, "0.005 USD/h"},
		{"azure", price.Item{Part: price.Address, Region: "usgovvirginia"}, "0.00625 USD/h"},
	} {
		if got := list.Quote(c.kind, []price.Item{c.item}).String(); got != c.want {
			t.Errorf("%s %s costs %s, want %s", c.kind, c.item.Name, got, c.want)
		}
	}
}

// Sizes of families that are sold by what they hold: twice the cores, twice the
// price. Those of which the vendors deviate from it are left out.
var (
	awsSize   = regexp.MustCompile(`^([cmr][5-9][a-z-]*|t3a?|t4g|i4i|i7i|i7ie|i8g)\.([0-9]*)(large|xlarge)$`)
	azureSize = regexp.MustCompile(`^Standard_(D|E|F|L|DC|EC|FX)([0-9]+)([a-z]*_v[2-7])$`)
	odd       = []string{"D_v2", "Di_v2", "E_v3", "Es_v3"}
)

// TestFamilies looks for slips by what families of machines have in common.
func TestFamilies(t *testing.T) {
	t.Parallel()
	rows, err := price.Rows()
	if err != nil {
		t.Fatal(err)
	}
	cores := func(r price.Row) (family string, n float64) {
		if m := awsSize.FindStringSubmatch(r.Name); m != nil {
			n, _ = strconv.ParseFloat(cmp.Or(m[2], "1"), 64)
			if m[3] == "large" {
				return m[1], 2
			}
			return m[1], 4 * n
		}
		if m := azureSize.FindStringSubmatch(r.Name); m != nil && !slices.Contains(odd, m[1]+m[3]) {
			n, _ = strconv.ParseFloat(m[2], 64)
			return m[1] + m[3], n
		}
		return "", 0
	}
	type family struct{ kind, region, name string }
	each := map[family][]float64{} // prices of a core
	for _, r := range rows {
		if r.Part != price.Machine || r.Kind != "aws" && r.Kind != "azure" {
			continue
		}
		if name, n := cores(r); n > 0 {
			f := family{r.Kind, r.Region, name}
			each[f] = append(each[f], r.Price/n)
		}
	}
	if len(each) < 2000 {
		t.Fatalf("only %d families were looked at", len(each))
	}
	for f, prices := range each {
		if low, high := slices.Min(prices), slices.Max(prices); high > 1.06*low { // prices of small sizes are rounded
			t.Errorf("%+v: a core costs from %g to %g", f, low, high)
		}
	}
}

// TestLicenses looks at what Windows costs besides, by core of a size.
func TestLicenses(t *testing.T) {
	t.Parallel()
	rows, err := price.Rows()
	if err != nil {
		t.Fatal(err)
	}
	looked := 0
	for _, r := range rows {
		name, ok := strings.CutPrefix(r.Name, "windows ")
		if r.Part != price.License || !ok {
			continue
		}
		for _, rule := range []*regexp.Regexp{awsSize, azureSize} {
			m := rule.FindStringSubmatch(name)
			if m == nil || strings.HasPrefix(name, "t") {
				continue
			}
			n, _ := strconv.ParseFloat(cmp.Or(m[2], "1"), 64)
			if rule == awsSize && m[3] == "xlarge" {
				n *= 4
			} else if rule == awsSize {
				n = 2
			}
			looked++
			if core := r.Price / n; rule == awsSize && (core < 0.0436 || core > 0.0461) || core < 0.03 || core > 0.07 {
				if !slices.Contains(odd, m[1]+m[3]) {
					t.Errorf("%s in %s costs %g by core", r.Name, r.Region, core)
				}
			}
		}
	}
	if looked < 1000 {
		t.Errorf("only %d licences were looked at", looked)
	}
}

// TestDisks looks at disks: a larger one costs more, and what is spread over zones
// more than what is in one.
func TestDisks(t *testing.T) {
	t.Parallel()
	rows, err := price.Rows()
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]map[string]float64{} // kind and region → name
	for _, r := range rows {
		if r.Part != price.Disk || r.Kind != "aws" && r.Kind != "azure" {
			continue
		}
		if r.Per != price.PerMonth {
			t.Fatalf("%+v: is not by the month", r)
		}
		at := r.Kind + " " + r.Region
		if by[at] == nil {
			by[at] = map[string]float64{}
		}
		by[at][r.Name] = r.Price
	}
	if len(by) < 80 {
		t.Fatalf("only %d regions have disks", len(by))
	}
	for at, p := range by {
		if strings.HasPrefix(at, "aws") {
			if ratio := p["gp3"] / p["gp2"]; math.Abs(ratio-0.8) > 0.002 {
				t.Errorf("%s: gp3 costs %g of gp2, and %g everywhere else", at, ratio, 0.8)
			}
			if !(p["sc1"] < p["st1"] && p["st1"] < p["gp3"] && p["sc1"] > 0) {
				t.Errorf("%s: %v", at, p)
			}
			continue
		}
		for _, letter := range []string{"P", "E", "S"} {
			last := 0.0
			for _, size := range []string{"1", "2", "3", "4", "6", "10", "15", "20", "30", "40", "50"} {
				local, zones := p[letter+size+" LRS"], p[letter+size+" ZRS"]
				if letter == "S" && len(size) == 1 && size < "4" {
					continue // hard disks begin at 32 GiB
				}
				if local <= last || zones != 0 && (zones < 1.09*local || zones > 1.71*local) {
					t.Errorf("%s: %s%s costs %g, with zones %g; the next smaller one %g", at, letter, size, local, zones, last)
				}
				last = local
			}
		}
	}
}
