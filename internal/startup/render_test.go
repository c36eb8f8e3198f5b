package startup_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/headroom-dev/headroom/internal/startup"
)

// inTheField has what scripts that are in use have: doubled braces around shell
// variables and functions, JSON in quotes, variables in URLs.
const inTheField = `#!/bin/bash
set -ex
report() {{
  curl -k "https://{upstream_auth_address}/api/set_server_status?token={checkin_jwt}" -H 'Content-Type: application/json' -d '{{"status": "'"$1"'", "status_progress": 50}}'
}}
NAME=${{HOSTNAME:-{server_hostname}}}
report "starting ${{NAME}}"
install.sh -m "{upstream_auth_address}" -i {server_id} -r {provider_name} -M {manager_token} -F "{server_external_fqdn}"
`

func TestRenderInTheField(t *testing.T) {
	t.Parallel()
	if problems := startup.Check(inTheField, startup.Channel{Form: startup.FormCloudInit}); len(problems) > 0 {
		t.Fatalf("problems: %v", problems)
	}
	got, problems := startup.Render(inTheField, map[string]string{
		"upstream_auth_address": "head.example.com", "checkin_jwt": "hrc_1", "server_hostname": "hr-1", "server_id": "01j",
		"provider_name": "aws", "manager_token": "hrr_1",
	})
	want := `#!/bin/bash
set -ex
report() {
  curl -k "https://head.example.com/api/set_server_status?token=hrc_1" -H 'Content-Type: application/json' -d '{"status": "'"$1"'", "status_progress": 50}'
}
NAME=${HOSTNAME:-hr-1}
report "starting ${NAME}"
install.sh -m "head.example.com" -i 01j -r aws -M hrr_1 -F ""
`
	if diff := cmp.Diff(want, got); diff != "" || problems != nil {
		t.Errorf("rendered, problems %v:\n%s", problems, diff)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	linux := startup.Channel{Form: startup.FormCloudInit, Limit: 16384}
	plain := startup.Channel{Form: startup.FormPlain}
	windows := startup.Channel{Form: startup.FormCloudbase, System: startup.Windows}
	for name, c := range map[string]struct {
		script string
		ch     startup.Channel
		want   []string
	}{
		"nothing":         {"", startup.Channel{}, nil},
		"a clean script":  {"#!/bin/sh\necho {server_id} ${{HOME}}\n", linux, nil},
		"a stray {":       {"#!/bin/sh\necho ${HOME}\n", linux, []string{`line 2, column 7: there is no variable {HOME}: write {{HOME}} if`}},
		"a brace alone":   {"#!/bin/sh\nf() {\n:\n}\n", linux, []string{"line 2, column 5: this { begins no variable", "line 4, column 1: this } ends no variable"}},
		"a misspelt name": {"#!/bin/sh\n# ünï {server_hostnam}\n", linux, []string{`line 2, column 7: there is no variable {server_hostnam}: did you mean {server_hostname}? write`}},
		"an unknown name": {"#!/bin/sh\necho {nothing_like_it_at_all}\n", linux, []string{"write {{nothing_like_it_at_all}} if the braces are part of the script"}},
		"an open end":     {"#!/bin/sh\necho {server_id", linux, []string{"line 2, column 6: this { begins no variable"}},
		"broken Bash":     {"#!/bin/bash\nif true; then\n  echo {server_id}\n", linux, []string{"Bash cannot read this"}},
		"a directory": {
			"#!/bin/sh\n[ -z \"{domain}\" ] || join {domain} {ad_join_credential} {{domain}}\n", linux,
			[]string{"line 2, column 7: {domain} is always empty: no directory", "line 2, column 36: {ad_join_credential} is always empty"},
		},
		"no script wanted": {"#!/bin/sh\n", startup.Channel{}, []string{"run no startup script"}},
		"too large":        {"#!/bin/sh\n" + strings.Repeat("#", startup.MaxScript), linux, []string{"are the most"}},
		"a zero byte":      {"#!/bin/sh\n\x00", linux, []string{"zero byte"}},
		"Bash on Windows":  {"#!/bin/bash\n", windows, []string{"line 1: the script is a shell script by its first line, but the machines run Windows"}},
		"PowerShell":       {"<powershell>\nGet-Date {{}}\n</powershell>", windows, nil},
		"on Linux":         {"<powershell>\nGet-Date\n</powershell>", linux, []string{"line 1: the script is PowerShell by its first line, but the machines run Linux"}},
		"batch on Linux":   {"@echo off\r\n", linux, []string{"the script is a batch file"}},
		"a cloud-config":   {"#cloud-config\npackages: [jq]\n", linux, nil},
		"without reader":   {"#cloud-config\npackages: [jq]\n", plain, []string{"no cloud-init reads it"}},
		"Python":           {"#!/usr/bin/env python3\nprint({{}})\n", plain, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := startup.Check(c.script, c.ch)
			if len(got) != len(c.want) {
				t.Fatalf("problems %v, expected %q", got, c.want)
			}
			for i, p := range got {
				if !strings.Contains(p.String(), c.want[i]) {
					t.Errorf("problem %q, expected %q", p, c.want[i])
				}
				if p.Warning != (name == "broken Bash" || name == "a directory") {
					t.Errorf("problem %q: a warning is %v", p, p.Warning)
				}
			}
		})
	}
}

// TestRenderBraces: doubling the braces of any text makes a script that renders
// as that text.
func TestRenderBraces(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.RuneFrom([]rune("ab{}\n$ü_"))).Draw(t, "text")
		doubled := strings.NewReplacer("{", "{{", "}", "}}").Replace(text)
		if got, problems := startup.Render(doubled, nil); got != text || problems != nil {
			t.Fatalf("%q rendered as %q, %v; expected %q", doubled, got, problems, text)
		}
	})
}

func FuzzRender(f *testing.F) {
	f.Add(inTheField)
	f.Add("{server_id}{{}}{")
	f.Fuzz(func(t *testing.T, script string) {
		got, problems := startup.Render(script, startup.Samples())
		if len(problems) > 0 && got != "" {
			t.Errorf("rendered in spite of %v", problems)
		}
		for _, p := range problems {
			if lines := strings.Count(script, "\n") + 1; p.Line < 1 || p.Line > lines || p.Column < 1 {
				t.Errorf("%q is not in the script of %d lines", p, lines)
			}
		}
	})
}
