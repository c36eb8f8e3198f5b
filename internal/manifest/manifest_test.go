package manifest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/manifest"
	"github.com/headroom-dev/headroom/internal/settings"
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
	docs, fields := manifest.Parse(sources, kinds())
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

func TestParseErrors(t *testing.T) {
	t.Parallel()
	doc := func(kind, name, spec string) string {
		return "apiVersion: headroom.dev/v1\nkind: " + kind + "\nmetadata: {name: " + name + "}\nspec:" + spec
	}
	tests := map[string]struct {
		text []string
		want []string
	}{
		"empty":   {[]string{"", "---\n", "# nothing\n---\n---\n...\n", "null\n"}, nil},
		"no spec": {[]string{"apiVersion: headroom.dev/v1\nkind: Pool\nmetadata: {name: p}"}, []string{`a.yaml:1: spec: is required: add it (The fields of the kind)`}},
		"nothing": {[]string{"{}"}, []string{
			`a.yaml:1: apiVersion: is required: write for example apiVersion: headroom.dev/v1`,
			`a.yaml:1: kind: is required: write for example kind: Pool`,
			`a.yaml:1: metadata: is required: add it`,
			`a.yaml:1: spec: is required: add it (The fields of the kind)`,
		}},
		"text":        {[]string{"hello"}, []string{`a.yaml:1: must be a mapping of fields, is text`}},
		"list":        {[]string{"- a\n- b"}, []string{`a.yaml:1: must be a mapping of fields, is a list`}},
		"api version": {[]string{strings.Replace(doc("Zone", "z", " {}"), "/v1", "/v2", 1)}, []string{`a.yaml:1: apiVersion: "headroom.dev/v2" is not a version that is understood: write apiVersion: headroom.dev/v1`}},
		"kind near":   {[]string{doc("VmProvider", "z", " {}")}, []string{`a.yaml:2: kind: unknown kind "VmProvider": did you mean VMProvider?`}},
		"kind far":    {[]string{doc("Deployment", "z", " {}")}, []string{`a.yaml:2: kind: unknown kind "Deployment": use one of AutoscaleConfig, DNSProvider, Pool, Schedule, Staging, VMProvider, Zone`}},
		"name":        {[]string{doc("Zone", "Big_Zone", " {}")}, []string{`a.yaml:3: metadata.name: "Big_Zone" is not a valid name: use 1 to 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit`}},
		"no name":     {[]string{doc("Zone", "", " {}")}, []string{`a.yaml:3: metadata.name: is empty: write for example name: desktops`}},
		"number name": {[]string{doc("Zone", "5", " {}")}, []string{`a.yaml:3: metadata.name: must be text, is a number: put it in quotes`}},
		"labels": {[]string{strings.Replace(doc("Zone", "z", " {}"), "{name: z}", "{name: z, labels: {a b: c, d: 'e f', g: 1}, annotations: {}}", 1)}, []string{
			`a.yaml:3: metadata.labels.g: must be text, is a number: put it in quotes`,
			`a.yaml:3: metadata.annotations: unknown field "annotations": use one of labels, name`,
			`a.yaml:3: metadata.labels["a b"]: is not a valid key of a label: use 1 to 63 letters, digits and - _ . / between them`,
			`a.yaml:3: metadata.labels.d: is not a valid value of a label: use at most 63 letters, digits and - _ . between them`,
		}},
		"twice": {[]string{doc("Zone", "z", " {}"), "# b\n---\n" + doc("Zone", "z", " {}") + "\n---\n" + doc("Pool", "z", " {type: server}")}, []string{
			`b.yaml:5: metadata.name: Zone z is already in a.yaml:1: remove or rename one of them`,
		}},
		"syntax hides nothing": {[]string{"a: b: c\n---\n" + doc("Zone", "z", " {placement: pak}") + "\n---\na: [1\n---\nb: *x\n---\n\tc: d\n"}, []string{
			`a.yaml:1: the YAML cannot be read: mapping values are not allowed in this context (check the indentation, and put text that holds ": " in quotes)`,
			`a.yaml:6: spec.placement: "pak" is not one of its values: write pack or spread`,
			`a.yaml:8: the YAML cannot be read: did not find expected ',' or ']'`,
			`a.yaml:9: the YAML cannot be read: a value begins with * but names no anchor: put the value in quotes`,
			`a.yaml:12: the YAML cannot be read: found character that cannot start any token (indent with spaces, not tabs, and put text that begins with @, ` + "`" + ` or % in quotes)`,
		}},
		"two JSON values": {[]string{"{\"a\": 1}\n{\"b\": 2}\n"}, []string{`a.yaml:2: the YAML cannot be read: did not find expected <document start>`}},
		"provider kind":   {[]string{doc("VMProvider", "v", "\n  provider: clowdy\n  max_instances: 1")}, []string{`a.yaml:5: spec.provider: unknown VM provider kind "clowdy": did you mean cloudy?`}},
		"dns kind":        {[]string{doc("DNSProvider", "v", "\n  provider: bind")}, []string{`a.yaml:5: spec.provider: unknown DNS provider kind "bind": use one of route53`}},
		"settings": {[]string{doc("VMProvider", "v", "\n  provider: cloudy\n  max_instances: 1\n  settings:\n    regin: eu-1\n    size: 65\n    token: [a]\n    size: 3\n    networks: {}")}, []string{
			`a.yaml:8: spec.settings.regin: unknown field "regin": did you mean region?`,
			`a.yaml:8: spec.settings.region: is required: write for example region: eu-1`,
			`a.yaml:9: spec.settings.size: 65 is out of range: write a whole number from 1 to 64`,
			`a.yaml:10: spec.settings.token: must be text, is a list`,
			`a.yaml:11: spec.settings.size: is given twice, first in line 9: remove one of them`,
			`a.yaml:12: spec.settings.networks: must be a list, is a mapping`,
		}},
		"no settings":  {[]string{doc("VMProvider", "v", "\n  provider: cloudy\n  max_instances: 1")}, []string{`a.yaml:5: spec.settings.region: is required: write for example region: eu-1`}},
		"bad settings": {[]string{doc("VMProvider", "v", "\n  provider: cloudy\n  max_instances: 1\n  settings: here")}, []string{`a.yaml:7: spec.settings: must be a mapping of keys to values, is text`}},
		"bounds": {[]string{doc("AutoscaleConfig", "a", "\n  pool: p\n  zone: z\n  vm_providers: [v]\n  min_servers: 5\n  max_servers: 3\n"+
			"  standby: {cores: 4, memory: 2Gi}\n  max_total_standby: {cores: 2, memory: 1Gi}\n  missing_after: 2h\n  rotate_after: 10m\n  min_available_sessions: 4\n  max_total_sessions: 3")}, []string{
			`a.yaml:9: spec.max_servers: is less than min_servers 5: raise it or lower min_servers`,
			`a.yaml:11: spec.max_total_standby.cores: is less than standby.cores 4, which could never be kept: raise it or lower the standby`,
			`a.yaml:11: spec.max_total_standby.memory: is less than standby.memory 2Gi, which could never be kept: raise it or lower the standby`,
			`a.yaml:12: spec.missing_after: dead_after 1h is less than missing_after 2h: a machine is missing before it is dead`,
			`a.yaml:13: spec.rotate_after: rotate_after 10m is not longer than rotate_prewarm 15m: the replacement would start before the machine`,
			`a.yaml:15: spec.max_total_sessions: is less than min_available_sessions 4, which could never be kept: raise it or lower min_available_sessions`,
		}},
		"no follow-up error": {[]string{doc("AutoscaleConfig", "a", "\n  pool: p\n  zone: z\n  vm_providers: [v]\n  min_servers: five\n  max_servers: 3")}, []string{
			`a.yaml:8: spec.min_servers: "five" is not a whole number`,
		}},
		"schedule": {[]string{doc("Schedule", "s", "\n  autoscale_config: a\n  time_zone: Europe/Berln\n  windows:\n"+
			"  - {days: [mon], start: '08:00', end: '08:00', min_servers: 1}\n"+
			"  - {days: [mon], start: '24:00', end: '08:00', min_servers: 1}\n"+
			"  - {days: [mon], start: '07:00', end: '08:00'}\n"+
			"  - {days: [mon], start: '07:00', end: '08:00', min_servers: 4, max_servers: 2}\n"+
			"  - {days: [mon, someday, mon], start: 0730, end: '25:00', min_servers: 4}")}, []string{
			`a.yaml:6: spec.time_zone: time zone "Europe/Berln" is not known: write an IANA name such as Europe/Berlin`,
			`a.yaml:8: spec.windows[0].end: start and end are both 08:00: for a whole day write start: "00:00" and end: "24:00"`,
			`a.yaml:9: spec.windows[1].start: a window cannot begin at 24:00: write 00:00 and the next day`,
			`a.yaml:10: spec.windows[2]: changes nothing: give standby, min_available_sessions, min_servers or max_servers`,
			`a.yaml:11: spec.windows[3].max_servers: is less than min_servers 4: raise it or lower min_servers`,
			`a.yaml:12: spec.windows[4].days[1]: "someday" is not a weekday: write mon, tue, wed, thu, fri, sat or sun`,
			`a.yaml:12: spec.windows[4].days[2]: repeats spec.windows[4].days[0]: remove one of them`,
			`a.yaml:12: spec.windows[4].start: a time of day is text such as "07:30" (quote it)`,
			`a.yaml:12: spec.windows[4].end: "25:00" is not a time of day: write HH:MM from 00:00 to 24:00`,
		}},
		"upstream": {[]string{doc("Zone", "z", "\n  upstream_address: $request_host$")}, []string{
			`a.yaml:5: spec.upstream_address: "$request_host$" is not an address that a machine can reach: write a host name, an IP address or a URL such as https://headroom.example.com`,
		}},
		"ten mistakes": {[]string{`apiVersion: headroom.dev/v1
kind: AutoscaleConfig
metadata:
  name: Desk tops
spec:
  pool: 5
  vm_providers: main
  standby:
    cores: -4
    memroy: 4Gi
    gpus: many
  min_servers: 10
  max_servers: 1
  enabled: yes
  downscale_backoff: 10 minutes
  connection_port: 70000
`}, []string{
			`a.yaml:4: metadata.name: "Desk tops" is not a valid name: use 1 to 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit`,
			`a.yaml:6: spec.pool: must be text, is a number: put it in quotes`,
			`a.yaml:6: spec.zone: is required: write for example zone: default`,
			`a.yaml:7: spec.vm_providers: must be a list, is text: write [main]`,
			`a.yaml:9: spec.standby.cores: -4 cores is out of range: write a number from 0 to 1000000`,
			`a.yaml:10: spec.standby.memroy: unknown field "memroy": did you mean memory?`,
			`a.yaml:11: spec.standby.gpus: "many" is not a whole number: write for example 1`,
			`a.yaml:13: spec.max_servers: is less than min_servers 10: raise it or lower min_servers`,
			`a.yaml:14: spec.enabled: "yes" is not true or false: write true or false, without quotes`,
			`a.yaml:15: spec.downscale_backoff: "10 minutes" is not a duration: write for example 90s, 10m, 1h30m or 7d`,
			`a.yaml:16: spec.connection_port: 70000 is out of range: write a whole number from 0 to 65535`,
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, got := parse(test.text...)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
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

func TestReferences(t *testing.T) {
	t.Parallel()
	docs, _ := parse(all)
	var got []string
	for _, d := range docs {
		for _, r := range manifest.References(d) {
			got = append(got, fmt.Sprintf("%s %s %s %s", d.Kind, r.Path, r.Kind, r.Name))
		}
	}
	want := []string{
		"AutoscaleConfig spec.pool Pool desktops", "AutoscaleConfig spec.zone Zone default",
		"AutoscaleConfig spec.vm_providers[0] VMProvider main", "AutoscaleConfig spec.vm_providers[1] VMProvider spare",
		"Schedule spec.autoscale_config AutoscaleConfig desktops", "Staging spec.pool Pool desktops", "Staging spec.zone Zone default",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestNewSpecKnowsEveryKind(t *testing.T) {
	t.Parallel()
	for _, kind := range fleet.Kinds() {
		if manifest.NewSpec(kind) == nil {
			t.Errorf("no spec for %s", kind)
		}
	}
}

func TestCanonical(t *testing.T) {
	t.Parallel()
	docs, _ := parse(all)
	spec, secrets, err := docs[2].Canonical()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"provider": "cloudy", "max_instances": int64(10),
		"settings": map[string]any{"region": "eu-1", "script": "#!/bin/sh\necho --- not a separator\n", "shape": map[string]any{"memory": "1Gi"}},
	}
	if diff := cmp.Diff(want, spec); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"settings.token": "hunter2"}, secrets); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"settings.token", "settings.password"}, docs[2].SecretPaths()); diff != "" {
		t.Error(diff)
	}
	_, secrets, err = docs[3].Canonical() // a secret that was not written is kept, not cleared
	if err != nil || len(secrets) != 0 {
		t.Errorf("secrets %v, error %v", secrets, err)
	}
	again, problems := manifest.FromJSON(fleet.KindAutoscaleConfig, fleet.Meta{Name: "a"},
		[]byte(`{"pool":"desktops","zone":"default","vm_providers":["main","spare"],"standby":{"cores":4.0,"memory":"4Gi"},"downscale_backoff":"30s"}`), kinds())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	a, _, errA := docs[4].Canonical()
	b, _, errB := again.Canonical()
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	if changes := manifest.Diff(a, b); len(changes) > 0 {
		t.Errorf("the same in other words differs: %v", changes)
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	old := map[string]any{
		"pool": "a", "n": 1.0, "list": []any{"x", "y"}, "gone": map[string]any{"deep": true}, "empty": map[string]any{},
		"windows":  []any{map[string]any{"start": "07:00", "end": "08:00"}},
		"settings": map[string]any{"token": "old", "key": "same", "new": nil},
	}
	now := map[string]any{
		"pool": "b", "n": int64(1), "list": []any{"x", "z", "w"},
		"windows":  []any{map[string]any{"start": "07:30", "end": "08:00"}},
		"settings": map[string]any{"token": "new", "key": "same", "new": "s"},
	}
	want := []manifest.Change{
		{"gone.deep", true, nil},
		{"list[1]", "y", "z"},
		{"list[2]", nil, "w"},
		{"pool", "a", "b"},
		{"settings.new", nil, settings.Masked},
		{"settings.token", settings.Masked, settings.Masked},
		{"windows[0].start", "07:00", "07:30"},
	}
	if diff := cmp.Diff(want, manifest.Diff(old, now, "settings.token", "settings.key", "settings.new")); diff != "" {
		t.Error(diff)
	}
	if changes := manifest.Diff(nil, nil); len(changes) != 0 {
		t.Errorf("%v", changes)
	}
	if changes := manifest.Diff(nil, now); len(changes) != 7 {
		t.Errorf("creation: %v", changes)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(all)
	f.Add("a: &a [*a]")
	f.Add("--- |\n---\n... \n%YAML 1.1\n---\n{\"a\": }")
	f.Add("apiVersion: headroom.dev/v1\nkind: VMProvider\nmetadata: {name: v}\nspec:\n  provider: cloudy\n  settings: {? [a] : b, <<: {}, token: !!binary aGk=}")
	f.Add("kind: Schedule\nspec: {windows: [{days: [1, ~], start: 1e400, end: .inf}]}")
	f.Fuzz(func(t *testing.T, text string) {
		docs, problems := manifest.Parse([]manifest.Source{{Name: "f", Text: text}}, kinds())
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
