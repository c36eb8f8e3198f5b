package kubevm

import (
	"encoding/base64"
	"encoding/pem"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// pemOf is the certificate of a server that never serves.
func pemOf(t *testing.T) string {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}

const kubeconfig = `apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: k, user: u}}]
clusters: [{name: k, cluster: {server: "https://10.0.0.1:6443"}}]
users: [{name: u, user: {token: sesame}}]
`

func TestAccess(t *testing.T) {
	t.Parallel()
	ca := pemOf(t)
	good := Access{KubeHost: "https://10.0.0.1:6443", CACert: ca, APIToken: "sesame", Namespace: "headroom"}
	change := func(f func(*Access)) Access { a := good; f(&a); return a }
	with := func(old, text string) Access {
		return Access{Namespace: "headroom", Kubeconfig: strings.ReplaceAll(kubeconfig, old, text)}
	}
	for name, c := range map[string]struct {
		access Access
		path   string // empty: nothing is wrong
		words  string
	}{
		"host and token":      {good, "", ""},
		"host without scheme": {change(func(a *Access) { a.KubeHost = "10.0.0.1:6443" }), "", ""},
		"host with a path":    {change(func(a *Access) { a.KubeHost = "https://rancher.example.org/k8s/clusters/c-1" }), "", ""},
		"base64 certificate":  {change(func(a *Access) { a.CACert = base64.StdEncoding.EncodeToString([]byte(ca)) }), "", ""},
		"base64 on several lines": {change(func(a *Access) {
			a.CACert = strings.ReplaceAll(base64.StdEncoding.EncodeToString([]byte(ca)), "A", "A\n")
		}), "", ""},
		"kubeconfig":              {with("", ""), "", ""},
		"kubeconfig, one context": {with("current-context: c\n", ""), "", ""},

		"nothing":                {Access{Namespace: "headroom"}, "kubeconfig", "is missing"},
		"plain http":             {change(func(a *Access) { a.KubeHost = "http://10.0.0.1" }), "kube_host", "unencrypted"},
		"no host":                {change(func(a *Access) { a.KubeHost = "https://" }), "kube_host", "is no address"},
		"password in the host":   {change(func(a *Access) { a.KubeHost = "https://ann:sesame@10.0.0.1" }), "kube_host", "more than an address"},
		"no token":               {change(func(a *Access) { a.APIToken = "" }), "api_token", "is missing"},
		"token with a line":      {change(func(a *Access) { a.APIToken = "sesame\n" }), "api_token", "line breaks"},
		"certificate is rubbish": {change(func(a *Access) { a.CACert = "rubbish!" }), "ca_cert", "neither PEM text nor"},
		"base64 of rubbish":      {change(func(a *Access) { a.CACert = "cnViYmlzaA==" }), "ca_cert", "holds no certificate"},
		"a key as certificate": {change(func(a *Access) {
			a.CACert = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
		}), "ca_cert", "not a CERTIFICATE"},
		"both":              {change(func(a *Access) { a.Kubeconfig = kubeconfig }), "kube_host", "remove one"},
		"bad namespace":     {change(func(a *Access) { a.Namespace = "Head_Room" }), "namespace", "is no name"},
		"unicode namespace": {change(func(a *Access) { a.Namespace = "kopfraum-ü" }), "namespace", "is no name"},

		"kubeconfig is rubbish":    {Access{Namespace: "headroom", Kubeconfig: "token: [sesame"}, "kubeconfig", "cannot be read"},
		"kubeconfig is empty YAML": {Access{Namespace: "headroom", Kubeconfig: "{}"}, "kubeconfig", "names no context"},
		"kubeconfig without user":  {with("name: u, user:", "name: v, user:"), "kubeconfig", `has no user "u"`},
		"kubeconfig with a file":   {with("token: sesame", "tokenFile: /etc/shadow"), "kubeconfig", "names a file (tokenFile)"},
		"kubeconfig with a key":    {with("token: sesame", "client-key: /etc/key, client-certificate: /etc/crt"), "kubeconfig", "names a file (client-certificate)"},
		"kubeconfig with a CA":     {with("{server:", "{certificate-authority: /etc/ca, server:"), "kubeconfig", "names a file (certificate-authority)"},
		"kubeconfig with a program": {
			with("token: sesame", "exec: {apiVersion: client.authentication.k8s.io/v1, command: gke-gcloud-auth-plugin, interactiveMode: Never}"),
			"kubeconfig", `runs the program "gke-gcloud-auth-plugin"`,
		},
		"kubeconfig without credentials": {with("{token: sesame}", "{}"), "kubeconfig", "holds no credentials"},
		"kubeconfig with plain http":     {with("https://", "http://"), "kubeconfig", "unencrypted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wrong := c.access.Validate()
			if c.path == "" {
				if wrong != nil {
					t.Fatal(wrong)
				}
				config, err := c.access.config(time.Now)
				if err != nil || config.BearerToken != "sesame" || !strings.HasPrefix(config.Host, "https://") {
					t.Errorf("%+v, %v", config, err)
				}
				return
			}
			if len(wrong) != 1 || wrong[0].Path != c.path || !strings.Contains(wrong[0].Message, c.words) {
				t.Fatalf("%+v, expected %s … %s", wrong, c.path, c.words)
			}
			if strings.Contains(wrong[0].Message, "sesame") {
				t.Errorf("a secret is shown: %s", wrong[0].Message)
			}
		})
	}
}

