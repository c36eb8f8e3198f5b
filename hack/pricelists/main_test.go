package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const awsFile = `[
  {"instance_type": "m5.large", "pricing": {
    "us-east-1": {"linux": {"ondemand": "0.096"}, "mswin": {"ondemand": "0.188"}, "emr": "0.02", "ebs": null},
    "eu-west-1": {"linux": {"ondemand": "0.107"}, "mswin": {"ondemand": "0.199"}},
    "us-west-2-lax-1": {"linux": {"ondemand": "0.115"}}}},
  {"instance_type": "m6g.large", "pricing": {
    "us-east-1": {"linux": {"ondemand": "0.077"}}, "eu-west-1": {"linux": {"ondemand": "0.086"}}}},
  {"instance_type": "p5.48xlarge", "pricing": {
    "us-east-1": {"linux": {"ondemand": "98.32"}, "mswin": {"ondemand": "107.15"}}, "eu-west-1": {"linux": {"ondemand": "98.32"}, "mswin": {"ondemand": "107.15"}}}},
  {"instance_type": "new.large", "pricing": {"eu-west-1": {"linux": {"ondemand": "0.2"}, "mswin": {"ondemand": "N/A"}}}},
  {"instance_type": "t2.small", "pricing": {
    "us-east-1": {"linux": {"ondemand": "0.023"}, "mswin": {"ondemand": "0.032"}}, "eu-west-1": {"linux": {"ondemand": "0.025"}, "mswin": {"ondemand": "0.035"}}}}
]`

// TestAWS makes lists of a small file: what the second source contradicts or does
// not know is left out, and the second source has its region to itself.
func TestAWS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	err := run([]string{
		"aws", "-from", write("instances.json", awsFile), "-date", "2025-04-01",
		"-known", write("known.csv", "us-east-1,m5.large,0.096\nus-east-1,m6g.large,0.077\nus-east-1,p5.48xlarge,55.04\nus-east-1,t2.small,0.023\n"),
		"-known-date", "2026-07-20", "-out", dir,
	}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	const top = "# Made by hack/pricelists. See README.md for where the figures are from.\nkind,part,os,currency,date,source\n"
	for file, want := range map[string]string{
		"aws.machines-known.sheet.csv": top + "aws,machine,linux,USD,2026-07-20," + awsPage + "\nname,us-east-1\nm5.large,0.096\nm6g.large,0.077\np5.48xlarge,55.04\nt2.small,0.023\n",
		"aws.machines.sheet.csv":       top + "aws,machine,linux,USD,2025-04-01," + awsPage + "\nname,eu-west-1\nm5.large,0.107\nm6g.large,0.086\nt2.small,0.025\n",
		"aws.windows.sheet.csv": top + "aws,license,,USD,2025-04-01," + awsPage + "\nname,*,eu-west-1,us-east-1\nwindows m5.large,0.092,,\n" +
			"windows p5.48xlarge,8.83,,\nwindows t2.small,,0.01,0.009\n",
	} {
		got, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s:\n%s", file, diff)
		}
	}
}

// TestCommon keeps a licence by region where a region that sells the machine has
// none, or where few agree.
func TestCommon(t *testing.T) {
	t.Parallel()
	machines := map[string]float64{"a": 0.1, "b": 0.12, "c": 0.11, "d": 0.13, "e": 0.2}
	sold := func(string) map[string]float64 { return machines }
	for name, c := range map[string]struct{ in, want map[string]float64 }{
		"all alike":     {map[string]float64{"a": 0.092, "b": 0.092, "c": 0.0925, "d": 0.092, "e": 0.092}, map[string]float64{"*": 0.092}},
		"one differs":   {map[string]float64{"a": 0.092, "b": 0.092, "c": 0.092, "d": 0.092, "e": 0.1}, map[string]float64{"*": 0.092, "e": 0.1}},
		"one is unsaid": {map[string]float64{"a": 0.092, "b": 0.092, "c": 0.092, "d": 0.092}, map[string]float64{"a": 0.092, "b": 0.092, "c": 0.092, "d": 0.092}},
		"few agree":     {map[string]float64{"a": 0.092, "b": 0.1, "c": 0.11, "d": 0.12, "e": 0.092}, map[string]float64{"a": 0.092, "b": 0.1, "c": 0.11, "d": 0.12, "e": 0.092}},
	} {
		got := table{"windows x": c.in}
		got.common(sold)
		if diff := cmp.Diff(table{"windows x": c.want}, got); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

func TestAzureNames(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"instance_type": "d4sv5", "pretty_name_azure": "Standard D4s v5"}`:             "Standard_D4s_v5",
		`{"instance_type": "nc4ast4v3", "pretty_name_azure": "NC4as T4 v3"}`:             "Standard_NC4as_T4_v3",
		`{"instance_type": "nv12adsv5", "pretty_name_azure": "NV12ads A10 v5"}`:          "Standard_NV12ads_A10_v5",
		`{"instance_type": "nv8adsv710v5", "pretty_name_azure": "NV8ads v710 v5"}`:       "Standard_NV8ads_V710_v5",
		`{"instance_type": "nd96isrmi300xv5", "pretty_name_azure": "ND96isr MI300X v5"}`: "Standard_ND96isr_MI300X_v5",
		`{"instance_type": "b2ms", "pretty_name_azure": "Standard B2ms"}`:                "Standard_B2ms",
		`{"instance_type": "ds11", "pretty_name_azure": "DS11"}`:                         "Standard_DS11",
		`{"instance_type": "d11s", "pretty_name_azure": "D11s"}`:                         "",
		`{"instance_type": "e96ndsv6", "pretty_name_azure": "E96nds v4"}`:                "",
		`{"instance_type": "a0", "pretty_name_azure": "Basic A0"}`:                       "",
		`{"instance_type": "e4", "pretty_name_azure": "E4-2ads v5"}`:                     "",
	} {
		var m machine
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			t.Fatal(err)
		}
		if got := m.azureName(); got != want {
			t.Errorf("%s is %q, want %q", text, got, want)
		}
	}
}
