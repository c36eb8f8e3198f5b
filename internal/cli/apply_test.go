package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/cli"
)

func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

var changes = object{"applied": true, "changes": []object{
	{"kind": "Zone", "name": "default", "action": "create", "source": "a.yaml:1", "diff": []object{{"path": "spec.placement", "new": "pack"}}},
	{"kind": "VMProvider", "name": "local", "action": "update", "source": "a.yaml:9", "diff": []object{
		{"path": "spec.max_instances", "old": 4, "new": 6},
		{"path": "spec.startup_script", "old": "#!/bin/sh\necho one\n", "new": "#!/bin/sh\necho two\n"},
		{"path": "spec.rate_limit", "new": 2.5},
	}, "notes": []string{"touches 2 autoscale configs, 14 machines"}},
	{"kind": "Pool", "name": "desktops", "action": "unchanged", "source": "b.yaml:1"},
	{"kind": "Pool", "name": "old", "action": "delete", "diff": []object{{"path": "spec.type", "old": "server"}}},
}}

func TestApplyAndDiff(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.on("POST apply", 200, changes)
	file := filepath.Join(tree(t, map[string]string{"a.yaml": "kind: Zone\n"}), "a.yaml")
	golden(t, "apply", a.run("apply", "-f", file, "--prune"))
	golden(t, "apply-dry-run", a.run("apply", "-f", file, "--dry-run"))
	golden(t, "diff", a.run("diff", "-f", file))
	golden(t, "apply-name", a.run("apply", "-f", file, "-o", "name"))
	var flags []string
	for _, body := range a.bodies {
		var in struct {
			DryRun bool `json:"dry_run"`
			Prune  bool `json:"prune"`
		}
		if err := json.Unmarshal([]byte(body), &in); err != nil {
			t.Fatal(err)
		}
		flags = append(flags, map[bool]string{true: "dry"}[in.DryRun]+map[bool]string{true: "prune"}[in.Prune])
	}
	if diff := cmp.Diff([]string{"prune", "dry", "dry", ""}, flags); diff != "" {
		t.Error(diff)
	}
	a.on("POST apply", 200, object{"applied": false, "changes": []object{{"kind": "Pool", "name": "desktops", "action": "unchanged"}}})
	if r := a.run("diff", "-f", file); r.code != 0 || r.out != "no changes\n" {
		t.Errorf("got %+v", r)
	}
}

