package settings_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/settings"
)

func TestSchemaHints(t *testing.T) {
	t.Parallel()
	data, err := json.Marshal(settings.Schema(&cloud{}))
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Required   []string
		Order      []string `json:"x-headroom-order"`
		Properties map[string]map[string]any
	}
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"region"}, s.Required); diff != "" {
		t.Error(diff)
	}
	if s.Order[0] != "region" || s.Order[1] != "auth" || len(s.Order) != 15 {
		t.Errorf("order %v", s.Order)
	}
	want := map[string]map[string]any{
		"region": {
			"type": "string", "description": "Where machines are made.", "examples": []any{"eu-1"}, "pattern": "^[a-z]+-[0-9]+$",
			"patternDescription": "a name such as eu-1", "x-headroom-lookup": "region", "x-headroom-immutable": true,
		},
		"password": {
			"type": []any{"string", "null"}, "description": "Password of the user.", "minLength": 8.0, "writeOnly": true,
			"x-headroom-secret": true, "x-headroom-group": "Access", "x-headroom-required": true,
			"x-headroom-when": map[string]any{"field": "auth", "values": []any{"password"}},
		},
		"timeout": {
			"anyOf":       []any{map[string]any{"type": "string", "pattern": "^[^-]+$"}, map[string]any{"type": "integer", "minimum": 0.0}},
			"description": "Longest call.", "default": "30s", "examples": []any{"90s", "10m"},
			"x-headroom-type": "duration", "x-headroom-minimum": "1s", "x-headroom-maximum": "1h", "x-headroom-advanced": true,
		},
		"ready": {"type": "boolean", "description": "Wait.", "default": true},
	}
	for name, properties := range want {
		if diff := cmp.Diff(properties, s.Properties[name]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if strings.Contains(string(data), "$ref") {
		t.Error("the schema refers to another document")
	}
}

// What Decode accepts, the published schema must accept too.
func TestSchemaAgreesWithDecode(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		spec any
		json []string
	}{
		"zone":         {&fleet.ZoneSpec{}, []string{`{}`, `{"upstream_address":"https://a.example","placement":"spread","prefer_fixed":false,"fall_over":true}`}},
		"pool":         {&fleet.PoolSpec{}, []string{`{"type":"server","queue_limit":0,"frozen":true,"description":"d"}`}},
		"vm provider":  {&fleet.VMProviderSpec{}, []string{`{"provider":"local","max_instances":3,"settings":{"a":{"b":[1]}},"rate_limit":1.5,"cleanup_orphans":"report"}`}},
		"dns provider": {&fleet.DNSProviderSpec{}, []string{`{"provider":"route53"}`}},
		"autoscale": {&fleet.AutoscaleConfigSpec{}, []string{
			`{"pool":"p","zone":"z","vm_providers":["a"]}`,
			`{"pool":"p","zone":"z","vm_providers":["a","b"],"standby":{"cores":1.5,"memory":"1.5Ti","gpus":2},"max_total_standby":{"memory":512},
			  "downscale_backoff":"1h30m","provision_timeout":600,"rotate_after":"7d","agent_memory_override":" 4 GiB ","agent_cores_override":0.001,
			  "dead_after":"1.5h","missing_after":"90s500ms","reusable":false,"connection_port":65535}`,
		}},
		"schedule": {&fleet.ScheduleSpec{}, []string{
			`{"autoscale_config":"a","time_zone":"UTC","windows":[{"days":["mon","sun"],"start":"07:30","end":"24:00","standby":{"cores":2}},{"days":["sat"],"start":"7:30","end":"00:00","min_servers":0}]}`,
		}},
		"staging":  {&fleet.StagingSpec{}, []string{`{"pool":"p","count":3,"shape":{"cores":2}}`}},
		"settings": {&cloud{}, []string{`{"region":"eu-1","user":"u","password":"abcdefghij","timeout":"5s"}`, `{"region":"eu-1","auth":"none","password":null,"disk_gb":1e2,"note":null}`}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			typ := reflect.TypeOf(test.spec).Elem()
			registry := settings.Registry()
			named := registry.Schema(typ, true, "")
			for _, text := range test.json {
				target := reflect.New(typ).Interface()
				if fields := settings.DecodeJSON([]byte(text), target, settings.Options{}); len(fields) > 0 {
					t.Fatalf("Decode refuses %s: %v", text, fields)
				}
				var value any
				if err := json.Unmarshal([]byte(text), &value); err != nil {
					t.Fatal(err)
				}
				for _, s := range []*huma.Schema{settings.Schema(test.spec), named} {
					result := &huma.ValidateResult{}
					huma.Validate(registry, s, huma.NewPathBuffer(nil, 0), huma.ModeWriteToServer, value, result)
					if len(result.Errors) > 0 {
						t.Errorf("the schema refuses %s: %v", text, result.Errors)
					}
				}
			}
		})
	}
}

