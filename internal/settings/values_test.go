package settings_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/settings"
)

type tier string

type disk struct {
	Tier  tier   `json:"tier"`
	Tiers []tier `json:"tiers"`
	Label string `json:"label"`
}

type shape interface{ isShape() }

type round struct {
	Finish tier `json:"finish"`
}

func (round) isShape() {}

type machine struct {
	Disks []*disk           `json:"disks"`
	Root  *disk             `json:"root"`
	Shape shape             `json:"shape"`
	Free  map[string]string `json:"free"`
}

// TestCheckValues: text is checked wherever a type takes one of a list, and
// nowhere else.
func TestCheckValues(t *testing.T) {
	t.Parallel()
	lists := settings.Lists(settings.List([]tier{"fast", "slow"}))
	for _, c := range []struct {
		doc             string
		wrong, warnings []string
		values          settings.Values
	}{
		{doc: `{"root": {"tier": "fast", "label": "x", "tiers": ["slow"]}, "free": {"tier": "x"}}`},
		{doc: `{"root": {"tier": null}, "disks": null}`},
		{doc: `{"root": {"tier": "quick"}}`, wrong: []string{`m.root.tier: "quick" is not one of its values: write fast or slow`}},
		{doc: `{"root": {"tier": "Fast"}}`, wrong: []string{`m.root.tier: "Fast" is not one of its values: it is spelled fast`}},
		{doc: `{"root": {"tier": "Fast"}}`, values: settings.Values{AnyCase: true}},
		{doc: `{"root": {"tier": ""}}`, wrong: []string{`m.root.tier: "" is not one of its values: write fast or slow`}},
		{doc: `{"root": {"tier": ""}}`, values: settings.Values{Grows: true}, wrong: []string{`m.root.tier: "" is not one of its values: write fast or slow`}},
		{doc: `{"root": {"tiers": ["fast", "so-so"]}}`, wrong: []string{`m.root.tiers[1]: "so-so" is not one of its values: write fast or slow`}},
		{doc: `{"disks": [{"tier": "slow"}, {"tier": "quick"}]}`, wrong: []string{`m.disks[1].tier: "quick" is not one of its values: write fast or slow`}},
		{doc: `{"shape": {"finish": "matt"}}`, wrong: []string{`m.shape.finish: "matt" is not one of its values: write fast or slow`}},
		{doc: `{"root": {"tier": "fastt"}}`, values: settings.Values{Grows: true}, warnings: []string{`m.root.tier: "fastt" is none of the values that this version knows, and is sent as it is: did you mean fast?`}},
		{doc: `{"root": {"tier": "holographic"}}`, values: settings.Values{Grows: true}, warnings: []string{`m.root.tier: "holographic" is none of the values that this version knows, and is sent as it is`}},
	} {
		var doc map[string]any
		m := machine{Root: &disk{}, Disks: []*disk{{}, {}}, Shape: round{}}
		if err := json.Unmarshal([]byte(c.doc), &doc); err != nil {
			t.Fatal(err)
		}
		enum := func(_ reflect.Type, f reflect.StructField) settings.Values {
			c.values.Known = lists[settings.ValueType(f)]
			return c.values
		}
		refused, warnings := settings.CheckValues(doc, reflect.ValueOf(m), settings.MembersBy(settings.JSONNames), enum, "m")
		var wrong []string
		for _, f := range refused {
			wrong = append(wrong, f.String())
		}
		if diff := cmp.Diff(c.wrong, wrong) + cmp.Diff(c.warnings, warnings); diff != "" {
			t.Errorf("%s:\n%s", c.doc, diff)
		}
	}
}

// TestLongLists: of a long list some values are named, the likeliest among them.
func TestLongLists(t *testing.T) {
	t.Parallel()
	v := settings.Values{Known: []string{"a1", "b2", "c3", "d4", "e5", "f6", "g7", "h8", "i9", "j10", "k11", "l12", "m13", "zebra"}}
	for text, want := range map[string]string{
		"zebr":  `"zebr" is not one of its values: write zebra, a1, b2, c3, d4, e5, f6, g7, h8, i9, j10, k11 or one of 2 more`,
		"a":     `"a" is not one of its values: write a1, b2, c3, d4, e5, f6, g7, h8, i9, j10, k11, l12 or one of 2 more`,
		"zebra": "",
	} {
		if got, refused := v.Check(text); got != want || refused != (want != "") {
			t.Errorf("%q: %s (%v), expected %s", text, got, refused, want)
		}
	}
}
