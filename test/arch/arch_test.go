// Package arch_test holds the rules of the source tree itself: which package may
// import which, how long a file may be, what a package may not be called, that
// nothing sleeps, and that a kind of cloud lives in its own folder.
package arch_test

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestTree(t *testing.T) {
	t.Parallel()
	files, err := load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("found %d Go files: this is not the tree", len(files))
	}
	for _, v := range violations(files) {
		t.Error(v)
	}
}

// TestRules shows each rule a tree that breaks it, so that a rule which cannot
// fail is noticed.
func TestRules(t *testing.T) {
	t.Parallel()
	const ours = `"github.com/headroom-dev/headroom/internal/`
	imports := func(pkg string, paths ...string) string {
		return "package " + pkg + "\nimport (\n_ " + strings.Join(paths, "\n_ ") + "\n)\n"
	}
	for name, c := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"a clean tree": {
			files: map[string]string{
				"internal/fleet/a.go":           imports("fleet", `"time"`),
				"internal/plan/a.go":            imports("plan", ours+`fleet"`),
				"internal/provider/aws/a.go":    imports("aws", ours+`provider"`, ours+`fleet"`) + "const name = \"aws\"\n",
				"internal/provider/all/a.go":    "package all\nimport " + ours + "provider/aws\"\nvar _ = aws.Kind()\nvar _ aws.Account\n",
				"internal/api/a.go":             imports("api", ours+`service"`, `"github.com/danielgtaylor/huma/v2"`),
				"internal/control/a_test.go":    imports("control_test", ours+`app"`, ours+`provider/aws"`),
				"cmd/headroom/main.go":          imports("main", ours+`app"`, ours+`cli"`),
				"internal/app/a.go":             imports("app", ours+`provider/all"`, ours+`api"`),
				"test/e2e/e2e_test.go":          imports("e2e_test", ours+`store/storetest"`),
				"internal/store/storetest/a.go": imports("storetest", ours+`store"`, `"database/sql"`),
			},
		},
		"upwards": {
			files: map[string]string{"internal/store/a.go": imports("store", ours+`control"`)},
			want:  []string{"internal/store/a.go: imports github.com/headroom-dev/headroom/internal/control: it lies above"},
		},
		"peers": {
			files: map[string]string{"internal/service/a.go": imports("service", ours+`control"`)},
			want:  []string{"internal/service/a.go: imports github.com/headroom-dev/headroom/internal/control: it is a peer; what both need belongs below them"},
		},
		"two drivers": {
			files: map[string]string{
				"internal/provider/aws/a.go": imports("aws", ours+`provider/gcp"`),
				"internal/provider/gcp/a.go": "package gcp\n",
			},
			want: []string{"internal/provider/aws/a.go: imports github.com/headroom-dev/headroom/internal/provider/gcp: only provider/all may"},
		},
		"a driver of several folders": {
			files: map[string]string{
				"internal/provider/aws/a.go":         imports("aws", ours+`provider/aws/api"`),
				"internal/provider/aws/a_test.go":    imports("aws_test", ours+`provider/aws/fakeaws"`),
				"internal/provider/aws/api/a.go":     "package api\n",
				"internal/provider/aws/fakeaws/a.go": imports("fakeaws", ours+`provider/aws/api"`),
			},
		},
		"a driver with its stand-in": {
			files: map[string]string{
				"internal/provider/aws/a.go":         imports("aws", ours+`provider/aws/fakeaws"`),
				"internal/provider/aws/fakeaws/a.go": "package fakeaws\n",
			},
			want: []string{"internal/provider/aws/a.go: imports github.com/headroom-dev/headroom/internal/provider/aws/fakeaws: a stand-in for the cloud is for tests"},
		},
		"a driver outside of provider/all": {
			files: map[string]string{"internal/app/a.go": imports("app", ours+`provider/gcp"`)},
			want:  []string{"internal/app/a.go: imports github.com/headroom-dev/headroom/internal/provider/gcp: only provider/all may"},
		},
		"a simulated cloud in app": {
			files: map[string]string{"internal/app/a.go": imports("app", ours+`provider/sim"`)},
		},
		"a simulated cloud in control": {
			files: map[string]string{"internal/control/a.go": imports("control", ours+`provider/sim"`)},
			want: []string{
				"internal/control/a.go: imports github.com/headroom-dev/headroom/internal/provider/sim: only provider/all may",
			},
		},
		"the framework outside of api": {
			files: map[string]string{"internal/service/a.go": imports("service", `"github.com/danielgtaylor/huma/v2/huma"`)},
			want:  []string{"internal/service/a.go: imports github.com/danielgtaylor/huma/v2/huma: only api and settings may"},
		},
		"a library in fleet": {
			files: map[string]string{"internal/fleet/a.go": imports("fleet", `"k8s.io/utils/clock"`)},
			want:  []string{"internal/fleet/a.go: imports k8s.io/utils/clock: fleet uses the standard library only"},
		},
		"plan knows more than fleet": {
			files: map[string]string{"internal/plan/a.go": imports("plan", ours+`settings"`)},
			want:  []string{"internal/plan/a.go: imports github.com/headroom-dev/headroom/internal/settings: it is a peer; what both need belongs below them"},
		},
		"the command line reaches around HTTP": {
			files: map[string]string{"internal/cli/a.go": imports("cli", ours+`store"`)},
			want:  []string{"internal/cli/a.go: imports github.com/headroom-dev/headroom/internal/store: cli may import only fleet, plan, price, client of ours"},
		},
		"a package without a place": {
			files: map[string]string{"internal/magic/a.go": "package magic\n"},
			want:  []string{"internal/magic/a.go: folder internal/magic has no place in the layers of test/arch: decide what it may import"},
		},
		"a kind named elsewhere": {
			files: map[string]string{
				"internal/provider/aws/a.go": "package aws\n",
				"internal/control/a.go":      "package control\nfunc f(k string) bool { return k == \"aws\" }\n",
			},
			want: []string{`internal/control/a.go: names the provider kind "aws": what differs between kinds belongs into provider.Kind or the driver`},
		},
		"a kind that is not listed": {
			files: map[string]string{
				"internal/provider/aws/a.go": "package aws\n",
				"internal/provider/all/a.go": "package all\n",
			},
			want: []string{"internal/provider/aws: provider/all refers to it 0 times; a kind is one import and one entry there"},
		},
		"sleeping, in a test": {
			files: map[string]string{"internal/plan/a_test.go": "package plan\nimport \"time\"\nfunc f() { time.Sleep(1) }\n"},
			want:  []string{"internal/plan/a_test.go: line 3 sleeps: wait for the thing itself, with a deadline"},
		},
		"a long file": {
			files: map[string]string{"internal/plan/a.go": "package plan\n" + strings.Repeat("\n", maxLines)},
			want:  []string{"internal/plan/a.go: 501 lines; split it, 500 are the most"},
		},
		"a long file that is generated": {
			files: map[string]string{"internal/plan/a.go": "// Code generated by x. DO NOT EDIT.\n\npackage plan\n" + strings.Repeat("\n", maxLines)},
		},
		"a vague name": {
			files: map[string]string{"internal/plan/a.go": "package utils\n"},
			want:  []string{"internal/plan/a.go: package utils: name it after what it does"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tree := fstest.MapFS{}
			for p, src := range c.files {
				tree[p] = &fstest.MapFile{Data: []byte(src)}
			}
			files, err := load(tree)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, violations(files)); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}