func TestMachine(t *testing.T) {
	t.Parallel()
	good := Machine{Cores: 2, Memory: 2048, DiskSize: 10}
	for name, c := range map[string]struct {
		change func(*Machine)
		path   string
		words  string
	}{
		"good":                    {func(*Machine) {}, "", ""},
		"secure boot":             {func(m *Machine) { m.EFI, m.SecureBoot = true, true }, "", ""},
		"secure boot without EFI": {func(m *Machine) { m.SecureBoot = true }, "secure_boot", "set efi to true"},
		"multus": {func(m *Machine) {
			m.NetworkType, m.NetworkName, m.InterfaceType = NetworkMultus, "nets/lan", InterfaceBridge
		}, "", ""},
		"multus without a name": {func(m *Machine) { m.NetworkType, m.InterfaceType = NetworkMultus, InterfaceBridge }, "network_name", "is missing"},
		"multus with a bad name": {func(m *Machine) {
			m.NetworkType, m.NetworkName, m.InterfaceType = NetworkMultus, "a/b/c", InterfaceBridge
		}, "network_name", "neither the name nor"},
		"multus behind masquerade":   {func(m *Machine) { m.NetworkType, m.NetworkName = NetworkMultus, "lan" }, "interface_type", "pod network only"},
		"bridge on the pod network":  {func(m *Machine) { m.InterfaceType = InterfaceBridge }, "", ""},
		"bad name of an interface":   {func(m *Machine) { m.NetworkName = "My Net" }, "network_name", "cannot be the name of an interface"},
		"public key":                 {func(m *Machine) { m.SSHPublicKey = "ssh-ed25519 AAAA ann\n" }, "", ""},
		"private key instead of one": {func(m *Machine) { m.SSHPublicKey = "-----BEGIN OPENSSH PRIVATE KEY-----\n" }, "ssh_public_key", "is no public key"},
		"no cores":                   {func(m *Machine) { m.Cores = 0 }, "cores", "is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := good
			c.change(&m)
			wrong := m.Validate()
			if c.path == "" && wrong != nil || c.path != "" && (len(wrong) != 1 || wrong[0].Path != c.path || !strings.Contains(wrong[0].Message, c.words)) {
				t.Errorf("%+v, expected %q … %q", wrong, c.path, c.words)
			}
		})
	}
}

