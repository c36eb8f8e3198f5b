package manifest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/manifest"
)

type cloudSettings struct {
	Region   string      `json:"region" doc:"Where machines are made." example:"eu-1"`
	Token    string      `json:"token" doc:"API token." secret:"true"`
	Password string      `json:"password,omitempty" doc:"Password." secret:"true"`
	Size     int64       `json:"size,omitempty" minimum:"1" maximum:"64" default:"2" doc:"Size of a machine."`
	Memory   *shapeOf    `json:"shape,omitempty" doc:"Shape."`
	Networks []string    `json:"networks,omitempty" doc:"Networks."`
	Limit    fleet.Cores `json:"limit,omitempty" doc:"Limit."`
	Script   string      `json:"script,omitempty" doc:"Script." multiline:"true"`
}

type shapeOf struct {
	Memory fleet.Memory `json:"memory,omitempty" doc:"Memory."`
}

func kinds() manifest.KindSettings {
	find := func(names ...string) manifest.Lookup {
		return func(name string) (func() any, []string, bool) {
			for _, n := range names {
				if n == name {
					return func() any { return &cloudSettings{} }, names, true
				}
			}
			return nil, names, false
		}
	}
	return manifest.KindSettings{VM: find("cloudy", "local"), DNS: find("route53")}
}

func lines(fields []fleet.FieldError) []string {
	var out []string
	for _, f := range fields {
		out = append(out, f.String())
	}
	return out
}

func parse(texts ...string) ([]manifest.Document, []string) {
	var sources []manifest.Source
	for i, text := range texts {
		sources = append(sources, manifest.Source{Name: string(rune('a'+i)) + ".yaml", Text: text})
	}
	docs, _, fields := manifest.Parse(sources, kinds())
	return docs, lines(fields)
}

const all = `# A whole set-up.
---
apiVersion: headroom.dev/v1
kind: Zone
metadata: {name: default, labels: {team: blue, example.com/tier: "1"}}
spec: {}
---
# comment only
---
apiVersion: headroom.dev/v1
kind: Pool
metadata:
  name: desktops
spec:
  type: docker_agent
---
apiVersion: headroom.dev/v1
kind: VMProvider
metadata: {name: main}
spec:
  provider: cloudy
  max_instances: 10
  settings:
    region: eu-1
    token: hunter2
    shape: {memory: 1024}
    script: |
      #!/bin/sh
      echo --- not a separator
---
apiVersion: headroom.dev/v1
kind: DNSProvider
metadata: {name: dns}
spec: {provider: route53, settings: {region: eu-1}}
--- # the policy
apiVersion: headroom.dev/v1
kind: AutoscaleConfig
metadata: {name: desktops}
spec:
  pool: desktops
  zone: default
  vm_providers: [main, spare]
  standby: {cores: 4, memory: 4096}
  downscale_backoff: 30
...
---
apiVersion: headroom.dev/v1
kind: Schedule
metadata: {name: office}
spec:
  autoscale_config: desktops
  time_zone: Europe/Berlin
  windows:
  - {days: [mon, Tuesday], start: "07:30", end: 18:00, standby: {cores: 8}}
---
{"apiVersion": "headroom.dev/v1", "kind": "Staging", "metadata": {"name": "one"},
 "spec": {"pool": "desktops", "zone": "default", "count": 2}}
`

func TestParse(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"unix": all, "dos": strings.ReplaceAll(all, "\n", "\r\n"), "mark": "\ufeff" + all,
		"directive": "%YAML 1.1\n" + strings.TrimPrefix(all, "# A whole set-up.\n"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			docs, problems := parse(text)
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			var got []string
			for _, d := range docs {
				got = append(got, fmt.Sprintf("%s %s %s", d.Source, d.Kind, d.Meta.Name))
			}
			want := []string{
				"a.yaml:3 Zone default", "a.yaml:10 Pool desktops", "a.yaml:17 VMProvider main", "a.yaml:31 DNSProvider dns",
				"a.yaml:36 AutoscaleConfig desktops", "a.yaml:47 Schedule office", "a.yaml:56 Staging one",
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatal(diff)
			}
			if diff := cmp.Diff(map[string]string{"team": "blue", "example.com/tier": "1"}, docs[0].Meta.Labels); diff != "" {
				t.Error(diff)
			}
			spec := docs[4].Spec.(*fleet.AutoscaleConfigSpec)
			if spec.Standby.Cores != 4*fleet.Core || spec.DownscaleBackoff.D().Seconds() != 30 || spec.DeadAfter != 0 {
				t.Errorf("autoscale config: %+v", spec)
			}
			if line := docs[4].Line("spec.standby.memory"); line != "a.yaml:43" {
				t.Errorf("line of memory: %s", line)
			}
			if w := docs[5].Spec.(*fleet.ScheduleSpec).Windows[0]; w.Days[1] != "tue" || w.End != 18*60 {
				t.Errorf("window %+v", w)
			}
			script := docs[2].Settings.(*cloudSettings).Script
			if !strings.HasSuffix(script, "echo --- not a separator\n") {
				t.Errorf("script %q", script)
			}
			if s := docs[2].Settings.(*cloudSettings); s.Token != "hunter2" || s.Memory.Memory != fleet.GiB {
				t.Errorf("settings %+v", s)
			}
		})
	}
}

