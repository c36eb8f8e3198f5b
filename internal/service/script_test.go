package service_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/service"
	"github.com/headroom-dev/headroom/internal/startup"
)

// The kinds of the tests take scripts in the ways that there are.
func channelOf(settings any) startup.Channel {
	s, _ := settings.(*cloudSettings)
	switch s.Size {
	case "narrow":
		return startup.Channel{Form: startup.FormPlain, Limit: 4096}
	case "guest":
		return startup.Channel{Form: startup.FormPlain, AfterBoot: true}
	case "windows":
		return startup.Channel{Form: startup.FormEC2Launch, System: startup.Windows}
	}
	return startup.Channel{Form: startup.FormCloudInit, Limit: 16384}
}

const scripted = `
  connection_username: desk
  connection_password: p4ssw0rd
`

// scriptedWorld has a machine that is being made with the script and size.
func scriptedWorld(t *testing.T, size, script string, pool string) *world {
	t.Helper()
	w := newWorld(t)
	w.apply(basic + "---\napiVersion: headroom.dev/v1\nkind: VMProvider\nmetadata: {name: scripted}\nspec:\n  provider: cloud\n  max_instances: 3\n" +
		"  settings: {region: here, size: " + size + ", token: s3cret}\n  startup_script: |\n    " + strings.ReplaceAll(strings.TrimSuffix(script, "\n"), "\n", "\n    ") + "\n" +
		"---\napiVersion: headroom.dev/v1\nkind: AutoscaleConfig\nmetadata: {name: scripted}\nspec:\n  pool: " + pool + "\n  zone: default\n  vm_providers: [scripted]" + scripted)
	w.server("s1", inPhase(fleet.PhaseBooting), func(s *fleet.Server) {
		s.Pool, s.VMProvider, s.AutoscaleConfig, s.ProviderRevision = pool, "scripted", "scripted", 1
	})
	return w
}

func bootstrap(t *testing.T, w *world) string {
	t.Helper()
	s := w.get("s1")
	b, err := w.Bootstrap(w.ctx, &s)
	if err != nil {
		t.Fatal(err)
	}
	again, err := w.Bootstrap(w.ctx, &s)
	if err != nil || !bytes.Equal(b.UserData, again.UserData) {
		t.Errorf("a repeated create would send other user data, %v", err)
	}
	if b.RegistrationToken != w.d.Registration("s1") || b.ControllerURL != "https://c.example.com" {
		t.Errorf("bootstrap %+v", b)
	}
	for _, secret := range []string{"p4ssw0rd", w.d.Checkin("s1"), w.d.Registration("s1")} {
		if !strings.Contains(strings.Join(b.Secrets, "\n"), secret) {
			t.Errorf("%q is not among the secrets", secret)
		}
	}
	return string(b.UserData)
}

func TestScriptOfServerPool(t *testing.T) {
	t.Parallel()
	w := scriptedWorld(t, "wide", "#!/bin/sh\necho {server_id} {server_hostname} {connection_username}:{connection_password} {provider_name} {upstream_auth_address} {checkin_jwt} {domain}.\n", "win")
	want := "#!/bin/sh\necho s1 hr-s1 desk:p4ssw0rd cloud c.example.com " + w.d.Checkin("s1") + " .\n"
	if got := bootstrap(t, w); got != want {
		t.Errorf("user data %q, expected %q", got, want)
	}
	// The password is not to be read back.
	o, err := w.Object(w.ctx, admin, fleet.KindAutoscaleConfig, "scripted")
	if err != nil || strings.Contains(string(o.Spec), "p4ssw0rd") || strings.Join(o.SecretsSet, " ") != "connection_password" {
		t.Errorf("spec %s with secrets %v, %v", o.Spec, o.SecretsSet, err)
	}
	if _, err := w.FetchScript(w.ctx, w.d.Checkin("s1")); fleet.CodeOf(err) != fleet.CodeNotFound {
		t.Errorf("a script that need not be fetched: %v", err)
	}
}

// TestScriptOfRevision: a machine gets the script that it was planned with,
// also after an edit.
func TestScriptOfRevision(t *testing.T) {
	t.Parallel()
	w := scriptedWorld(t, "wide", "#!/bin/sh\necho first\n", "win")
	w.apply(doc("VMProvider", "scripted", `{provider: cloud, max_instances: 3, settings: {region: here, token: s3cret}, startup_script: "#!/bin/sh\necho second\n"}`))
	if got := bootstrap(t, w); got != "#!/bin/sh\necho first\n" {
		t.Errorf("user data %q", got)
	}
}

func TestScriptWithAgent(t *testing.T) {
	t.Parallel()
	w := scriptedWorld(t, "wide", "#!/bin/sh\necho mine\n", "desk")
	got := bootstrap(t, w)
	for _, want := range []string{"multipart/mixed", "echo mine", "https://c.example.com/download/headroom-linux-amd64", sumOfAgent, w.d.Registration("s1")} {
		if !strings.Contains(got, want) {
			t.Errorf("user data lack %q:\n%s", want, got)
		}
	}
	own := scriptedWorld(t, "wide", "#!/bin/sh\ncurl -O {agent_url}\n", "desk")
	if got := bootstrap(t, own); got != "#!/bin/sh\ncurl -O https://c.example.com/download/headroom-linux-amd64\n" {
		t.Errorf("a script that installs the agent itself became %q", got)
	}
	w.apply(doc("VMProvider", "arm", `{provider: cloud, max_instances: 3, agent_arch: arm64, settings: {region: here, token: s3cret}}`))
	w.server("s2", inPhase(fleet.PhasePlanned), func(s *fleet.Server) { s.VMProvider, s.ProviderRevision = "arm", 1 })
	s := w.get("s2")
	_, err := w.Bootstrap(w.ctx, &s)
	wantCode(t, err, fleet.CodeInvalid, "headroom-linux-arm64", "--agent-dir", "install_agent: false")
}

