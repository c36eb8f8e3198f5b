package price

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const sheetTop = "# a note\nkind,part,os,currency,date,source\ncloud,machine,linux,USD,2026-01-02,https://cloud.example/prices\nname,north,south,*\n"

func TestSheet(t *testing.T) {
	t.Parallel()
	s, err := readSheet("test", sheetTop+"m1,0.1,0.12,\nm2,,0.3,\nm10,,,0.5\n")
	if err != nil {
		t.Fatal(err)
	}
	row := func(region, name string, p float64) Row {
		return Row{
			Kind: "cloud", Region: region, Part: Machine, Name: name, OS: "linux", Market: OnDemand, Price: p, Per: PerHour,
			Currency: "USD", Date: "2026-01-02", Source: "https://cloud.example/prices",
		}
	}
	want := []Row{row("north", "m1", 0.1), row("south", "m1", 0.12), row("south", "m2", 0.3), row(Everywhere, "m10", 0.5)}
	got, err := s.all()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, w := range want { // what is there is found
		if r, ok := s.find(w.key()); !ok || r != w {
			t.Errorf("%+v was looked for, and %+v found", w, r)
		}
	}
	base := want[0].key()
	for name, change := range map[string]func(*key){ // and nothing else
		"a gap":          func(k *key) { k.name = "m2" },
		"no such name":   func(k *key) { k.name = "m" },
		"no such region": func(k *key) { k.region = "east" },
		"another cloud":  func(k *key) { k.kind = "cloud2" },
		"another part":   func(k *key) { k.part = License },
		"Windows":        func(k *key) { k.os = "windows" },
		"any system":     func(k *key) { k.os = "" },
		"spot":           func(k *key) { k.market = Spot },
	} {
		k := base
		change(&k)
		if r, ok := s.find(k); ok {
			t.Errorf("%s: found %+v", name, r)
		}
	}
}

func TestSheetMistakes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, says string }{
		"nothing":        {"# a note\n", "holds no price"},
		"no names":       {sheetTop, "holds no price"},
		"other columns":  {strings.Replace(sheetTop, "kind,part", "part,kind", 1) + "m1,1,1,\n", "does not begin with the columns"},
		"a value less":   {strings.Replace(sheetTop, ",linux", "", 1) + "m1,1,1,\n", "does not begin with the columns"},
		"no date":        {strings.Replace(sheetTop, "2026-01-02", "January", 1) + "m1,1,1,\n", "its date is none"},
		"no regions":     {strings.Replace(sheetTop, "name,", "size,", 1) + "m1,1,1,\n", "does not name its regions"},
		"a region twice": {strings.Replace(sheetTop, "south", "north", 1) + "m1,1,1,\n", "region north is there twice"},
		"a name twice":   {sheetTop + "m1,1,1,\nm1,2,2,\n", `"m1" is no name, or is there twice`},
		"no name":        {sheetTop + ",1,1,\n", `"" is no name`},
		"a price less":   {sheetTop + "m1,1,1\n", "m1 has not one price for each of the 3 regions"},
	} {
		if _, err := readSheet("test", c.text); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v does not say %q", name, err, c.says)
		}
	}
	s, err := readSheet("test", sheetTop+"m1,x,1,\nm2,1,0,\nm3,NaN,-1,2e6\n")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := s.all()
	if err == nil || len(rows) != 2 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for _, says := range []string{`m1 in north: "x"`, `m2 in south: "0"`, `m3 in north: "NaN"`, `m3 in south: "-1"`, `m3 in *: "2e6"`} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("the error does not say %q:\n%v", says, err)
		}
	}
}

// BenchmarkList is what each start of the controller pays.
func BenchmarkList(b *testing.B) {
	for b.Loop() {
		if _, err := List(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkQuote is what a machine whose prices stand in sheets costs to price.
func BenchmarkQuote(b *testing.B) {
	list, err := List()
	if err != nil {
		b.Fatal(err)
	}
	items := []Item{
		WithWindows(Item{Part: Machine, Name: "Standard_D4s_v5", Region: "westus3", OS: "linux"}),
		{Part: Disk, Name: "P10 LRS", Region: "westus3"},
	}
	for b.Loop() {
		if q := list.Quote("azure", items); !q.Known() {
			b.Fatal(q)
		}
	}
}
