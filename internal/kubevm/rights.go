package kubevm

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/headroom-dev/headroom/internal/provider"
)

// Right is a permission that the credentials need.
type Right struct {
	Verb      string
	Resource  schema.GroupVersionResource
	Namespace string // empty: that of the machines
	For       string // what it is for
}

// rights are those that every kind needs, in the namespace of the machines.
func rights() []Right {
	var out []Right
	for _, need := range []struct {
		kind  schema.GroupVersionResource
		verbs map[string]string
	}{
		{machines, map[string]string{
			"create": "making machines", "get": "looking at machines", "list": "finding machines", "delete": "deleting machines",
		}},
		{instances, map[string]string{
			"get": "reading the addresses of machines", "list": "reading the addresses of machines",
			"delete": "ending guests that are left of machines",
		}},
		{secrets, map[string]string{
			"create": "delivering the startup script", "patch": "tying the startup script to its machine",
			"list": "finding what is left of machines", "delete": "removing what is left of machines",
		}},
		{claims, map[string]string{"list": "finding disks that are left of machines", "delete": "removing disks that are left of machines"}},
	} {
		for _, verb := range []string{"create", "get", "list", "patch", "delete"} {
			if why, needed := need.verbs[verb]; needed {
				out = append(out, Right{Verb: verb, Resource: need.kind, For: why})
			}
		}
	}
	return out
}

// DiskRights are needed where disks are DataVolumes.
func DiskRights() []Right {
	return []Right{
		{Verb: "list", Resource: dataVolumes, For: "seeing why a disk is not made, and finding disks that are left of machines"},
		{Verb: "delete", Resource: dataVolumes, For: "removing disks that are left of machines"},
	}
}

// Rights lists all that the driver needs.
func (d *Driver) Rights() []Right {
	all := append(rights(), d.Options.Rights...)
	for i := range all {
		if all[i].Namespace == "" {
			all[i].Namespace = d.Access.Namespace
		}
	}
	return all
}

// allowed asks the API server whether the credentials have a right.
func (d *Driver) allowed(ctx context.Context, r Right) (bool, error) {
	ask := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
		"spec": map[string]any{"resourceAttributes": map[string]any{
			"verb": r.Verb, "group": r.Resource.Group, "resource": r.Resource.Resource, "namespace": r.Namespace,
		}},
	}}
	answer, err := d.Objects.Resource(reviews).Create(ctx, ask, metav1.CreateOptions{})
	if err != nil {
		return false, failure("asking for the right to "+r.Verb+" "+r.Resource.Resource, err)
	}
	yes, _, _ := unstructured.NestedBool(answer.Object, "status", "allowed")
	return yes, nil
}

// checkRights adds a finding for each right.
func (c *Checkup) checkRights(ctx context.Context) error {
	for _, r := range c.Driver.Rights() {
		subject := fmt.Sprintf("right to %s %s in namespace %s", r.Verb, r.Resource.GroupResource(), r.Namespace)
		yes, err := c.Driver.allowed(ctx, r)
		if err != nil {
			return err
		}
		if yes {
			c.OK(subject, "")
			continue
		}
		c.lacks[r.Verb+" "+r.Resource.Resource+" "+r.Namespace] = true
		c.Failed(subject, "the credentials lack it; it is needed for "+r.For,
			fmt.Sprintf("add the verb %s on %s of API group %q to the role in namespace %s", r.Verb, r.Resource.Resource, r.Resource.Group, r.Namespace))
	}
	return nil
}

// Lacks says that a right was found to be missing.
func (c *Checkup) Lacks(verb string, kind schema.GroupVersionResource, namespace string) bool {
	return c.lacks[verb+" "+kind.Resource+" "+namespace]
}

func (c *Checkup) add(f provider.Finding) { c.report.Findings = append(c.report.Findings, f) }

// OK adds a good finding.
func (c *Checkup) OK(subject, message string) {
	c.add(provider.Finding{Subject: subject, Verdict: provider.VerdictOK, Message: message})
}

// Warn adds a finding that does not keep machines from being made.
func (c *Checkup) Warn(subject, message, remedy string) {
	c.add(provider.Finding{Subject: subject, Verdict: provider.VerdictWarning, Message: message, Remedy: remedy})
}

// Failed adds a finding that does.
func (c *Checkup) Failed(subject, message, remedy string) {
	c.add(provider.Finding{Subject: subject, Verdict: provider.VerdictFailed, Message: message, Remedy: remedy})
}