func TestScriptThroughTheGuest(t *testing.T) {
	t.Parallel()
	w := scriptedWorld(t, "guest", "#!/bin/sh\necho mine\n", "desk")
	if got := bootstrap(t, w); got != "" {
		t.Errorf("user data %q", got)
	}
	s := w.get("s1")
	text, secrets, err := w.GuestScript(w.ctx, &s)
	if err != nil || !strings.Contains(string(text), base64.StdEncoding.EncodeToString([]byte("#!/bin/sh\necho mine\n"))) || len(secrets) == 0 {
		t.Errorf("script %s, %d secrets, %v", text, len(secrets), err)
	}
}

// TestFetchScript: a script that its channel cannot carry is given to its
// machine, to nobody else, and not after the machine has checked in.
func TestFetchScript(t *testing.T) {
	t.Parallel()
	long := "#!/bin/sh\necho {server_id}\n# " + strings.Repeat("long ", 2000) + "\n"
	w := scriptedWorld(t, "narrow", long, "win")
	token := w.d.Checkin("s1")
	if got := bootstrap(t, w); len(got) > 4096 || !strings.Contains(got, "https://c.example.com"+service.ScriptPath) || !strings.Contains(got, token) {
		t.Errorf("user data %q", got)
	}
	for range 2 { // a download that broke off is repeated
		got, err := w.FetchScript(w.ctx, token)
		if want := strings.ReplaceAll(long, "{server_id}", "s1"); err != nil || string(got) != want {
			t.Fatalf("fetched %d bytes, %v; expected %d", len(got), err, len(want))
		}
	}
	for _, other := range []string{"", "nonsense", w.d.Registration("s1"), w.d.Checkin("s2"), token + "x"} {
		_, err := w.FetchScript(w.ctx, other)
		wantCode(t, err, fleet.CodeUnauthenticated)
	}
	if err := w.Checkin(w.ctx, token, fleet.CheckinStatus{Status: "running"}); err != nil {
		t.Fatal(err)
	}
	_, err := w.FetchScript(w.ctx, token)
	wantCode(t, err, fleet.CodeForbidden, "has checked in")
}

func TestScriptFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(basic)
	for script, words := range map[string][]string{
		"echo {nothing}": {"spec.startup_script", "line 1, column 6", "{nothing}"},
		"echo }":         {"line 1, column 6", "write }}"},
	} {
		_, err := w.Apply(w.ctx, admin, service.ApplyRequest{Documents: []service.ApplyDocument{{Source: "a.yaml", Text: doc(
			"VMProvider", "bad", `{provider: cloud, max_instances: 1, settings: {region: here, token: x}, startup_script: "`+script+`"}`)}}})
		wantCode(t, err, fleet.CodeInvalid, words...)
	}
	_, err := w.Apply(w.ctx, admin, service.ApplyRequest{Documents: []service.ApplyDocument{{Source: "a.yaml", Text: doc(
		"VMProvider", "bad", `{provider: cloud, max_instances: 1, settings: {region: here, token: x, size: windows}, startup_script: "#!/bin/bash\n"}`)}}})
	wantCode(t, err, fleet.CodeInvalid, "the machines run Windows")
	out := w.apply(doc("VMProvider", "odd", `{provider: cloud, max_instances: 1, settings: {region: here, token: x}, startup_script: "#!/bin/bash\nfi\n"}`))
	if len(out.Changes) != 1 || len(out.Changes[0].Notes) != 1 || !strings.Contains(out.Changes[0].Notes[0], "warning: spec.startup_script: line 2, column 1") {
		t.Errorf("changes %+v", out.Changes)
	}
}

func TestRenderScript(t *testing.T) {
	t.Parallel()
	w := scriptedWorld(t, "wide", "#!/bin/sh\necho {server_hostname} {checkin_jwt} {connection_password}\n", "win")
	p, err := w.RenderScript(w.ctx, viewer, service.Draft{Name: "scripted"})
	if err != nil || strings.Contains(p.Script, "hrc_") || !strings.Contains(p.Script, "echo hr-") || p.Limit != 16384 || !p.Agent {
		t.Errorf("preview %+v, %v", p, err)
	}
	text := doc("VMProvider", "new", `{provider: cloud, max_instances: 1, settings: {region: here, token: x}, startup_script: "#!/bin/sh\n: {server_id}\n"}`)
	docs := []service.ApplyDocument{{Source: "a.yaml", Text: text + doc("Pool", "p", "{type: server}")}}
	if p, err = w.RenderScript(w.ctx, admin, service.Draft{Documents: docs}); err != nil || !strings.Contains(p.Script, ": 01j") {
		t.Errorf("preview of a draft %+v, %v", p, err)
	}
	_, err = w.RenderScript(w.ctx, admin, service.Draft{Name: "other", Documents: docs})
	wantCode(t, err, fleet.CodeNotFound, `no VMProvider named "other"`)
	docs[0].Text += strings.ReplaceAll(text, "new", "newer")
	_, err = w.RenderScript(w.ctx, admin, service.Draft{Documents: docs})
	wantCode(t, err, fleet.CodeInvalid, "name one of new, newer")
}
