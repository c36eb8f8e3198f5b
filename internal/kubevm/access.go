package kubevm

import (
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/url"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

// Access are the settings by which the API server is reached.
type Access struct {
	Kubeconfig         string `json:"kubeconfig,omitempty" secret:"true" multiline:"true" maxLength:"262144" group:"Cluster" title:"Kubeconfig" doc:"Text of a kubeconfig with address, certificate and credentials in it (kubectl config view --raw --flatten --minify). Give this, or kube_host with api_token."`
	KubeHost           string `json:"kube_host,omitempty" maxLength:"2048" group:"Cluster" title:"Host" doc:"Address of the API server, instead of kubeconfig." example:"https://10.0.0.1:6443"`
	CACert             string `json:"ca_cert,omitempty" multiline:"true" maxLength:"1048576" access:"true" group:"Cluster" title:"SSL certificate" doc:"Certificate of the authority that signed the API server's, in PEM form or as the base64 text of certificate-authority-data. Without it the system's authorities are trusted."`
	APIToken           string `json:"api_token,omitempty" secret:"true" maxLength:"16384" group:"Cluster" title:"API token" doc:"Token of a ServiceAccount, with kube_host."`
	InsecureSkipVerify bool   `json:"insecure_skip_verify,omitempty" advanced:"true" access:"true" group:"Cluster" title:"Do not verify the certificate" doc:"Dangerous: accepts every certificate, so that anybody on the way can read the token. Give ca_cert instead."`
	Namespace          string `json:"namespace" minLength:"1" maxLength:"63" lookup:"namespace" group:"Cluster" title:"VM namespace" doc:"Namespace that the machines live in. Machines are deleted in the namespace that they were made in, whatever is set later." example:"headroom"`
}

// Validate finds access that contradicts itself or could not work.
func (a Access) Validate() []fleet.FieldError {
	var wrong []fleet.FieldError
	say := func(path, format string, args ...any) {
		wrong = append(wrong, fleet.FieldError{Path: path, Message: fmt.Sprintf(format, args...)})
	}
	if fault := labelFault(a.Namespace); fault != "" {
		say("namespace", "%q is no name of a namespace: %s", a.Namespace, fault)
	}
	switch {
	case a.Kubeconfig == "" && a.KubeHost == "":
		say("kubeconfig", "is missing: give the text of a kubeconfig, or kube_host with api_token")
	case a.Kubeconfig != "" && a.KubeHost != "":
		say("kube_host", "is given besides kubeconfig, which names a host itself: remove one of them")
	case a.Kubeconfig != "" && a.APIToken != "":
		say("api_token", "is given besides kubeconfig, which holds credentials itself: remove one of them")
	case a.Kubeconfig != "" && a.CACert != "":
		say("ca_cert", "is given besides kubeconfig, which holds a certificate itself: remove one of them")
	case a.Kubeconfig != "":
		if _, err := readKubeconfig(a.Kubeconfig); err != nil {
			say("kubeconfig", "%s", err)
		}
	default:
		if _, err := hostURL(a.KubeHost); err != nil {
			say("kube_host", "%s", err)
		}
		if _, err := readAuthority(a.CACert); err != nil {
			say("ca_cert", "%s", err)
		}
		if a.APIToken == "" {
			say("api_token", "is missing: give the token of a ServiceAccount (kubectl create token NAME, or a Secret of type kubernetes.io/service-account-token)")
		}
		if strings.TrimSpace(a.APIToken) != a.APIToken || strings.ContainsAny(a.APIToken, " \t\r\n") {
			say("api_token", "holds spaces or line breaks: paste the token alone")
		}
	}
	return wrong
}

// config is how client-go reaches the API server.
func (a Access) config(now func() time.Time) (*rest.Config, error) {
	var (
		c   *rest.Config
		err error
	)
	if a.Kubeconfig != "" {
		c, err = readKubeconfig(a.Kubeconfig)
	} else {
		c, err = a.direct()
	}
	if err != nil {
		return nil, err
	}
	if a.InsecureSkipVerify {
		c.Insecure, c.CAData = true, nil
	}
	c.UserAgent = "headroom"
	c.QPS = -1 // provider.Client limits the rate
	c.WarningHandlerWithContext = rest.NoWarnings{}
	c.Wrap(guard(now))
	return c, nil
}

func (a Access) direct() (*rest.Config, error) {
	host, err := hostURL(a.KubeHost)
	if err != nil {
		return nil, fmt.Errorf("kube_host %w", err)
	}
	authority, err := readAuthority(a.CACert)
	if err != nil {
		return nil, fmt.Errorf("ca_cert %w", err)
	}
	return &rest.Config{Host: host, BearerToken: a.APIToken, TLSClientConfig: rest.TLSClientConfig{CAData: authority}}, nil
}

// hostURL reads "https://host:port/path", or "host:port" for short.
func hostURL(text string) (string, error) {
	full := text
	if !strings.Contains(text, "://") {
		full = "https://" + text
	}
	u, err := url.Parse(full)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		return "", fmt.Errorf("%q is no address: write for example https://10.0.0.1:6443", text)
	case u.Scheme != "https":
		return "", fmt.Errorf("%q would send the token unencrypted: write https://", text)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("%q holds more than an address: write for example https://10.0.0.1:6443", u.Redacted())
	}
	return u.String(), nil
}

