package providertest

import (
	"bytes"
	"context"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/settings"
)

func userDataLimit(t *testing.T, s *suite) {
	channel := s.Kind.ScriptChannel(s.Settings)
	if channel.Limit == 0 || channel.AfterBoot {
		t.Skip("the channel of startup scripts has no limit")
	}
	script := func(size int) []byte {
		b := bytes.Repeat([]byte("# padding\n"), size/10+1)[:size]
		copy(b, "#!/bin/sh\n")
		return b
	}
	req := s.request(owners()[0])
	req.Bootstrap.UserData = script(channel.Limit + 1)
	if i, err := s.driver.Create(t.Context(), req); provider.ClassOf(err) != provider.Invalid || err == nil {
		t.Errorf("create with %d bytes of user data, one above the limit, answered %s, %v; expected invalid", channel.Limit+1, i.ID, err)
	}
	s.shown(t, owners()[0], 0)
	req = s.request(owners()[0])
	req.Bootstrap.UserData = script(channel.Limit)
	i := s.create(t, req)
	s.running(t, i.ID)
	if s.UserData == nil {
		t.Log("SKIPPED IN PART: harness cannot read a machine's user data")
		return
	}
	if !bytes.Equal(req.Bootstrap.UserData, s.UserData(t, i.ID)) {
		t.Errorf("user data of %d bytes did not arrive as they were", channel.Limit)
	}
}

func everythingTagged(t *testing.T, s *suite) {
	if s.Tagged == nil {
		t.Skip("harness cannot read the tags of objects")
	}
	req := s.request(owners()[0])
	s.running(t, s.create(t, req).ID)
	all := s.Tagged(t)
	if len(all) == 0 {
		t.Error("nothing was made")
	}
	for name, tags := range all {
		if diff := cmp.Diff(req.Tags, tags); diff != "" {
			t.Errorf("tags of %s:\n%s", name, diff)
		}
	}
}

func wrongAuthority(t *testing.T, s *suite) {
	if s.WrongCA == nil {
		t.Skip("harness has no service behind a private authority")
	}
	d, _ := s.openWith(t, s.WrongCA)
	_, err := d.Create(t.Context(), s.request(owners()[0]))
	if provider.ClassOf(err) != provider.Unauthenticated || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("create answered %v, expected unauthenticated with a word about the certificate", err)
	}
	s.shown(t, owners()[0], 0)
}

func expiredCredentials(t *testing.T, s *suite) {
	if s.Expire == nil {
		t.Skip("harness cannot let credentials expire")
	}
	i := s.create(t, s.request(owners()[0]))
	s.running(t, i.ID)
	s.shown(t, owners()[0], 1)
	restore := s.Expire(t)
	for op, call := range map[string]func() error{
		"create": func() error { _, err := s.driver.Create(t.Context(), s.request(owners()[0])); return err },
		"get":    func() error { _, err := s.driver.Get(t.Context(), i.ID); return err },
		"delete": func() error { return s.driver.Delete(t.Context(), i.ID) },
		"list": func() (last error) {
			for _, err := range s.driver.List(t.Context(), owners()[0]) {
				last = err
			}
			return last
		},
	} {
		if err := call(); provider.ClassOf(err) != provider.Unauthenticated || err == nil {
			t.Errorf("%s with expired credentials: %v, expected unauthenticated", op, err)
		}
	}
	restore()
	s.running(t, i.ID)
	s.shown(t, owners()[0], 1)
}

