package azure_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/azure"
	"github.com/headroom-dev/headroom/internal/provider/azure/fakeazure"
	"github.com/headroom-dev/headroom/internal/startup"
)

// TestScripts: the command fits into a command line, holds nothing that cmd would
// read, and a failing extension is told from a failing script.
func TestScripts(t *testing.T) {
	t.Parallel()
	s, p := subscription(t)
	windows(s)
	d := opened(t, s)
	r, ok := d.(provider.ScriptRunner)
	if !ok {
		t.Fatal("runs no scripts")
	}
	channel := azure.Kind().ScriptChannel(s)
	if !channel.AfterBoot || channel.System != startup.Windows {
		t.Errorf("channel %+v", channel)
	}
	req := request("abcdefghijkl")
	script := []byte(strings.Repeat("#", channel.Limit))
	p.Slow(time.Hour)
	i, err := d.Create(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if at(p.Asked(i.ID), "properties", "osProfile", "customData") != nil || at(p.Asked(i.ID), "properties", "osProfile", "adminPassword") != s.OSPassword {
		t.Errorf("asked for %v", at(p.Asked(i.ID), "properties", "osProfile"))
	}
	if run, err := r.RunScript(t.Context(), i.ID, script, ""); err != nil || run.Done || run.Note == "" {
		t.Errorf("before the machine runs: %+v, %v", run, err)
	}
	p.Power(i.ID, "running")
	p.Provisioning(i.ID, "Succeeded", "")
	p.Spoil(fakeazure.Fault{Method: http.MethodPut, Path: "/extensions/", Lose: true})
	if run, err := r.RunScript(t.Context(), i.ID, script, ""); err == nil {
		t.Errorf("an answer that is lost: %+v", run)
	}
	var run provider.ScriptRun
	eventually(t, func() string {
		if run, err = r.RunScript(t.Context(), i.ID, script, ""); err != nil || !run.Done {
			return "the script has not ended"
		}
		return ""
	})
	if run.ExitCode != 0 || p.Runs(i.ID) != 1 {
		t.Errorf("%+v, %d runs", run, p.Runs(i.ID))
	}
	command := p.Command(i.ID)
	if len(command) > 8191 {
		t.Errorf("the command has %d characters", len(command))
	}
	inner := strings.TrimSuffix(strings.SplitN(command, `"`, 2)[1], `"`)
	if strings.ContainsAny(inner, "\"%\r\n!^") || !strings.Contains(inner, "startup-"+req.Name) {
		t.Errorf("the command means something to cmd: %s", inner)
	}
	p.BreakExtension(i.ID, "VMExtensionProvisioningError")
	if run, err = r.RunScript(t.Context(), i.ID, script, run.Progress); err != nil || !run.Done || run.ExitCode == 0 || !strings.Contains(string(run.Output), "The extension that runs the script ended as failed") {
		t.Errorf("an extension that failed: %+v %s, %v", run, run.Output, err)
	}
	if _, err := r.RunScript(t.Context(), i.ID, append(script, '#'), ""); provider.ClassOf(err) != provider.Invalid {
		t.Errorf("a script that is too large: %v", err)
	}
	if _, err := r.RunScript(t.Context(), "hr-nothing", script, ""); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("no machine: %v", err)
	}
	long := request("abcdefghijklm")
	if _, err := d.Create(t.Context(), long); provider.ClassOf(err) != provider.Invalid || !strings.Contains(err.Error(), "may have 15") {
		t.Errorf("a name of 16 characters: %v", err)
	}
}

// TestCustomData: what fits, fits after encoding.
func TestCustomData(t *testing.T) {
	t.Parallel()
	s, p := subscription(t)
	limit := azure.Kind().ScriptChannel(s).Limit
	req := request("a")
	req.Bootstrap.UserData = []byte(strings.Repeat("x", limit))
	i, err := opened(t, s).Create(t.Context(), req)
	text, _ := at(p.Asked(i.ID), "properties", "osProfile", "customData").(string)
	if err != nil || len(text) != 64<<10 {
		t.Errorf("%d characters, %v", len(text), err)
	}
}