// readAuthority reads certificates in PEM form, or the base64 text of them that
// kubeconfigs hold.
func readAuthority(text string) ([]byte, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	content := []byte(text)
	if !strings.Contains(text, "-----BEGIN") {
		var err error
		if content, err = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), "")); err != nil {
			return nil, fmt.Errorf("is neither PEM text nor its base64 form: paste what begins with -----BEGIN CERTIFICATE-----, or the value of certificate-authority-data")
		}
	}
	if block, _ := pem.Decode(content); block == nil {
		return nil, fmt.Errorf("holds no certificate: paste what begins with -----BEGIN CERTIFICATE-----, or the value of certificate-authority-data")
	}
	for _, wrong := range (provider.Connection{CABundle: string(content)}).Validate() {
		return nil, fmt.Errorf("%s", wrong.Message)
	}
	return content, nil
}

// readKubeconfig takes a kubeconfig that holds everything itself. Files and
// programs that it names would be those of the controller's host, read and run
// in its name, so that they are refused.
func readKubeconfig(text string) (*rest.Config, error) {
	all, err := clientcmd.Load([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: paste the whole output of kubectl config view --raw --flatten --minify") // the parser's words may quote credentials
	}
	name := all.CurrentContext
	if name == "" && len(all.Contexts) == 1 {
		for only := range all.Contexts {
			name = only
		}
	}
	chosen := all.Contexts[name]
	if chosen == nil {
		return nil, fmt.Errorf("names no context to use: set current-context, or paste the output of kubectl config view --raw --flatten --minify")
	}
	cluster, user := all.Clusters[chosen.Cluster], all.AuthInfos[chosen.AuthInfo]
	if cluster == nil {
		return nil, fmt.Errorf("has no cluster %q, which its context %q names", chosen.Cluster, name)
	}
	if user == nil {
		return nil, fmt.Errorf("has no user %q, which its context %q names", chosen.AuthInfo, name)
	}
	if err := selfContained(cluster, user); err != nil {
		return nil, err
	}
	if _, err := hostURL(cluster.Server); err != nil {
		return nil, fmt.Errorf("has a cluster whose server %w", err)
	}
	if len(cluster.CertificateAuthorityData) > 0 {
		if _, err := readAuthority(string(cluster.CertificateAuthorityData)); err != nil {
			return nil, fmt.Errorf("has certificate-authority-data that %w", err)
		}
	}
	c, err := clientcmd.NewNonInteractiveClientConfig(*all, name, &clientcmd.ConfigOverrides{}, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("cannot be used: its context %q lacks what is needed to reach the cluster", name)
	}
	return c, nil
}

func selfContained(cluster *clientcmdapi.Cluster, user *clientcmdapi.AuthInfo) error {
	for _, file := range []struct{ key, value string }{
		{"certificate-authority", cluster.CertificateAuthority},
		{"client-certificate", user.ClientCertificate},
		{"client-key", user.ClientKey},
		{"tokenFile", user.TokenFile},
	} {
		if file.value != "" {
			return fmt.Errorf("names a file (%s), which is not on the controller: paste the output of kubectl config view --raw --flatten --minify", file.key)
		}
	}
	switch {
	case user.Exec != nil:
		return fmt.Errorf("runs the program %q to get credentials, which the controller does not do: make a ServiceAccount and give its token as api_token", user.Exec.Command)
	case user.AuthProvider != nil:
		return fmt.Errorf("gets its credentials by the plugin %q, which the controller does not have: make a ServiceAccount and give its token as api_token", user.AuthProvider.Name)
	case user.Token == "" && len(user.ClientCertificateData) == 0 && user.Username == "":
		return fmt.Errorf("holds no credentials: its user needs a token, or client-certificate-data with client-key-data")
	}
	return nil
}
