package manifest_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

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
		"times too short": {[]string{doc("AutoscaleConfig", "a", "\n  pool: p\n  zone: z\n  vm_providers: [v]\n  missing_after: 4s\n  dead_after: 3s\n  provision_timeout: 9s")}, []string{
			`a.yaml:8: spec.missing_after: 4s is shorter than 5s: a single late heartbeat would take a machine out of service`,
			`a.yaml:9: spec.dead_after: dead_after 3s is less than missing_after 4s: a machine is missing before it is dead`,
			`a.yaml:10: spec.provision_timeout: 9s is shorter than 10s: every machine would fail before it has started`,
		}},
		"times just long enough": {[]string{doc("AutoscaleConfig", "a", "\n  pool: p\n  zone: z\n  vm_providers: [v]\n  missing_after: 5s\n  dead_after: 5s\n  provision_timeout: 10s")}, nil},
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
