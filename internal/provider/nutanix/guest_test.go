package nutanix

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/nutanix/fakenutanix"
)

// answers is what Windows Setup reads of an answer file.
type answers struct {
	XMLName  xml.Name `xml:"urn:schemas-microsoft-com:unattend unattend"`
	Settings []struct {
		Pass       string `xml:"pass,attr"`
		Components []struct {
			Name     string `xml:"name,attr"`
			Computer string `xml:"ComputerName"`
			Commands []struct {
				Order int    `xml:"Order"`
				Path  string `xml:"Path"`
			} `xml:"RunSynchronous>RunSynchronousCommand"`
		} `xml:"component"`
	} `xml:"settings"`
	Script string `xml:"https://headroom.dev/startup headroom"`
}

func readAnswers(t interface{ Fatalf(string, ...any) }, file []byte) (a answers, commands []string) {
	if err := xml.Unmarshal(file, &a); err != nil {
		t.Fatalf("the answer file is no XML: %v\n%s", err, file)
	}
	for _, s := range a.Settings {
		for _, c := range s.Components {
			for i, run := range c.Commands {
				if run.Order != i+1 || s.Pass != pass {
					t.Fatalf("command %d has order %d in pass %s", i, run.Order, s.Pass)
				}
				commands = append(commands, run.Path)
			}
		}
	}
	return a, commands
}

func TestAnswerFileCarriesAnyScript(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		script := append([]byte("#\n"), rapid.SliceOfN(rapid.Byte(), 0, 2000).Draw(t, "script")...)
		file, err := answerFile("hr-abc", script)
		if err != nil {
			t.Fatalf("%v", err)
		}
		a, commands := readAnswers(t, file)
		if got, err := base64.StdEncoding.DecodeString(a.Script); err != nil || !bytes.Equal(got, script) {
			t.Fatalf("the script came back as %q, %v", got, err)
		}
		if len(commands) != 2 {
			t.Fatalf("commands %q", commands)
		}
	})
}

func TestAnswerFile(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ script, runs string }{
		"PowerShell":           {"Write-Host hello\n", ".ps1"},
		"batch":                {"@echo off\r\nmkdir C:\\x\r\n", ".cmd"},
		"batch by a remark":    {"rem cmd\r\n", ".cmd"},
		"batch by a label":     {"::set up\r\n", ".cmd"},
		"something like batch": {"remove-item x\n", ".ps1"},
		"nothing":              {"", ""},
	} {
		file, err := answerFile("hr-a&<b>", []byte(tt.script))
		if err != nil {
			t.Fatal(err)
		}
		a, commands := readAnswers(t, file)
		if a.Settings[0].Components[0].Computer != "hr-a&<b>" {
			t.Errorf("%s: computer name %q", name, a.Settings[0].Components[0].Computer)
		}
		if tt.runs == "" {
			if len(commands) > 0 || a.Script != "" {
				t.Errorf("%s: runs %q", name, commands)
			}
			continue
		}
		if len(commands) != 2 || !strings.Contains(commands[1], tt.runs) {
			t.Errorf("%s: runs %q, expected %s", name, commands, tt.runs)
		}
		for _, c := range commands {
			if len(c) > 259 {
				t.Errorf("%s: a command has %d characters, Setup takes 259: %s", name, len(c), c)
			}
		}
	}
	// The largest script fits into what the API takes: 32,000 characters of base64.
	file, err := answerFile("hr-abcdefghijkl", bytes.Repeat([]byte{'x'}, windowsScript))
	if n := base64.StdEncoding.EncodedLen(len(file)); err != nil || n > 32000 {
		t.Errorf("the largest answer file takes %d characters, %v", n, err)
	}
	for _, own := range []string{"<unattend xmlns=\"x\"/>", "\ufeff<?xml version=\"1.0\"?>\n<!-- mine -->\n<unattend>\n</unattend>"} {
		if got, err := answerFile("hr-x", []byte(own)); err != nil || string(got) != own {
			t.Errorf("an answer file of the operator's own became %q, %v", got, err)
		}
	}
}

func TestGuestOfWindows(t *testing.T) {
	t.Parallel()
	s := prismCentral(t, fakenutanix.Options{})
	settings := settingsOf(s)
	settings.Windows = true
	d := driverOf(t, settings)
	req := wish("windows")
	req.Bootstrap.UserData = bytes.Repeat([]byte{'x'}, windowsScript)
	i, err := d.Create(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	file, _ := s.Guest(i.ID)
	a, _ := readAnswers(t, file)
	if script, err := base64.StdEncoding.DecodeString(a.Script); err != nil || !bytes.Equal(script, req.Bootstrap.UserData) {
		t.Errorf("the script did not arrive: %v", err)
	}
	req = wish("too large")
	req.Bootstrap.UserData = bytes.Repeat([]byte{'x'}, windowsScript+1)
	if _, err := d.Create(t.Context(), req); provider.ClassOf(err) != provider.Invalid || !strings.Contains(err.Error(), "16384") {
		t.Errorf("a script that is too large: %v", err)
	}
}

func TestGuestOfLinux(t *testing.T) {
	t.Parallel()
	s := prismCentral(t, fakenutanix.Options{})
	settings := settingsOf(s)
	settings.SSHPublicKey = testKey + "\n"
	d := driverOf(t, settings)
	req := wish("linux")
	req.Bootstrap.UserData = nil
	i, err := d.Create(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	data, meta := s.Guest(i.ID)
	if !strings.HasPrefix(string(data), "#cloud-config\n") {
		t.Errorf("without a script, user data is %q", data)
	}
	var got map[string]any
	if err := json.Unmarshal(meta, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"uuid": i.ID, "hostname": req.Name, "public_keys": map[string]any{"headroom": testKey}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