func TestApplyReadsFilesDirectoriesAndStandardInput(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.on("POST apply", 200, changes)
	dir := tree(t, map[string]string{
		"b.yml": "b", "a.yaml": "\ufeffa", "c.json": "c", "notes.txt": "no", "deep/d.yaml": "d", ".git/x.yaml": "no",
	})
	c := a.caller()
	c.in = "in"
	sent := func(args ...string) (out []string) {
		a.bodies = nil
		if r := c.run(append([]string{"apply"}, args...)...); r.code != 0 {
			t.Fatalf("%v: %+v", args, r)
		}
		var body struct {
			Documents []struct{ Source, Text string }
		}
		if err := json.Unmarshal([]byte(a.bodies[0]), &body); err != nil {
			t.Fatal(err)
		}
		for _, d := range body.Documents {
			out = append(out, strings.TrimPrefix(d.Source, dir+"/")+"="+d.Text)
		}
		return out
	}
	if diff := cmp.Diff([]string{"a.yaml=a", "b.yml=b", "c.json=c"}, sent("-f", dir)); diff != "" {
		t.Error(diff)
	}
	got := sent("-R", "-f", "-", "-f", filepath.Join(dir, "notes.txt"), "-f", dir, "-f", filepath.Join(dir, "deep", "d.yaml"))
	if diff := cmp.Diff([]string{"stdin=in", "notes.txt=no", "a.yaml=a", "b.yml=b", "c.json=c", "deep/d.yaml=d"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestApplyRefusesWhatCannotBeManifests(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	dir := tree(t, map[string]string{
		"empty/readme.txt": "", "latin1.yaml": "kind: Pool\nname: caf\xe9\n",
		"big.yaml": strings.Repeat("# filler\n", 1<<20),
	})
	for name, want := range map[string]string{
		"missing.yaml": "missing.yaml does not exist",
		"empty":        "holds no file *.yaml, *.yml or *.json (directories below it are read with -R)",
		"latin1.yaml":  "latin1.yaml:2: the text is not valid UTF-8",
		"big.yaml":     "larger than 8 MiB",
	} {
		r := a.run("apply", "-f", filepath.Join(dir, name))
		if r.code != cli.ExitInvalid || !strings.Contains(r.err, want) {
			t.Errorf("%s: got %+v", name, r)
		}
	}
	if len(a.seen()) > 0 {
		t.Error("it was sent all the same")
	}
}

func TestFieldErrorsAreListedOnePerLine(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.refuse("POST apply", 422, `{"code":"invalid","detail":"manifests: 2 problems","errors":[
		{"source":"a.yaml:3","path":"spec.standby.cores","value":-1,"message":"must not be negative"},
		{"source":"b.yaml:7","path":"kind","message":"\"Pol\" is no kind"}]}`)
	file := filepath.Join(tree(t, map[string]string{"a.yaml": "x"}), "a.yaml")
	r := a.run("apply", "-f", file)
	want := "Nothing was changed:\na.yaml:3: spec.standby.cores: must not be negative\nb.yaml:7: kind: \"Pol\" is no kind\nError: manifests: 2 problems\n"
	if r.code != cli.ExitInvalid || r.err != want {
		t.Errorf("got %+v", r)
	}
}

func TestDeleteManifests(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, path := range []string{"zones/z", "pools/p", "autoscale-configs/c"} {
		a.on("DELETE "+path, 204, nil)
	}
	dir := tree(t, map[string]string{
		"good.yaml": "kind: Zone\nmetadata: {name: z}\n---\nkind: AutoscaleConfig\nmetadata: {name: c}\n---\n\n---\nkind: Pool\nmetadata: {name: p}\n",
		"bad.yaml":  "kind: Pol\nmetadata: {name: z}\n---\nkind: Pool\n---\n- x\n",
	})
	a.on("POST delete", 200, object{"deleted": true, "changes": []object{
		{"kind": "AutoscaleConfig", "name": "c", "action": "delete"}, {"kind": "Pool", "name": "p", "action": "delete"}, {"kind": "Zone", "name": "z", "action": "delete"},
	}})
	r := a.run("delete", "-f", filepath.Join(dir, "good.yaml"), "--drain", "--ignore-not-found")
	sent := `{"objects":[{"kind":"Zone","name":"z"},{"kind":"AutoscaleConfig","name":"c"},{"kind":"Pool","name":"p"}],"drain":true,"ignore_missing":true}`
	if len(a.bodies) != 1 || strings.TrimSpace(a.bodies[0]) != sent {
		t.Errorf("sent %q, want one call with %s", a.bodies, sent)
	}
	if r.code != 0 || r.out != "autoscale-config/c deleted\npool/p deleted\nzone/z deleted\n" {
		t.Errorf("got %+v", r)
	}
	before := len(a.seen())
	r = a.run("delete", "-f", filepath.Join(dir, "bad.yaml"))
	if r.code != cli.ExitInvalid || strings.Count(r.err, "bad.yaml:") != 3 || !strings.Contains(r.err, "bad.yaml:4: metadata.name: the name is missing") {
		t.Errorf("got %+v", r)
	}
	if len(a.seen()) != before {
		t.Error("something was deleted all the same")
	}
}

func TestDeleteOfSeveralIsOneSet(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.refuse("POST delete", 409, `{"code":"in_use","detail":"nothing was deleted: 2 problems","errors":[
		{"path":"Pool gone","message":"does not exist"},{"path":"Pool busy","message":"cannot be deleted: 3 machines depend on it"}]}`)
	r := a.run("delete", "pool", "busy", "gone", "free")
	want := "Pool gone: does not exist\nPool busy: cannot be deleted: 3 machines depend on it\nError: nothing was deleted: 2 problems\n"
	if r.code != cli.ExitRefused || r.out != "" || r.err != want {
		t.Errorf("got %+v", r)
	}
	if diff := cmp.Diff([]string{"POST /api/v1/delete"}, a.seen()); diff != "" {
		t.Error(diff)
	}
	r = a.run("delete", "pool", "gone", "--ignore-not-found")
	if r.code != 0 {
		t.Errorf("got %+v", r)
	}
}

func TestDeleteGoesOnAfterAnError(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.refuse("DELETE servers/busy", 409, `{"code":"in_use","detail":"server busy holds 3 sessions"}`)
	a.on("DELETE servers/free", 200, server("free", "deleting", nil))
	r := a.run("delete", "server", "busy", "gone", "free")
	if r.code != cli.ExitRefused || r.out != "server/free deleting\n" || strings.Count(r.err, "Error:") != 2 {
		t.Errorf("got %+v", r)
	}
}

func TestDeleteOtherKinds(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.list("GET tokens", object{"id": "01k-t", "name": "ci", "role": "viewer", "created_at": ago(0), "created_by": "x"})
	a.on("DELETE tokens/01k-t", 204, nil)
	a.on("DELETE servers/hr-1", 200, server("hr-1", "deleting", nil))
	a.on("DELETE sessions/s1", 200, session("s1", "ended", nil))
	a.on("POST servers/hr-1/drain", 200, server("hr-1", "draining", nil))
	for line, want := range map[string]string{
		"delete token ci": "token/ci revoked\n", "delete server hr-1 --force": "server/hr-1 deleting\n",
		"delete session s1": "session/s1 ended\n", "delete server hr-1 --drain": "server/hr-1 draining\n",
		"token revoke ci": "token/ci revoked\n", "server drain hr-1 --deadline 1h": "server/hr-1 draining\n",
	} {
		if r := a.run(strings.Fields(line)...); r.code != 0 || r.out != want {
			t.Errorf("%s: %+v", line, r)
		}
	}
	if !strings.Contains(strings.Join(a.seen(), "\n"), "DELETE /api/v1/servers/hr-1?force=true") {
		t.Errorf("force was not passed on: %v", a.seen())
	}
	if !strings.Contains(strings.Join(a.bodies, "\n"), `{"deadline":"1h"}`) {
		t.Errorf("the deadline was not passed on: %q", a.bodies)
	}
}