func hangingService(t *testing.T, s *suite) {
	if s.Hang == nil {
		t.Skip("harness cannot let the service hang")
	}
	i := s.create(t, s.request(owners()[0]))
	s.running(t, i.ID)
	s.Hang(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := s.driver.Get(ctx, i.ID)
	if provider.ClassOf(err) != provider.Unavailable || err == nil {
		t.Errorf("get of a service that hangs: %v, expected unavailable", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("get of a service that hangs took %v with a deadline of 200ms", took)
	}
}

func override(t *testing.T, s *suite) {
	o := s.Override
	if o == nil {
		t.Skip("the kind has no config_override, or the harness does not try it")
	}
	d, raw := s.openWith(t, o.With(o.Good))
	req := s.request(owners()[0])
	if with, plain := renderOf(t, raw, req), renderOf(t, s.raw, req); with != "" && with == plain {
		t.Errorf("render does not show the override: %s", with)
	}
	i, err := s.createWith(t, d, req)
	if err != nil {
		t.Fatalf("create with an override: %v", err)
	}
	got := s.running(t, i.ID)
	if diff := cmp.Diff(req.Tags, got.Tags); diff != "" {
		t.Errorf("the override changed the tags:\n%s", diff)
	}
	if wrong := o.Shown(t, i.ID); wrong != "" {
		t.Errorf("the override did not take effect: %s", wrong)
	}

	wrong := s.faults(t, o.With(o.Bad))
	if len(wrong) != 1 || !strings.HasSuffix(wrong[0].Path, o.BadPath) {
		t.Errorf("settings with the override %v were found to have the faults %v, expected one at …%s", o.Bad, wrong, o.BadPath)
	}
}

// renderOf is what the driver says it would send; empty when it does not.
func renderOf(t *testing.T, d provider.Driver, req provider.Request) string {
	t.Helper()
	r, ok := d.(provider.Renderer)
	if !ok {
		return ""
	}
	calls, err := r.Render(t.Context(), req)
	if err != nil {
		t.Fatalf("render: %v", err)
	}
	text, err := json.Marshal(calls)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// faults are what is found when the settings are saved.
func (s *suite) faults(t *testing.T, with any) []fleet.FieldError {
	t.Helper()
	public, err := json.Marshal(with)
	if err != nil {
		t.Fatal(err)
	}
	decoded := reflect.New(reflect.TypeOf(s.Settings).Elem()).Interface()
	return settings.DecodeJSON(public, decoded, settings.Options{})
}

func hostileOverride(t *testing.T, s *suite) {
	if s.Override == nil || len(s.Override.Hostile) == 0 {
		t.Skip("the kind has no config_override, or the harness has no hostile one")
	}
	for _, doc := range s.Override.Hostile {
		with := s.Override.With(doc)
		if wrong := s.faults(t, with); len(wrong) > 0 {
			t.Logf("the override %v is refused when it is saved: %v", doc, wrong)
			continue
		}
		d, _ := s.openWith(t, with)
		req := s.request(owners()[0])
		i, err := s.createWith(t, d, req)
		if err != nil {
			if provider.ClassOf(err) != provider.Invalid {
				t.Errorf("create with the override %v: %v, expected a machine or invalid", doc, err)
			}
			continue
		}
		got := s.running(t, i.ID)
		if got.Name != req.Name {
			t.Errorf("the override %v changed the name to %q, asked for %q", doc, got.Name, req.Name)
		}
		all := map[string]provider.Tags{}
		if s.Tagged != nil {
			all = s.Tagged(t)
		}
		all["the machine"] = got.Tags
		for name, tags := range all {
			if diff := cmp.Diff(req.Tags, tags); diff != "" {
				t.Errorf("the override %v changed the tags of %s:\n%s", doc, name, diff)
			}
		}
		if s.UserData != nil && !bytes.Equal(req.Bootstrap.UserData, s.UserData(t, i.ID)) {
			t.Errorf("the override %v changed the user data to %q", doc, s.UserData(t, i.ID))
		}
		s.gone(t, i.ID)
		s.empty(t)
	}
}

func rendered(t *testing.T, s *suite) {
	d, ok := s.raw.(provider.Renderer)
	if !ok {
		t.Skip("driver shows no requests")
	}
	before := s.leftovers(t)
	req := s.request(owners()[0])
	calls, err := d.Render(t.Context(), req)
	if s.errorOf(t, "render", err) != nil || len(calls) == 0 {
		t.Fatalf("render: %v, %v", calls, err)
	}
	text, err := json.Marshal(calls)
	if err != nil {
		t.Fatalf("what render answered cannot be shown as JSON: %v", err)
	}
	if !bytes.Contains(text, []byte(req.Name)) {
		t.Errorf("the requests do not name machine %s: %s", req.Name, text)
	}
	for _, secret := range s.Secrets {
		if secret != "" && bytes.Contains(text, []byte(secret)) {
			t.Errorf("the requests show a secret: %s", text)
		}
	}
	if diff := cmp.Diff(before, s.leftovers(t)); diff != "" {
		t.Errorf("render changed the account:\n%s", diff)
	}
}

func costs(t *testing.T, s *suite) {
	if s.Calls == nil {
		t.Skip("harness does not count requests")
	}
	first := s.create(t, s.request(owners()[0])) // whatever is looked up once is known now
	s.running(t, first.ID)
	s.shown(t, owners()[0], 1)

	// A machine that is being removed may have to be looked at more often; what
	// is counted is the look that finds it gone.
	from := s.Calls()
	i := s.create(t, s.request(owners()[0]))
	spent := s.Calls() - from
	s.running(t, i.ID)
	from = s.Calls()
	if err := s.driver.Delete(t.Context(), i.ID); err != nil && provider.ClassOf(err) != provider.NotFound {
		t.Fatalf("delete: %v", err)
	}
	spent += s.Calls() - from
	s.gone(t, i.ID)
	from = s.Calls()
	if _, err := s.driver.Get(t.Context(), i.ID); provider.ClassOf(err) != provider.NotFound {
		t.Fatalf("get of a machine that is gone: %v", err)
	}
	spent += s.Calls() - from
	if spent != s.LifeCalls {
		t.Errorf("the life of a machine cost %d requests, LifeCalls says %d", spent, s.LifeCalls)
	}

	listing := func() int64 {
		from := s.Calls()
		for _, err := range s.driver.List(t.Context(), owners()[0]) {
			if err != nil {
				t.Fatalf("list: %v", err)
			}
		}
		return s.Calls() - from
	}
	one := listing()
	s.running(t, s.create(t, s.request(owners()[0])).ID)
	s.shown(t, owners()[0], 2)
	if two := listing(); one != two {
		t.Errorf("listing one machine costs %d requests and listing two %d: the cost must not depend on the number of machines", one, two)
	}
}

// guestScript says something and fails, so that both can be seen.
const guestScript = "#!/bin/sh\necho words of the script\nexit 3\n"

func scriptOnce(t *testing.T, s *suite) {
	d, ok := s.raw.(provider.ScriptRunner)
	if !ok || !s.Kind.ScriptChannel(s.Settings).AfterBoot {
		t.Skip("scripts are not run through the guest")
	}
	if s.ScriptRuns == nil {
		t.Skip("harness has no guest that runs scripts")
	}
	id := s.create(t, s.request(owners()[0])).ID
	s.running(t, id)
	finish := func(progress string) provider.ScriptRun {
		var run provider.ScriptRun
		s.eventually(t, func() string {
			var err error
			if run, err = d.RunScript(t.Context(), id, []byte(guestScript), progress); err != nil {
				return "run script: " + err.Error()
			}
			progress = run.Progress
			if !run.Done {
				return "the script has not ended: " + run.Note
			}
			return ""
		})
		return run
	}
	for _, from := range []string{"the beginning", "the beginning again, as after a crash"} {
		run := finish("")
		if run.ExitCode != 3 || !strings.Contains(string(run.Output), "words of the script") {
			t.Errorf("from %s: exit code %d and output %q, expected 3 and the words of the script", from, run.ExitCode, run.Output)
		}
	}
	if n := s.ScriptRuns(t, id); n != 1 {
		t.Errorf("the script ran %d times", n)
	}
}
