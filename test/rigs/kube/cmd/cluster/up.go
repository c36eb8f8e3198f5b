package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/headroom-dev/headroom/test/rigs/kube/internal/keys"
	"github.com/headroom-dev/headroom/test/rigs/kube/internal/rigdir"
)

// controllers of kube-controller-manager that the life of objects needs:
// garbage collection, namespaces, ServiceAccounts and their tokens, quotas.
var controllers = []string{
	"garbage-collector-controller", "namespace-controller", "resourcequota-controller",
	"serviceaccount-controller", "serviceaccount-token-controller", "root-ca-certificate-publisher-controller",
	"persistentvolumeclaim-protection-controller", "clusterrole-aggregation-controller",
}

// rig is what the commands know of a rig.
type rig struct {
	dir   rigdir.Dir
	self  string // this program
	ports []string
}

// The use of each port.
const (
	portEtcd = iota
	portPeer
	portAPI
	portManager
	portVirtAPI
	portVirtController
	portsNeeded
)

func open(args []string, more func(*flag.FlagSet)) (*rig, error) {
	flags := flag.NewFlagSet("cluster", flag.ContinueOnError)
	dir := flags.String("dir", "", "directory of the rig")
	more(flags)
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if *dir == "" {
		return nil, errors.New("--dir is missing")
	}
	path, err := filepath.Abs(*dir)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(path, "keys"), 0o700); err != nil {
		return nil, err
	}
	r := &rig{dir: rigdir.Dir(path), self: self}
	r.ports, err = r.dir.Ports(portsNeeded)
	return r, err
}

func (r *rig) key(name string) string { return r.dir.Path("keys", name) }

func (r *rig) admin() string { return r.dir.Path("admin.kubeconfig") }

func up(args []string) error {
	var crds string
	r, err := open(args, func(f *flag.FlagSet) {
		f.StringVar(&crds, "crds", "", "directory of CustomResourceDefinitions to install besides those of KubeVirt and CDI")
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := r.makeKeys(); err != nil {
		return fmt.Errorf("making keys: %w", err)
	}
	began := time.Now()
	say := func(what string) { fmt.Fprintf(os.Stderr, "%5.1f s  %s\n", time.Since(began).Seconds(), what) }
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"etcd is started", r.startEtcd},
		{"kube-apiserver answers", r.startAPIServer},
		{"kube-controller-manager is started", r.startManager},
		{"CRDs, roles and KubeVirt's own objects are installed", r.virt("install", "--phase", "base", "--crds", crds)},
		{"virt-api answers", r.startVirtAPI},
		{"KubeVirt's webhooks are installed", r.virt("install", "--phase", "webhooks", "--port", r.ports[portVirtAPI])},
		{"virt-controller answers", r.startVirtController},
		{"the stand-in is started", r.startStandIn},
		{"virt-controller leads and the node is ready", r.virt("wait")},
	} {
		if err := step.do(ctx); err != nil {
			return err
		}
		say(step.what)
	}
	fmt.Println(r.admin())
	return nil
}

