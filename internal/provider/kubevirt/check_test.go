package kubevirt

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/kubevm"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/test/kuberig"
)

// findings are those of a check that are not in order, as "verdict subject:
// message".
func (b *bench) findings(t *testing.T, s Settings) []string {
	t.Helper()
	report, err := b.open(t, s).Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range report.Findings {
		if f.Verdict == provider.VerdictOK {
			continue
		}
		out = append(out, string(f.Verdict)+" "+f.Subject+": "+f.Message)
		if f.Remedy == "" {
			t.Errorf("%s has no remedy", f.Subject)
		}
		if strings.Contains(f.Message+f.Remedy, s.APIToken) && s.APIToken != "" {
			t.Errorf("%s shows the token", f.Subject)
		}
	}
	return out
}

// expect wants exactly one finding that holds the words.
func expect(t *testing.T, found []string, words ...string) {
	t.Helper()
	if len(found) != 1 {
		t.Fatalf("%d findings, expected 1 with %q:\n%s", len(found), words, strings.Join(found, "\n"))
	}
	for _, w := range words {
		if !strings.Contains(found[0], w) {
			t.Errorf("%q does not say %q", found[0], w)
		}
	}
}

// With each right of the documented role missing in turn, the check names that
// right and no other; with all of them, and a look at the storage classes, it
// finds nothing.
func TestOneRightMissing(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.LookAround(t, page)
	if found := b.findings(t, b.settings(nil)); len(found) > 0 {
		t.Fatalf("with the documented rights: %s", strings.Join(found, "\n"))
	}
	for _, r := range b.driver.Rights() {
		t.Run(r.Verb+" "+r.Resource.Resource, func(t *testing.T) {
			t.Parallel()
			s := b.settings(func(s *Settings) { s.APIToken = b.Without(t, r.Verb, r.Resource.Resource) })
			var failed []string
			for _, f := range b.findings(t, s) {
				if strings.HasPrefix(f, "failed ") { // it may not look at storage classes
					failed = append(failed, f)
				}
			}
			expect(t, failed, "right to "+r.Verb+" "+r.Resource.GroupResource().String(), "the credentials lack it")
		})
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := nobody.Addr().String()
	nobody.Close()
	answer := func(path, body string) func(*bench) {
		return func(b *bench) {
			b.proxy.Answer(1, func(r *http.Request) bool { return r.URL.Path == path }, http.StatusOK, http.Header{"Content-Type": {"application/json"}}, body)
		}
	}
	const kubeVirt13 = `{"gitVersion":"v1.3.0"}`
	for name, c := range map[string]struct {
		change  func(*bench, *Settings)
		prepare func(*bench)
		words   []string
	}{
		"nobody listens":      {change: func(_ *bench, s *Settings) { s.KubeHost = "https://" + closed }, words: []string{"failed API server", "nothing listens"}},
		"wrong certificate":   {change: func(b *bench, s *Settings) { s.CACert = string(b.CA) }, words: []string{"failed API server", "an authority that is not trusted"}},
		"wrong name":          {change: func(b *bench, s *Settings) { s.KubeHost = "https://no-such-host.invalid" }, words: []string{"failed API server", "no-such-host.invalid"}},
		"wrong token":         {change: func(_ *bench, s *Settings) { s.APIToken = "rubbish" }, words: []string{"failed API server", "does not accept the credentials"}},
		"no Kubernetes":       {prepare: answer("/version", `{"welcome":"nginx"}`), words: []string{"failed API server", "not as a Kubernetes API server"}},
		"plain web page":      {prepare: answer("/version", `<html>`), words: []string{"failed API server", "not that of a Kubernetes API server"}},
		"no KubeVirt":         {prepare: answer("/apis/kubevirt.io/v1", `{"resources":[]}`), words: []string{"failed KubeVirt", "does not know virtualmachines"}},
		"KubeVirt 1.3":        {prepare: answer("/apis/subresources.kubevirt.io/v1/version", kubeVirt13), words: []string{"warning KubeVirt version", "v1.3.0", "GKE"}},
		"no source":           {change: func(_ *bench, s *Settings) { s.DiskSource = "nobodys" }, words: []string{"failed disk source", "nobodys", "not found"}},
		"disk is too small":   {change: func(_ *bench, s *Settings) { s.DiskSize = 1 }, words: []string{"failed disk source", "has 2Gi, more than disk_size 1 GiB"}},
		"no data volume":      {change: func(_ *bench, s *Settings) { s.DiskSourceType = SourceDataVolume }, words: []string{"failed disk source", "DataVolume"}},
		"local-path":          {change: func(_ *bench, s *Settings) { s.StorageClass = kuberig.ClassLocalPath }, words: []string{"failed storage class", "rancher.io/local-path", "KIND", "cannot be cloned"}},
		"waiting class":       {change: func(_ *bench, s *Settings) { s.StorageClass = kuberig.ClassWaits }, words: []string{"warning storage class", "WaitForFirstConsumer"}},
		"no such class":       {change: func(_ *bench, s *Settings) { s.StorageClass = "nobodys" }, words: []string{"failed storage class nobodys", "none of that name"}},
		"refused by KubeVirt": {change: func(_ *bench, s *Settings) { s.NetworkType, s.NetworkName = kubevm.NetworkMultus, "lan" }, words: []string{"failed manifest", "Masquerade interface only"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil)
			b.LookAround(t, page)
			if c.prepare != nil {
				c.prepare(b)
			}
			expect(t, b.findings(t, b.settings(func(s *Settings) {
				if c.change != nil {
					c.change(b, s)
				}
			})), c.words...)
		})
	}
	t.Run("KubeVirt 1.3 on GKE", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, nil)
		b.LookAround(t, page)
		answer("/version", `{"gitVersion":"v1.33.5-gke.1080000"}`)(b)
		answer("/apis/subresources.kubevirt.io/v1/version", kubeVirt13)(b)
		expect(t, b.findings(t, b.settings(nil)), "failed KubeVirt version", "keeps machines from running there")
	})
	t.Run("default class", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, nil)
		b.LookAround(t, page)
		if found := b.findings(t, b.settings(func(s *Settings) { s.StorageClass = "" })); len(found) > 0 {
			t.Error(strings.Join(found, "\n"))
		}
	})
	t.Run("classes may not be read", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, nil)
		expect(t, b.findings(t, b.settings(nil)), "warning storage class", "may not look")
	})
	t.Run("override", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, nil)
		if found := b.findings(t, b.settings(steered(nil, nil))); len(found) > 0 {
			t.Error(strings.Join(found, "\n"))
		}
	})
	t.Run("quota", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, nil)
		b.LookAround(t, page)
		b.Quota(t, "0")
		expect(t, b.findings(t, b.settings(nil)), "warning manifest", "exceeded quota")
	})
}