func TestUpstreamAddress(t *testing.T) {
	t.Parallel()
	for address, ok := range map[string]bool{
		"headroom.example.com": true, "10.0.0.1": true, "10.0.0.1:8080": true, "http://localhost:8080": true, "fd00::1": true,
		"https://[fd00::1]:8443/base": true, "host_name": false, "0.0.0.0": false, "::": false, "ftp://a": false, "https://": false,
		"https://u:p@a": false, "a b": false, "a:99999": false, "https://a?b=c": false, "$zone$": false,
	} {
		_, problems := manifest.FromJSON(fleet.KindZone, fleet.Meta{Name: "z"}, fmt.Appendf(nil, `{"upstream_address":%q}`, address), kinds())
		if (len(problems) == 0) != ok {
			t.Errorf("%s: %v", address, problems)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	bomb := "apiVersion: headroom.dev/v1\nkind: Pool\nmetadata: {name: a}\nspec:\n  a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 9; i++ {
		bomb += fmt.Sprintf("  a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10), ","))
	}
	tests := map[string]struct{ text, want string }{
		"bytes":          {strings.Repeat("#", manifest.MaxBytes+1), fmt.Sprintf("the documents have %d bytes together: give at most %d at once", manifest.MaxBytes+1, manifest.MaxBytes)},
		"document bytes": {"a: " + strings.Repeat("x", manifest.MaxDocumentBytes), fmt.Sprintf("a.yaml:1: the document has %d bytes: a document has at most %d", manifest.MaxDocumentBytes+3, manifest.MaxDocumentBytes)},
		"documents":      {strings.Repeat("---\na\n", manifest.MaxDocuments+1), "a.yaml: there are more than 10000 documents: give fewer at once"},
		"aliases":        {bomb, "a.yaml:1: holds more than 100000 values: split it"},
		"depth":          {"spec: " + strings.Repeat("[", 200) + strings.Repeat("]", 200), "a.yaml:1: is nested more than 64 levels deep, or an alias contains itself"},
		"absurd depth":   {strings.Repeat("[", 1<<20), "a.yaml:1: the YAML cannot be read: exceeded max depth of 10000"},
		"values":         {"spec: [" + strings.Repeat("a,", 200_000) + "]", "a.yaml:1: holds more than 100000 values: split it"},
		"self":           {"spec: &a [*a]", "a.yaml:1: is nested more than 64 levels deep, or an alias contains itself"},
		"errors":         {strings.Repeat("---\na\n", manifest.MaxDocuments), "a.yaml: there are more than 1000 problems: only the first ones are shown"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, got := parse(test.text)
			if name == "errors" {
				if len(got) != 1001 {
					t.Fatalf("%d problems", len(got))
				}
				got = got[1000:]
			}
			if diff := cmp.Diff([]string{test.want}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFromJSON(t *testing.T) {
	t.Parallel()
	spec := `{"provider":"cloudy","max_instances":1,"settings":{"region":"eu-1","password":null,"shape":{"memory":"1024Mi"}}}`
	doc, problems := manifest.FromJSON(fleet.KindVMProvider, fleet.Meta{Name: "v"}, []byte(spec), kinds())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if doc.Settings.(*cloudSettings).Region != "eu-1" {
		t.Errorf("settings %+v", doc.Settings)
	}
	if _, secrets, err := doc.Canonical(); err != nil || !cmp.Equal(secrets, map[string]string{"settings.password": ""}) {
		t.Errorf("null does not clear: %v, %v", secrets, err)
	}
	for spec, want := range map[string][]string{
		`{"provider":"cloud","max_instances":-1,"settings":{}}`: {
			"metadata.name: " + fleet.CheckName("V").Error(),
			"spec.max_instances: -1 is out of range: write a whole number from 0 to 1000000",
			`spec.provider: unknown VM provider kind "cloud": did you mean cloudy?`,
		},
		`{"provider":"cloudy","max_instances":1,"settings":{"size":0,"size":1}}`: {
			"metadata.name: " + fleet.CheckName("V").Error(),
			"spec.settings.size: is given twice: remove one of them",
			"spec.settings.size: 0 is out of range: write a whole number from 1 to 64",
			"spec.settings.region: is required: write for example region: eu-1",
		},
		`{"provider":"cloudy","max_instances":1,"settings":{"region":"eu-1","token":null}}`: {
			"metadata.name: " + fleet.CheckName("V").Error(),
			"spec.settings.token: is empty: add it (API token)",
		},
		`{`: {
			"metadata.name: " + fleet.CheckName("V").Error(),
			"spec: is not JSON: it ends too early, in line 1",
		},
	} {
		_, problems := manifest.FromJSON(fleet.KindVMProvider, fleet.Meta{Name: "V"}, []byte(spec), kinds())
		if diff := cmp.Diff(want, lines(problems)); diff != "" {
			t.Errorf("%s: %s", spec, diff)
		}
	}
	if _, problems := manifest.FromJSON("Pod", fleet.Meta{Name: "v"}, []byte(`{}`), kinds()); len(problems) != 1 {
		t.Errorf("unknown kind: %v", problems)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(all)
	f.Add("a: &a [*a]")
	f.Add("--- |\n---\n... \n%YAML 1.1\n---\n{\"a\": }")
	f.Add("apiVersion: headroom.dev/v1\nkind: VMProvider\nmetadata: {name: v}\nspec:\n  provider: cloudy\n  settings: {? [a] : b, <<: {}, token: !!binary aGk=}")
	f.Add("kind: Schedule\nspec: {windows: [{days: [1, ~], start: 1e400, end: .inf}]}")
	f.Fuzz(func(t *testing.T, text string) {
		docs, _, problems := manifest.Parse([]manifest.Source{{Name: "f", Text: text}}, kinds())
		for _, p := range problems {
			if p.Message == "" {
				t.Errorf("a problem without a message: %+v", p)
			}
		}
		for _, d := range docs {
			manifest.References(d)
			d.Line("spec.settings")
			spec, _, err := d.Canonical()
			if err != nil {
				t.Fatal(err)
			}
			if changes := manifest.Diff(spec, spec); len(changes) > 0 {
				t.Errorf("a spec differs from itself: %v", changes)
			}
		}
	})
}
