package settings_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/settings"
)

// cloud is a settings struct that uses every tag.
type cloud struct {
	Region   string            `json:"region" doc:"Where machines are made." lookup:"region" example:"eu-1" immutable:"true" pattern:"^[a-z]+-[0-9]+$" patternDescription:"a name such as eu-1"`
	Auth     string            `json:"auth,omitempty" enum:"password,key,none" default:"password" doc:"How to log in." group:"Access"`
	User     string            `json:"user" doc:"Login name." when:"auth=password|key" group:"Access"`
	Password string            `json:"password" doc:"Password of the user." when:"auth=password" secret:"true" minLength:"8" group:"Access"`
	Key      string            `json:"key,omitempty" doc:"Private key." when:"auth=key" secret:"true" multiline:"true" group:"Access"`
	Disk     int32             `json:"disk_gb,omitempty" minimum:"1" maximum:"2000" default:"20" doc:"Size of the disk."`
	Price    float64           `json:"price,omitempty" minimum:"0" doc:"Highest price."`
	Networks []string          `json:"networks,omitempty" minItems:"1" maxItems:"3" uniqueItems:"true" pattern:"^net-" doc:"Networks."`
	Timeout  fleet.Duration    `json:"timeout,omitempty" minimum:"1s" maximum:"1h" default:"30s" doc:"Longest call." advanced:"true"`
	Tags     map[string]string `json:"tags,omitempty" doc:"Tags."`
	Proxy    *proxy            `json:"proxy,omitempty" doc:"Proxy."`
	Ready    *bool             `json:"ready,omitempty" default:"true" doc:"Wait."`
	Extra    map[string]any    `json:"extra,omitempty" doc:"Anything."`
	Note     *string           `json:"note,omitempty" nullable:"true" doc:"Note."`
	Small    uint8             `json:"small,omitempty" doc:"Small."`
}

type proxy struct {
	URL   string `json:"url" doc:"Address."`
	Token string `json:"token,omitempty" secret:"true" doc:"Token."`
	Port  int64  `json:"port,omitempty" default:"3128" doc:"Port."`
}

func (c *cloud) Validate() []fleet.FieldError {
	if c.Price > 10 && c.Disk > 100 {
		return []fleet.FieldError{{Path: "price", Value: c.Price, Message: "is not available with disks over 100 GB: lower one of them"}}
	}
	if c.Proxy != nil && c.Proxy.Token == "" && c.Proxy.URL == "secret" {
		return []fleet.FieldError{{Path: "proxy.token", Message: "is required by this proxy"}}
	}
	return nil
}

func node(t *testing.T, text string) *yaml.Node {
	t.Helper()
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(text), &n); err != nil {
		t.Fatal(err)
	}
	return &n
}

func lines(fields []fleet.FieldError) []string {
	var out []string
	for _, f := range fields {
		out = append(out, f.String())
	}
	return out
}

