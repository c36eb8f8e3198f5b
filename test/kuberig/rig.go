// Package kuberig lets tests use the Kubernetes rig: a real API server with
// KubeVirt's own admission webhooks and controller, which `make rig-kube`
// starts. Tests that need it skip with a word about it when it is not up; with
// HEADROOM_REQUIRE_KUBE=1, as in CI, they fail.
package kuberig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Env names the directory of a rig's state; without it the one below bin of the
// repository is used.
const Env = "HEADROOM_RIG_KUBE"

// RequireEnv is the variable that, set to 1, makes tests fail that would skip without a rig.
const RequireEnv = "HEADROOM_REQUIRE_KUBE"

// StorageClasses of the rig.
const (
	ClassImmediate = "rig-immediate" // the default: clones, binds at once
	ClassWaits     = "rig-waits"     // binds at the first consumer
	ClassLocalPath = "rig-local-path"
	ClassImage     = "longhorn-rig-image" // of an image of Harvester
)

// GPU is the one device that the rig's KubeVirt permits.
const GPU = "nvidia.com/TU104GL_Tesla_T4"

// The kinds of objects that tests look at.
var (
	Machines     = schema.GroupVersionResource{Group: "kubevirt.io", Version: "v1", Resource: "virtualmachines"}
	Guests       = schema.GroupVersionResource{Group: "kubevirt.io", Version: "v1", Resource: "virtualmachineinstances"}
	Volumes      = schema.GroupVersionResource{Group: "cdi.kubevirt.io", Version: "v1beta1", Resource: "datavolumes"}
	Sources      = schema.GroupVersionResource{Group: "cdi.kubevirt.io", Version: "v1beta1", Resource: "datasources"}
	Images       = schema.GroupVersionResource{Group: "harvesterhci.io", Version: "v1beta1", Resource: "virtualmachineimages"}
	Secrets      = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	Claims       = schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumeclaims"}
	Pods         = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	Quotas       = schema.GroupVersionResource{Version: "v1", Resource: "resourcequotas"}
	namespaces   = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	accounts     = schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}
	roles        = schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "roles"}
	bindings     = schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"}
	clusterRoles = schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"}
	clusterBinds = schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterrolebindings"}
)

// Rig is a running rig, seen as its administrator.
type Rig struct {
	Admin  dynamic.Interface
	Host   string // URL of the API server
	CA     []byte // PEM, of the authority that signed its certificate
	config *rest.Config
	dir    string // of the state
}

// Open finds the rig, or skips the test.
func Open(t testing.TB) *Rig {
	t.Helper()
	r, err := open(t.Context())
	if err != nil {
		if os.Getenv(RequireEnv) == "1" {
			t.Fatalf("the Kubernetes rig is not up, but %s=1 says that it must be: %v", RequireEnv, err)
		}
		t.Skipf("the Kubernetes rig is not up (%v): `make rig-kube` starts it", err)
	}
	return r
}

func open(ctx context.Context) (*Rig, error) {
	dir := os.Getenv(Env)
	if dir == "" {
		root, err := Root()
		if err != nil {
			return nil, err
		}
		dir = filepath.Join(root, "bin", "rigs", "kube", "state")
	}
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(dir, "admin.kubeconfig"))
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 500, 1000
	r := &Rig{Host: config.Host, CA: config.CAData, config: config, dir: dir}
	if r.Admin, err = dynamic.NewForConfig(config); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, err := r.Admin.Resource(Machines).List(ctx, metav1.ListOptions{Limit: 1}); err != nil {
		return nil, err
	}
	return r, nil
}

// Root is the directory of the repository.
func Root() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	return "", errors.Join(errors.New("no go.mod above the working directory"), err)
}

// Restart ends a process of the rig and starts it anew.
func (r *Rig) Restart(t testing.TB, process string) {
	t.Helper()
	program := filepath.Join(filepath.Dir(r.dir), "programs", "cluster")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, program, "restart", "--dir", r.dir, "--name", process).CombinedOutput(); err != nil {
		t.Fatalf("restarting %s: %v\n%s", process, err, out)
	}
}

// Eventually repeats look until it says nothing.
func Eventually(t testing.TB, patience time.Duration, look func() (wrong string)) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	over := time.NewTimer(patience)
	defer over.Stop()
	for {
		wrong := look()
		if wrong == "" {
			return
		}
		select {
		case <-tick.C:
		case <-over.C:
			t.Fatalf("still after %v: %s", patience, wrong)
		}
	}
}

// must is for calls of the administrator that have no reason to fail.
func must(t testing.TB, doing string, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w", doing, err))
	}
}
