package kuberig_test

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/headroom-dev/headroom/internal/manifest"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/kubevirt"
	"github.com/headroom-dev/headroom/internal/settings"
	"github.com/headroom-dev/headroom/test/kuberig"
)

const guide = "guide/kubevirt-on-gke.md"

// The manifests of the guide are applied as they stand, in a namespace of the
// test, and the provider that the guide describes makes a machine with the token
// that the guide reads. What gcloud, virtctl and the installation of KubeVirt do
// cannot be tried here.
func TestGuide(t *testing.T) {
	t.Parallel()
	rig := kuberig.Open(t)
	tenant := rig.Tenant(t, guide)
	tenant.LookAround(t, guide)
	class := ""
	var ours []*unstructured.Unstructured
	for _, doc := range kuberig.Manifests(t, guide) {
		switch {
		case doc.GetKind() == "StorageClass":
			class = doc.GetName()
			rig.StorageClass(t, doc)
		case doc.GetKind() == "Secret":
			doc.SetNamespace(tenant.Namespace)
			tenant.Make(t, kuberig.Secrets, doc)
		case strings.HasPrefix(doc.GetAPIVersion(), "headroom.dev/"):
			ours = append(ours, doc)
		}
	}
	kuberig.Eventually(t, time.Minute, func() string {
		if tenant.Token = tenant.Data(t, kuberig.Secrets, "headroom-token", "token"); tenant.Token == "" {
			return "the Secret of the guide has no token"
		}
		return ""
	})
	if !strings.Contains(tenant.Data(t, kuberig.Secrets, "headroom-token", "ca.crt"), "BEGIN CERTIFICATE") {
		t.Error("the Secret of the guide has no certificate")
	}

	var text strings.Builder
	var config map[string]any
	for _, doc := range ours {
		if doc.GetKind() == "VMProvider" {
			config, _, _ = unstructured.NestedMap(doc.Object, "spec", "settings")
			config["kube_host"], config["ca_cert"] = rig.Host, string(rig.CA)
			if err := unstructured.SetNestedMap(doc.Object, config, "spec", "settings"); err != nil {
				t.Fatal(err)
			}
		}
		b, err := doc.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString("---\n" + string(b))
	}
	kinds := manifest.KindSettings{VM: func(kind string) (func() any, []string, bool) {
		return kubevirt.Kind().NewSettings, []string{"kubevirt"}, kind == "kubevirt"
	}}
	right, _, wrong := manifest.Parse([]manifest.Source{{Name: guide, Text: text.String()}}, kinds)
	if len(wrong) > 0 || len(right) != len(ours) || len(ours) < 4 {
		t.Fatalf("%d of %d objects of the guide are right: %v", len(right), len(ours), wrong)
	}

	proxy := rig.Proxy(t)
	config["kube_host"], config["ca_cert"], config["api_token"], config["namespace"] = proxy.URL, proxy.CA, tenant.Token, tenant.Namespace
	var s kubevirt.Settings
	if wrong := settings.DecodeMap(config, &s, settings.Options{}); wrong != nil {
		t.Fatal(wrong)
	}
	settings.ApplyDefaults(&s)
	if s.StorageClass != class {
		t.Errorf("the provider uses storage class %q, the guide makes %q", s.StorageClass, class)
	}
	tenant.Claim(t, s.DiskSource, "25Gi", nil)
	tenant.Begin(t)
	d, err := kubevirt.Kind().Open(t.Context(), &s, provider.Host{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	report, err := d.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Findings {
		if f.Verdict != provider.VerdictOK {
			t.Errorf("the check finds: %s %s: %s", f.Verdict, f.Subject, f.Message)
		}
	}
	req := provider.Request{
		Token: "t", Name: "hr-guide", Bootstrap: provider.Bootstrap{UserData: []byte("#!/bin/bash\n")},
		Tags: provider.Tags{Installation: "01jguide", Server: "01jserver", AutoscaleConfig: "kubevirt", Provider: "gke"},
	}
	if _, err := d.Create(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	kuberig.Eventually(t, 2*time.Minute, func() string {
		i, err := d.Get(t.Context(), req.Name)
		if err != nil || i.State != provider.StateRunning || len(i.Addresses) != 1 {
			return "the machine does not run: " + string(i.State) + " " + i.Fault
		}
		return ""
	})
	kuberig.Eventually(t, 2*time.Minute, func() string {
		if err := d.Delete(t.Context(), req.Name); provider.ClassOf(err) != provider.NotFound {
			return "the machine is not gone"
		}
		return strings.Join(tenant.Leftovers(t), ", ")
	})
}