// A kubeconfig reaches the cluster as host and token do.
func TestKubeconfig(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.LookAround(t, page)
	s := b.settings(func(s *Settings) {
		s.Kubeconfig = kubeconfigOf(s.KubeHost, s.CACert, s.APIToken)
		s.KubeHost, s.CACert, s.APIToken = "", "", ""
	})
	if wrong := s.Validate(); wrong != nil {
		t.Fatal(wrong)
	}
	if found := b.findings(t, s); len(found) > 0 {
		t.Error(strings.Join(found, "\n"))
	}
}

func TestChoices(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	for _, setting := range []string{"namespace", "storage_class", "network_name"} {
		if _, err := b.driver.Choices(t.Context(), setting); provider.ClassOf(err) != provider.Forbidden {
			t.Errorf("choices of %s, which the least rights do not allow: %v", setting, err)
		}
	}
	b.LookAround(t, page)
	req := b.request()
	if _, err := b.driver.Create(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	b.until(t, req.Name, provider.StateRunning)
	sources, err := b.driver.Choices(t.Context(), "disk_source")
	if err != nil || len(sources) != 1 || sources[0].Value != source { // not the disk of the machine
		t.Errorf("disk sources: %+v, %v", sources, err)
	}
	classes, err := b.driver.Choices(t.Context(), "storage_class")
	if err != nil || len(classes) < 3 {
		t.Errorf("storage classes: %+v, %v", classes, err)
	}
	if spaces, err := b.driver.Choices(t.Context(), "namespace"); err != nil || len(spaces) == 0 {
		t.Errorf("namespaces: %+v, %v", spaces, err)
	}
	if _, err := b.driver.Choices(t.Context(), "cores"); provider.ClassOf(err) != provider.Unsupported {
		t.Errorf("choices of a number: %v", err)
	}
	b.clear(t)
}