// What the schema refuses, Decode must refuse too.
func TestSchemaRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{"pool":"p","zone":"z"}`, `{"pool":"p","zone":"z","vm_providers":[]}`, `{"pool":"p","zone":"z","vm_providers":["a"],"x":1}`,
		`{"pool":"p","zone":"z","vm_providers":["a","a"]}`, `{"pool":"p","zone":"z","vm_providers":["a"],"standby":{"cores":-1}}`,
		`{"pool":"p","zone":"z","vm_providers":["a"],"standby":{"memory":-5}}`, `{"pool":"p","zone":"z","vm_providers":["a"],"downscale_backoff":"-5m"}`,
		`{"pool":"p","zone":"z","vm_providers":["a"],"connection_port":65536}`,
	} {
		var value any
		if err := json.Unmarshal([]byte(text), &value); err != nil {
			t.Fatal(err)
		}
		result := &huma.ValidateResult{}
		huma.Validate(settings.Registry(), settings.Schema(fleet.AutoscaleConfigSpec{}), huma.NewPathBuffer(nil, 0), huma.ModeWriteToServer, value, result)
		fields := settings.DecodeJSON([]byte(text), &fleet.AutoscaleConfigSpec{}, settings.Options{})
		if len(result.Errors) != 1 || len(fields) != 1 {
			t.Errorf("%s: schema %v, decode %v", text, result.Errors, fields)
		}
	}
}

type tree struct {
	Name     string `json:"name"`
	Children []tree `json:"children,omitempty"`
}

type Window struct {
	Panes int `json:"panes"`
}

func TestRegistry(t *testing.T) {
	t.Parallel()
	r := settings.Registry()
	for _, typ := range []reflect.Type{
		reflect.TypeFor[fleet.Object[fleet.ScheduleSpec]](), reflect.TypeFor[Window](), reflect.TypeFor[tree](),
		reflect.TypeFor[fleet.Server](), reflect.TypeFor[fleet.Session](), reflect.TypeFor[[]fleet.Event](),
		reflect.TypeFor[settings.Raw[fleet.AutoscaleConfigSpec]](), reflect.TypeFor[fleet.AgentReport](),
	} {
		r.Schema(typ, true, "Hint")
	}
	for _, name := range []string{"ObjectScheduleSpec", "Window", "Settings_testWindow", "Tree", "Duration", "Memory", "AutoscaleConfigSpec"} {
		if r.Map()[name] == nil {
			t.Errorf("no schema %s", name)
		}
	}
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for ref := range strings.SplitSeq(string(data), `"$ref":"`) {
		if ref, _, ok := strings.Cut(ref, `"`); ok && strings.HasPrefix(ref, "#") && r.SchemaFromRef(ref) == nil {
			t.Errorf("reference %s leads nowhere", ref)
		}
	}
	backoff := r.Map()["AutoscaleConfigSpec"].Properties["downscale_backoff"]
	if backoff.Default != "10m" || backoff.Ref != "#/components/schemas/Duration" {
		t.Errorf("downscale_backoff: %+v", backoff)
	}
}