// manifestOf is a small manifest with something changed in it.
func manifestOf(change func(spec, guest map[string]any)) map[string]any {
	guest := map[string]any{
		"domain": map[string]any{
			"cpu": map[string]any{"cores": 2}, "memory": map[string]any{"guest": "1Gi"},
			"devices": map[string]any{"disks": []any{map[string]any{"name": "root", "disk": map[string]any{"bus": "virtio"}}}},
		},
		"volumes": []any{map[string]any{"name": "root", "dataVolume": map[string]any{"name": "$KASM_NAME-pvc"}}},
	}
	spec := map[string]any{
		"dataVolumeTemplates": []any{map[string]any{
			"metadata": map[string]any{"name": "$KASM_NAME-pvc"},
			"spec":     map[string]any{"source": map[string]any{"pvc": map[string]any{"namespace": "images", "name": "noble"}}},
		}},
		"template": map[string]any{"spec": guest},
	}
	if change != nil {
		change(spec, guest)
	}
	return map[string]any{"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "spec": spec}
}

func TestOverride(t *testing.T) {
	t.Parallel()
	const guestAt = "config_override.spec.template.spec."
	for name, c := range map[string]struct {
		doc   map[string]any
		path  string
		words string
	}{
		"good":                 {manifestOf(nil), "", ""},
		"without version":      {map[string]any{"spec": manifestOf(nil)["spec"]}, "", ""},
		"running":              {manifestOf(func(s, _ map[string]any) { s["running"] = false }), "", ""},
		"empty":                {map[string]any{}, "config_override.spec", "has no template"},
		"other kind":           {map[string]any{"kind": "Pod", "spec": manifestOf(nil)["spec"]}, "config_override.kind", "must be a VirtualMachine"},
		"status":               {map[string]any{"status": map[string]any{}, "spec": manifestOf(nil)["spec"]}, "config_override.status", "remove it"},
		"unknown at the top":   {map[string]any{"specs": map[string]any{}}, "config_override.specs", "did you mean spec?"},
		"unknown in the spec":  {manifestOf(func(s, _ map[string]any) { s["runStrategie"] = "Always" }), "config_override.spec.runStrategie", "did you mean runStrategy?"},
		"unknown in the guest": {manifestOf(func(_, g map[string]any) { g["domain"].(map[string]any)["cpus"] = 2 }), guestAt + "domain.cpus", "did you mean cpu?"},
		"unknown in a list": {manifestOf(func(_, g map[string]any) {
			g["volumes"].([]any)[0].(map[string]any)["dataVolumes"] = map[string]any{}
		}), guestAt + "volumes[0].dataVolumes", "did you mean dataVolume?"},
		"unknown in what reads itself": {manifestOf(func(_, g map[string]any) {
			g["networks"] = []any{map[string]any{"name": "default", "pod": map[string]any{"cidr": "10.0.0.0/8"}}}
		}), guestAt + "networks[0].pod.cidr", "is not known"},
		"wrong type":     {manifestOf(func(_, g map[string]any) { g["volumes"] = "none" }), guestAt + "volumes", "is text"},
		"wrong quantity": {manifestOf(func(_, g map[string]any) { g["domain"].(map[string]any)["memory"] = map[string]any{"guest": "four"} }), "config_override", "cannot be read"},
		"guest is text":  {manifestOf(func(s, _ map[string]any) { s["template"].(map[string]any)["spec"] = "x" }), "config_override.spec.template.spec", "is no object"},
		"our disk": {manifestOf(func(_, g map[string]any) {
			d := g["domain"].(map[string]any)["devices"].(map[string]any)
			d["disks"] = append(d["disks"].([]any), map[string]any{"name": "config-drive-disk"})
		}), guestAt + "domain.devices.disks[1].name", "that Headroom adds"},
		"one volume for all": {manifestOf(func(s, _ map[string]any) {
			s["dataVolumeTemplates"].([]any)[0].(map[string]any)["metadata"] = map[string]any{"name": "pvc"}
		}), "config_override.spec.dataVolumeTemplates[0].metadata.name", "for every machine"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wrong := Machine{ConfigOverride: c.doc}.Validate()
			if c.path == "" {
				if wrong != nil {
					t.Error(wrong)
				}
				return
			}
			if len(wrong) != 1 || wrong[0].Path != c.path || !strings.Contains(wrong[0].Message, c.words) {
				t.Errorf("%+v, expected %s … %s", wrong, c.path, c.words)
			}
		})
	}
}

// Whatever a manifest is, no placeholder survives, and what has none is kept.
func TestReplaceNames(t *testing.T) {
	t.Parallel()
	text := rapid.OneOf(rapid.StringMatching(`[a-z$_-]{0,12}`), rapid.SampledFrom([]string{"$KASM_NAME", "$HEADROOM_NAME-pvc", "a$KASM_NAME$KASM_NAME", "$$HEADROOM_NAME"}))
	var document func(depth int) *rapid.Generator[any]
	document = func(depth int) *rapid.Generator[any] {
		leaf := rapid.OneOf(rapid.Map(text, func(s string) any { return s }), rapid.Map(rapid.Int64(), func(n int64) any { return n }))
		if depth == 0 {
			return leaf
		}
		inner := document(depth - 1)
		return rapid.OneOf(leaf,
			rapid.Map(rapid.SliceOfN(inner, 0, 4), func(l []any) any { return l }),
			rapid.Map(rapid.MapOfN(text, inner, 0, 4), func(m map[string]any) any { return m }))
	}
	var texts func(v any, visit func(string))
	texts = func(v any, visit func(string)) {
		switch v := v.(type) {
		case string:
			visit(v)
		case []any:
			for _, item := range v {
				texts(item, visit)
			}
		case map[string]any:
			for key, item := range v {
				visit(key)
				texts(item, visit)
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		doc := document(3).Draw(t, "document")
		before, marked := 0, false
		texts(doc, func(s string) {
			before++
			marked = marked || strings.Contains(s, "$KASM_NAME") || strings.Contains(s, "$HEADROOM_NAME")
		})
		out := replaceNames(doc, "vm1")
		texts(out, func(s string) {
			if strings.Contains(s, "$KASM_NAME") || strings.Contains(s, "$HEADROOM_NAME") {
				t.Errorf("%q still has a placeholder", s)
			}
		})
		if diff := cmp.Diff(doc, out); !marked && diff != "" {
			t.Errorf("a document without placeholders was changed:\n%s", diff)
		}
	})
}

func TestShapeOfDevices(t *testing.T) {
	t.Parallel()
	m := Machine{Cores: 3, Memory: 4 * fleet.GiB, GPUs: []Device{{DeviceName: "a", Count: 2}, {DeviceName: "b"}}}
	if diff := cmp.Diff(fleet.Resources{Cores: 3 * fleet.Core, MemoryMiB: 4096, GPUs: 3}, m.Shape()); diff != "" {
		t.Error(diff)
	}
}