func TestDecodeYAML(t *testing.T) {
	t.Parallel()
	const good = "region: eu-1\nuser: me\npassword: abcdefghij\n"
	tests := map[string]struct {
		text string
		want []string
	}{
		"good":               {good, nil},
		"missing":            {"{}", []string{`f:1: s.region: is required: write for example region: eu-1`, `f:1: s.user: is required when auth is password or key: add it (Login name)`, `f:1: s.password: is required when auth is password: add it (Password of the user)`}},
		"empty document":     {"# nothing\n", []string{`f: s.region: is required: write for example region: eu-1`, `f: s.user: is required when auth is password or key: add it (Login name)`, `f: s.password: is required when auth is password: add it (Password of the user)`}},
		"not a mapping":      {"- a", []string{`f:1: s: must be a mapping of fields, is a list`}},
		"unknown near":       {good + "pasword: hunter2", []string{`f:4: s.pasword: unknown field "pasword": did you mean password?`}},
		"unknown camel":      {good + "diskGb: 3", []string{`f:4: s.diskGb: unknown field "diskGb": did you mean disk_gb?`}},
		"unknown far":        {"url: x\nurll: y\nwhatever: z", []string{`f:1: s.urll`, `f:1: s.whatever`}},
		"pattern":            {strings.Replace(good, "eu-1", "Europe", 1), []string{`f:1: s.region: "Europe" does not match what is expected: use a name such as eu-1: write for example eu-1`}},
		"required empty":     {strings.Replace(good, "eu-1", `""`, 1), []string{`f:1: s.region: is empty: write for example region: eu-1`}},
		"required null":      {strings.Replace(good, "eu-1", ``, 1), []string{`f:1: s.region: is empty: write for example region: eu-1`}},
		"optional null":      {good + "disk_gb:", []string{`f:4: s.disk_gb: is empty: give a value or remove the line`}},
		"nullable null":      {good + "note: null", nil},
		"enum":               {good + "auth: keys", []string{`f:4: s.auth: "keys" is not one of its values: write password, key or none`}},
		"wrong neighbour":    {good + "auth: keys\nkey: x", []string{`f:4: s.auth: "keys" is not one of its values: write password, key or none`}},
		"conditional":        {"region: eu-1\nauth: none\nuser: me\npassword: abcdefghij\n", []string{`f:3: s.user: may only be set when auth is password or key (it is none): remove it or change auth`, `f:4: s.password: may only be set when auth is password (it is none): remove it or change auth`}},
		"conditional null":   {"region: eu-1\nauth: none\npassword: null\n", nil},
		"range":              {good + "disk_gb: 0", []string{`f:4: s.disk_gb: 0 is out of range: write a whole number from 1 to 2000`}},
		"overflow":           {good + "disk_gb: 99999999999", []string{`f:4: s.disk_gb: 99999999999 is out of range`}},
		"huge":               {good + "disk_gb: 99999999999999999999", []string{`f:4: s.disk_gb: 99999999999999999999 is out of range`}},
		"unsigned":           {good + "small: -1", []string{`f:4: s.small: -1 is out of range: write a whole number from 0`}},
		"fraction":           {good + "disk_gb: 1.5", []string{`f:4: s.disk_gb: 1.5 is not a whole number`}},
		"whole as float":     {good + "disk_gb: 1e2", nil},
		"number in quotes":   {good + "disk_gb: '10'", []string{`f:4: s.disk_gb: "10" is text: write the number without quotes`}},
		"nan":                {good + "price: .nan", []string{`f:4: s.price: .nan is not a number`}},
		"negative price":     {good + "price: -0.5", []string{`f:4: s.price: -0.5 is out of range: write a number of at least 0`}},
		"text as number":     {good + "note: 5", []string{`f:4: s.note: must be text, is a number: put it in quotes`}},
		"date as text":       {good + "note: 2026-01-01", nil},
		"yes":                {good + "ready: yes", []string{`f:4: s.ready: "yes" is not true or false: write true or false, without quotes`}},
		"scalar for list":    {good + "networks: net-a", []string{`f:4: s.networks: must be a list, is text: write [net-a]`}},
		"empty list":         {good + "networks: []", []string{`f:4: s.networks: has 0 entries: give at least 1`}},
		"long list":          {good + "networks: [net-1, net-2, net-3, net-4]", []string{`f:4: s.networks: has 4 entries: give at most 3`}},
		"repeated entry":     {good + "networks: [net-1, net-2, net-1]", []string{`f:4: s.networks[2]: repeats s.networks[0]: remove one of them`}},
		"entry rule":         {good + "networks:\n- net-1\n- lan", []string{`f:6: s.networks[1]: "lan" does not match what is expected: use the pattern ^net-`}},
		"duration":           {good + "timeout: soon", []string{`f:4: s.timeout: "soon" is not a duration: write for example 90s, 10m, 1h30m or 7d`}},
		"duration range":     {good + "timeout: 2h", []string{`f:4: s.timeout: 2h is out of range: write a value from 1s to 1h`}},
		"duration seconds":   {good + "timeout: 90", nil},
		"map value":          {good + "tags: {a.b: 1, c: d}", []string{`f:4: s.tags["a.b"]: must be text, is a number: put it in quotes`}},
		"nested":             {good + "proxy: {prt: 3}", []string{`f:4: s.proxy.prt: unknown field "prt": did you mean port?`, `f:4: s.proxy.url: is required: add it (Address)`}},
		"nested wrong":       {good + "proxy: here", []string{`f:4: s.proxy: must be a mapping of fields, is text`}},
		"repeated key":       {good + "user: you", []string{`f:4: s.user: is given twice, first in line 2: remove one of them`}},
		"repeated free key":  {good + "extra: {a: {b: 1, b: 2}}", []string{`f:4: s.extra.a.b: is given twice, first in line 4: remove one of them`}},
		"key no text":        {good + "? [a]\n: b", []string{`f:4: s: has a key that is a list: a key must be text`}},
		"merge key":          {"base: &b {region: eu-1}\n<<: *b\n" + good, []string{`f:1: s.base: unknown field "base": use one of`, `f:2: s: merge keys (<<) are not supported: write the fields out`}},
		"alias":              {"region: &r eu-1\nuser: *r\npassword: abcdefghij", nil},
		"tag":                {good + "note: !secret x", []string{`f:4: s.note: has the YAML tag "!secret", which is not supported: remove it`}},
		"secret rule":        {"region: eu-1\nuser: me\npassword: hunter2", []string{`f:3: s.password: has 7 characters: give at least 8`}},
		"secret type":        {"region: eu-1\nuser: me\npassword: 1234567890", []string{`f:3: s.password: must be text, is a number: put it in quotes`}},
		"secret placeholder": {"region: eu-1\nuser: me\npassword: '********'", []string{`f:3: s.password: is the placeholder for a secret, not a secret: remove the line to keep the stored one, or give a new one`}},
		"across fields":      {good + "price: 11\ndisk_gb: 200", []string{`f:4: s.price: is not available with disks over 100 GB: lower one of them`}},
		"nul":                {good + `note: "a\0b"`, []string{`f:1: s: holds a NUL character: remove it`}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var c cloud
			got := lines(settings.DecodeYAML(node(t, test.text), &c, settings.Options{Source: "f", Path: "s"}))
			if name == "unknown far" {
				if len(got) != 6 || !strings.Contains(got[0], "unknown field \"url\": ") {
					t.Fatalf("got %q", got)
				}
				return
			}
			if name == "merge key" && len(got) > 0 {
				got[0] = got[0][:len(test.want[0])]
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSecretsAreNeverShown(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"password: [hunter2]", "password: {a: hunter2}", "password: hunter2", "pasword: hunter2",
		"key: hunter2", "auth: key\nkey: 42\npassword: hunter2", "password: !x hunter2",
		"proxy: {token: [hunter2]}", "proxy: {tokn: hunter2}", "password: hunter2\npassword: hunter2",
	} {
		fields := settings.DecodeYAML(node(t, text), &cloud{}, settings.Options{})
		data, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		if len(fields) == 0 || strings.Contains(string(data), "hunter2") || strings.Contains(string(data), "42") {
			t.Errorf("%s: %s", text, data)
		}
	}
}

// Secrets should be text (see CheckDefinition), but no other type leaks either.
func TestSecretsOfOtherTypesAreNeverShown(t *testing.T) {
	t.Parallel()
	type odd struct {
		Pin   int            `json:"pin,omitempty" secret:"true" maximum:"9"`
		Flag  bool           `json:"flag,omitempty" secret:"true"`
		Delay fleet.Duration `json:"delay,omitempty" secret:"true"`
		List  []int          `json:"list,omitempty" secret:"true"`
	}
	for _, text := range []string{"pin: hunter2", "pin: '4242'", "pin: 4242", "flag: hunter2", "delay: hunter2", "list: hunter2", "list: [hunter2]"} {
		var target odd
		fields := settings.DecodeYAML(node(t, text), &target, settings.Options{})
		data, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		if len(fields) != 1 || strings.Contains(string(data), "hunter2") || strings.Contains(string(data), "4242") {
			t.Errorf("%s: %s", text, data)
		}
		if target.Pin != 0 {
			t.Errorf("%s: a value that breaks a rule was kept", text)
		}
	}
}

func TestKeepSecrets(t *testing.T) {
	t.Parallel()
	keep := settings.Options{KeepSecrets: true}
	for text, want := range map[string][]string{
		"region: eu-1\nuser: me":                        nil,
		"region: eu-1\nuser: me\nproxy: {url: secret}":  {`: proxy.token: is required by this proxy`},
		"region: eu-1\nuser: me\npassword: ''":          {`: password: is empty, but required when auth is password: add it (Password of the user)`},
		"region: eu-1\nauth: key\nuser: me\nkey: ''":    nil,
		"region: eu-1\nuser: me\nproxy: {token: null }": {`: proxy.url: is required: add it (Address)`},
	} {
		got := lines(settings.DecodeYAML(node(t, text), &cloud{}, keep))
		for i := range got {
			got[i] = ": " + got[i]
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

func TestDecodeJSON(t *testing.T) {
	t.Parallel()
	tests := map[string][]string{
		`{"region":"eu-1","user":"me","password":"abcdefghij","disk_gb":1e2,"timeout":"5m"}`: nil,
		`{"region":"eu-1","user":"me","password":"abcdefghij","user":"you"}`:                 {`s.user: is given twice: remove one of them`},
		`{"region":"eu-1","user":"me","password":"abcdefghij","small":256,"ready":"true"}`:   {`s.small: 256 is out of range: write a whole number from 0`, `s.ready: "true" is not true or false: write true or false, without quotes`},
		`{"region":"eu-1",}`:      {`s: is not JSON: syntax error in line 1, byte 17`},
		`{"region":"eu-1"`:        {`s: is not JSON: it ends too early, in line 1`},
		``:                        {`s: is not JSON: it ends too early, in line 1`},
		`{} {}`:                   {`s: has text after the end of the JSON value`},
		`[]`:                      {`s: must be a mapping of fields, is a list`},
		strings.Repeat("[", 1000): {`s: is nested more than 64 levels deep`},
	}
	for text, want := range tests {
		var c cloud
		got := lines(settings.DecodeJSON([]byte(text), &c, settings.Options{Path: "s"}))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

// Anchors must not let a small document unfold into a large one.
func TestAliasBomb(t *testing.T) {
	t.Parallel()
	text := "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 10; i++ {
		text += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10), ","))
	}
	got := lines(settings.DecodeYAML(node(t, text), &cloud{}, settings.Options{Path: "s"}))
	want := []string{"s: holds more than 100000 values: split it"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	got = lines(settings.DecodeYAML(node(t, "extra: &a {b: *a}"), &cloud{}, settings.Options{Path: "s"}))
	want = []string{"s: is nested more than 64 levels deep, or an alias contains itself"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLine(t *testing.T) {
	t.Parallel()
	n := node(t, "a:\n  b:\n  - c: 1\n  - c: 2\nlabels:\n  x.y: z\n")
	for path, want := range map[string]int{"": 1, "a": 1, "a.b": 2, "a.b[1].c": 4, "a.b[9]": 2, "a.z": 1, `labels["x.y"]`: 6, "a..": 1, "[": 1} {
		if got := settings.Line(n, path); got != want {
			t.Errorf("Line(%q) = %d, want %d", path, got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"standby", "max_servers", "min_servers", "vm_providers"}
	for name, want := range map[string]string{
		"stanby": "standby", "maxServers": "max_servers", "min-server": "min_servers",
		"vm_provider": "vm_providers", "zebra": "", "": "", "tsandby": "standby",
	} {
		if got := settings.Nearest(name, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	}
}
