package startup_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/startup"
)

// The guarded scripts really run, with the place of the mark moved to where a
// test may write.
func TestEveryBootRunsOnce(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"shell":          "#!/bin/sh\necho ran >>\"$OUT\"\nexit 3\n",
		"no first line":  "echo ran >>\"$OUT\"\nexit 3",
		"another tongue": "#!/usr/bin/env -S awk -f\nBEGIN { print \"ran\" >> ENVIRON[\"OUT\"]; exit 3 }\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			p := startup.Parcel{Channel: startup.Channel{Form: startup.FormPlain, EveryBoot: true}, Server: "01jserver", Script: script}
			file := filepath.Join(dir, "script")
			data := strings.ReplaceAll(string(pack(t, p).Data), "/var/lib/headroom", filepath.Join(dir, "marks"))
			if err := os.WriteFile(file, []byte(data), 0o700); err != nil { //nolint:gosec // it is run
				t.Fatal(err)
			}
			out := filepath.Join(dir, "out")
			for boot, want := range []int{3, 0, 0} {
				cmd := exec.Command(file)
				cmd.Env = append(os.Environ(), "OUT="+out)
				said, _ := cmd.CombinedOutput()
				if code := cmd.ProcessState.ExitCode(); code != want {
					t.Errorf("boot %d: exit code %d, want %d: %s\n%s", boot, code, want, said, data)
				}
			}
			if got, _ := os.ReadFile(out); string(got) != "ran\n" {
				t.Errorf("the script said %q", got)
			}
			if _, err := os.Stat(filepath.Join(dir, "marks", "01jserver")); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestEveryBootGuards(t *testing.T) {
	t.Parallel()
	every, windows := startup.Channel{Form: startup.FormPlain, EveryBoot: true}, startup.Channel{Form: startup.FormPlain, EveryBoot: true, System: startup.Windows}
	small := every
	small.Limit = 3000
	for name, c := range map[string]struct {
		ch           startup.Channel
		script, want string
	}{
		"the first line stays first":  {every, "#!/bin/bash -x\necho\n", "#!/bin/bash -x\n# Made by Headroom"},
		"powershell":                  {windows, "Write-Host x\n", "Join-Path $env:ProgramData 'headroom\\01jserver'"},
		"powershell with a parameter": {windows, "# words\n\nparam($x)\n", "# words\r\n\r\nparam"},
		"batch":                       {windows, "@echo off\ndir\n", `exist "%ProgramData%\headroom\01jserver" exit /b 0`},
		"cloud-config":                {every, "#cloud-config\n{}\n", "#cloud-config\n{}\n"},
		"a script that is fetched":    {small, "#!/bin/sh\n" + strings.Repeat("# words\n", 1000), "#!/bin/sh\n# Made by Headroom: this cloud"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startup.Parcel{Channel: c.ch, Server: "01jserver", Script: c.script, Fetch: &startup.Fetch{URL: "https://c.example.com/script", Token: "x"}}
			if got := string(pack(t, p).Data); !strings.Contains(got, c.want) {
				t.Errorf("%q lacks %q", got, c.want)
			}
		})
	}
}