func TestCheckDefinition(t *testing.T) {
	t.Parallel()
	for _, spec := range []any{
		fleet.ZoneSpec{},
		fleet.PoolSpec{},
		fleet.VMProviderSpec{},
		fleet.DNSProviderSpec{},
		fleet.AutoscaleConfigSpec{},
		fleet.StagingSpec{},
		&cloud{},
	} {
		if problems := settings.CheckDefinition(spec); len(problems) > 0 {
			t.Errorf("%T: %v", spec, problems)
		}
	}
	type inner struct {
		Token string `json:"token,omitempty" doc:"t" secret:"true"`
	}
	type bad struct {
		A string         `json:"a,omitempty"`
		B int            `json:"b,omitempty" doc:"b" default:"x"`
		C int            `json:"c,omitempty" doc:"c" default:"5" maximum:"4"`
		D string         `json:"d,omitempty" doc:"d" when:"z=1"`
		E string         `json:"e,omitempty" doc:"e" enum:"x,y"`
		F string         `json:"f,omitempty" doc:"f" when:"e=w"`
		G int            `json:"g,omitempty" doc:"g" secret:"true"`
		H []inner        `json:"h,omitempty" doc:"h"`
		I string         `json:"i" doc:"i" default:"x"`
		J string         `json:"j,omitempty" doc:"j" pattern:"("`
		K fleet.Duration `json:"k,omitempty" doc:"k" minimum:"soon" immutable:"yes"`
		L string         `json:"l,omitempty" doc:"l" lookup:"ls"`
		M string         `json:"m,omitempty" doc:"m" access:"true" secret:"true"`
		N string         `json:"n,omitempty" doc:"n" access:"yes" lookup:"n"`
		O string         `json:"o,omitempty" doc:"o" access:"true" lookup:"o"`
		P struct {
			User string `json:"user,omitempty" doc:"u" access:"true"`
		} `json:"p,omitempty"`
	}
	want := []string{
		`a: has no doc tag`,
		`b: tag default: strconv.ParseInt: parsing "x": invalid syntax`,
		`c: tag default: 5 is out of range: write a whole number of at most 4`,
		`d: tag when names the unknown field z`,
		`f: tag when wants e=w, but its values are x, y`,
		`g: a secret must be text outside of lists`,
		`h.token: a secret must be text outside of lists`,
		`i: a required field must not have a default: add omitempty`,
		"j: tag pattern: error parsing regexp: missing closing ): `(`",
		`k: tag immutable is "yes", not true or false`,
		`k: tag minimum is "soon", which cannot be read`,
		`l: tag lookup is "ls": give the field's own name`,
		`m: a secret needs no tag access`,
		`n: tag access is "yes", not true or false`,
		`o: what the provider lists choices for is no mere access: remove the tag access or lookup`,
		`p.user: tag access has no effect inside of another field`,
	}
	if diff := cmp.Diff(want, settings.CheckDefinition(bad{})); diff != "" {
		t.Error(diff)
	}
}

func TestAccess(t *testing.T) {
	t.Parallel()
	type Trust struct {
		CA string `json:"ca,omitempty" doc:"c" access:"true"`
	}
	type of struct {
		User  string `json:"user,omitempty" doc:"u" access:"true"`
		Token string `json:"token,omitempty" doc:"t" secret:"true"`
		Size  string `json:"size,omitempty" doc:"s" access:"false"`
		Trust
	}
	if got := settings.Access(&of{}); !slices.Equal(got, []string{"user", "ca"}) {
		t.Errorf("access is %v", got)
	}
	if got := settings.Markdown("", &of{}); strings.Count(got, "| access alone |") != 2 {
		t.Errorf("the table does not tell what is access alone:\n%s", got)
	}
	if b, err := json.Marshal(settings.Schema(&of{})); err != nil || strings.Count(string(b), `"x-headroom-access":true`) != 2 {
		t.Errorf("the schema does not tell what is access alone: %v\n%s", err, b)
	}
}

func TestMarkdown(t *testing.T) {
	t.Parallel()
	got := settings.Markdown("Cloud", &cloud{})
	for _, want := range []string{
		"## Cloud\n\n| Field | Type | Required | Default | Rule | Description |\n",
		"| `region` | text | yes |  | a name such as eu-1; cannot be changed | Where machines are made. |\n",
		"| `auth` | text | no | `password` | `password`, `key`, `none` | How to log in. |\n",
		"| `password` | text | when auth is password |  | at least 8 characters; secret | Password of the user. |\n",
		"| `disk_gb` | whole number | no | `20` | 1 to 2000 | Size of the disk. |\n",
		"| `timeout` | duration | no | `30s` | 1s to 1h | Longest call. |\n",
		"| `proxy.token` | text | no |  | secret | Token. |\n",
		"| `networks` | list of text | no |  | 1 to 3 entries; no repetition; matches `^net-` | Networks. |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("missing %q in\n%s", want, got)
		}
	}
}