func (r *rig) makeKeys() error {
	ca, err := keys.Authority(r.key("ca"), "rig")
	if err != nil {
		return err
	}
	front, err := keys.Authority(r.key("front"), "rig front proxy")
	if err != nil {
		return err
	}
	if err := keys.Signing(r.key("tokens")); err != nil {
		return err
	}
	if err := ca.Issue(r.key("apiserver"), "kube-apiserver", "127.0.0.1", "localhost", "kubernetes.default.svc"); err != nil {
		return err
	}
	if err := front.Issue(r.key("front-client"), "front-client"); err != nil {
		return err
	}
	if err := ca.Issue(r.key("virt"), "virt", "127.0.0.1", "localhost", "virt-api.kubevirt.svc"); err != nil {
		return err
	}
	token, err := keys.Token(r.key("admin.token"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(r.key("static-tokens"), []byte(token+",rig-admin,rig-admin,system:masters\n"), 0o600); err != nil {
		return err
	}
	authority, err := os.ReadFile(r.key("ca.crt"))
	if err != nil {
		return err
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["rig"] = &clientcmdapi.Cluster{Server: "https://127.0.0.1:" + r.ports[portAPI], CertificateAuthorityData: authority}
	config.AuthInfos["admin"] = &clientcmdapi.AuthInfo{Token: token}
	config.Contexts["rig"] = &clientcmdapi.Context{Cluster: "rig", AuthInfo: "admin"}
	config.CurrentContext = "rig"
	return clientcmd.WriteToFile(*config, r.admin())
}

func (r *rig) startEtcd(context.Context) error {
	return r.dir.Start("etcd", r.self, "etcd", "--data", r.dir.Path("etcd"),
		"--client", "http://127.0.0.1:"+r.ports[portEtcd], "--peer", "http://127.0.0.1:"+r.ports[portPeer])
}

func (r *rig) startAPIServer(ctx context.Context) error {
	err := r.dir.Start("kube-apiserver", r.self, "kube-apiserver",
		"--etcd-servers=http://127.0.0.1:"+r.ports[portEtcd], "--etcd-compaction-interval=0",
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--secure-port="+r.ports[portAPI],
		"--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.0.0.0/24",
		"--tls-cert-file="+r.key("apiserver.crt"), "--tls-private-key-file="+r.key("apiserver.key"),
		"--client-ca-file="+r.key("ca.crt"), "--token-auth-file="+r.key("static-tokens"), "--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file="+r.key("tokens.pub"), "--service-account-signing-key-file="+r.key("tokens.key"),
		"--requestheader-client-ca-file="+r.key("front.crt"), "--requestheader-allowed-names=front-client",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file="+r.key("front-client.crt"), "--proxy-client-key-file="+r.key("front-client.key"),
		"--shutdown-delay-duration=0s", "--allow-privileged=true", "--profiling=false")
	if err != nil {
		return err
	}
	token, err := os.ReadFile(r.key("admin.token"))
	if err != nil {
		return err
	}
	return r.answers(ctx, "kube-apiserver", "https://127.0.0.1:"+r.ports[portAPI]+"/readyz", string(token))
}

func (r *rig) startManager(context.Context) error {
	return r.dir.Start("kube-controller-manager", r.self, "kube-controller-manager",
		"--kubeconfig="+r.admin(), "--authentication-kubeconfig="+r.admin(), "--authorization-kubeconfig="+r.admin(),
		"--bind-address=127.0.0.1", "--secure-port="+r.ports[portManager], "--leader-elect=false",
		"--controllers="+strings.Join(controllers, ","), "--use-service-account-credentials=false",
		"--service-account-private-key-file="+r.key("tokens.key"), "--root-ca-file="+r.key("ca.crt"))
}

func (r *rig) startVirtAPI(ctx context.Context) error {
	err := r.dir.Start("virt-api", r.self, "keep", r.sibling("virt-api"),
		"--listen", "127.0.0.1", "--port", r.ports[portVirtAPI], "--kubeconfig", r.dir.Path("kubevirt-apiserver.kubeconfig"),
		"--tls-cert-file", r.key("virt.crt"), "--tls-key-file", r.key("virt.key"),
		"--handler-cert-file", r.key("virt.crt"), "--handler-key-file", r.key("virt.key"))
	if err != nil {
		return err
	}
	return r.answers(ctx, "virt-api", "https://localhost:"+r.ports[portVirtAPI]+"/", "")
}

func (r *rig) startVirtController(ctx context.Context) error {
	err := r.dir.Start("virt-controller", r.self, "keep", r.sibling("virt"), "virt-controller",
		"--listen", "127.0.0.1", "--port", r.ports[portVirtController], "--kubeconfig", r.dir.Path("kubevirt-controller.kubeconfig"),
		"--prom-cert-file", r.key("virt.crt"), "--prom-key-file", r.key("virt.key"), "--launcher-image", "rig/virt-launcher")
	if err != nil {
		return err
	}
	return r.answers(ctx, "virt-controller", "https://localhost:"+r.ports[portVirtController]+"/", "")
}

func (r *rig) startStandIn(context.Context) error {
	return r.dir.Start("stand-in", r.sibling("virt"), "stand-in", "--kubeconfig", r.admin())
}

func (r *rig) sibling(program string) string { return filepath.Join(filepath.Dir(r.self), program) }

// virt runs a command of the program virt to its end.
func (r *rig) virt(args ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		cmd := exec.CommandContext(ctx, r.sibling("virt"), append(args, "--kubeconfig", r.admin(), "--ca", r.key("ca.crt"))...)
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("virt %s: %w", args[0], err)
		}
		return nil
	}
}

// answers waits until a server answers at a URL. With a token the answer must
// be a good one.
func (r *rig) answers(ctx context.Context, name, url, token string) error {
	authority, err := os.ReadFile(r.key("ca.crt"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	var last error
	for {
		if r.dir.PID(name) == 0 {
			return fmt.Errorf("%s has ended: see %s", name, r.dir.Path(name+".log"))
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := client.Do(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if token == "" || resp.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(resp.Status)
		}
		last = err
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer at %s: %w", name, url, last)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
