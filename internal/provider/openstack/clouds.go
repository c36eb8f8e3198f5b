package openstack

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/config/clouds"
	"go.yaml.in/yaml/v3"
)

// parseClouds reads one entry of a clouds.yaml. The SDK does the reading; keys
// that would make it look at files of the controller's host are refused.
func parseClouds(text, name string) (gophercloud.AuthOptions, gophercloud.EndpointOpts, error) {
	fault := func(format string, args ...any) (gophercloud.AuthOptions, gophercloud.EndpointOpts, error) {
		return gophercloud.AuthOptions{}, gophercloud.EndpointOpts{}, fmt.Errorf(format, args...)
	}
	var doc struct {
		Clouds map[string]map[string]any `yaml:"clouds"`
	}
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return fault("is no YAML: %s", lineOf(err))
	}
	if len(doc.Clouds) == 0 {
		return fault("has no clouds: paste the whole file, beginning with \"clouds:\"")
	}
	entry, ok := doc.Clouds[name]
	if !ok {
		return fault("has no cloud %q: there are %s", name, strings.Join(sortedKeys(doc.Clouds), ", "))
	}
	for key, remedy := range map[string]string{
		"profile": "write the profile's auth_url and region_name into the entry",
		"cloud":   "write out what the entry refers to",
		"cacert":  "files are not read; paste the authority's certificate into ca_bundle",
		"cert":    "client certificates are not supported",
		"key":     "client certificates are not supported",
		"verify":  "use insecure_skip_verify",
	} {
		if _, has := entry[key]; has && key != "verify" || entry["verify"] == false && key == "verify" {
			return fault("entry %q has the key %s: %s", name, key, remedy)
		}
	}
	if kind, _ := entry["auth_type"].(string); kind != "" && kind != "password" && kind != "v3password" && kind != "v3applicationcredential" {
		return fault("entry %q has the auth_type %s: only password and v3applicationcredential work unattended", name, kind)
	}
	if auth, ok := entry["auth"].(map[string]any); !ok || auth["auth_url"] == nil {
		return fault("entry %q has no auth.auth_url", name)
	}
	options, endpoint, _, err := clouds.Parse(
		clouds.WithCloudsYAML(strings.NewReader(text)), clouds.WithCloudName(name),
		// Otherwise variables of the controller's own environment would decide.
		clouds.WithRegion(""), clouds.WithEndpointType(""), clouds.WithLocations("/nonexistent"), clouds.WithPublicLocations("/nonexistent"),
	)
	if err != nil {
		return fault("cannot be read: %s", lineOf(err))
	}
	if options.TokenID != "" {
		return fault("entry %q holds a token, which expires: give a user name and password, or an application credential", name)
	}
	hasPassword := options.Password != "" && (options.Username != "" || options.UserID != "")
	hasCredential := options.ApplicationCredentialSecret != "" && (options.ApplicationCredentialID != "" || options.ApplicationCredentialName != "")
	if !hasPassword && !hasCredential {
		return fault("entry %q has neither a user name with a password nor an application credential with its secret", name)
	}
	if msg := urlFault(options.IdentityEndpoint); msg != "" {
		return fault("auth_url of entry %q %s", name, msg)
	}
	if hasCredential {
		options.Scope, options.TenantID, options.TenantName = nil, "", "" // it is bound to its project
	} else if options.Scope != nil {
		options.TenantID, options.TenantName = "", "" // the scope says it
	}
	return options, endpoint, nil
}

// lineOf keeps what an error of a parser says of the place, and nothing of the
// text, which holds secrets.
func lineOf(err error) string {
	var typed *yaml.TypeError
	if errors.As(err, &typed) {
		return "its structure is not that of a clouds.yaml"
	}
	if at := strings.Index(err.Error(), "line "); at >= 0 {
		line, _, _ := strings.Cut(err.Error()[at:], ":")
		return "look at " + line
	}
	return "its structure is not that of a clouds.yaml"
}
