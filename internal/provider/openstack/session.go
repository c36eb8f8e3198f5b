package openstack

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"

	"github.com/headroom-dev/headroom/internal/provider"
)

const projectPlaceholder = "%(project_id)s"

// session signs in when the first call needs it. The SDK signs in again when
// the token is refused.
type session struct {
	options   gophercloud.AuthOptions
	endpoints gophercloud.EndpointOpts
	overrides map[service]string
	versions  map[service]string
	client    *http.Client

	turn   chan struct{} // whoever holds it may sign in
	signed *gophercloud.ProviderClient
}

// service is a service of OpenStack.
type service string

const (
	identity service = "identity"
	nova     service = "compute"
	glance   service = "image"
	cinder   service = "block-storage"
	neutron  service = "network"
)

// ruleName is how access rules name the service.
func (s service) ruleName() string {
	if s == cinder {
		return "volumev3"
	}
	return string(s)
}

func newSession(s *Settings) (*session, error) {
	client, err := s.HTTPClient()
	if err != nil {
		return nil, err
	}
	options, endpoints, err := s.credentials()
	if err != nil {
		return nil, provider.Errorf(provider.Invalid, "clouds_yaml %w", err)
	}
	options.AllowReauth = true
	if s.Region != "" {
		endpoints.Region = s.Region
	}
	if s.Interface != "" {
		endpoints.Availability = gophercloud.Availability(s.Interface)
	}
	if endpoints.Availability == "" {
		endpoints.Availability = gophercloud.AvailabilityPublic
	}
	return &session{
		options: options, endpoints: endpoints, client: client, turn: make(chan struct{}, 1),
		overrides: map[service]string{nova: s.NovaEndpoint, glance: s.GlanceEndpoint, cinder: s.CinderEndpoint, neutron: s.NeutronEndpoint},
		versions:  map[service]string{nova: s.novaMicroversion(), cinder: s.CinderMicroversion},
	}, nil
}

func (s *Settings) novaMicroversion() string {
	if s.NovaMicroversion == "" {
		return defaultMicroversion
	}
	return s.NovaMicroversion
}

const defaultMicroversion = "2.69"

func (s *Settings) credentials() (gophercloud.AuthOptions, gophercloud.EndpointOpts, error) {
	switch s.AuthMethod {
	case authCloudsYAML:
		return parseClouds(s.CloudsYAML, s.Cloud)
	case authPassword:
		o := gophercloud.AuthOptions{IdentityEndpoint: s.AuthURL, Username: s.Username, Password: s.Password}
		o.DomainID, o.DomainName = domain(s.UserDomain)
		scope := &gophercloud.AuthScope{ProjectName: s.ProjectName}
		scope.DomainID, scope.DomainName = domain(s.ProjectDomain)
		o.Scope = scope
		return o, gophercloud.EndpointOpts{}, nil
	}
	return gophercloud.AuthOptions{
		IdentityEndpoint: s.AuthURL, ApplicationCredentialID: s.ApplicationCredentialID, ApplicationCredentialSecret: s.ApplicationCredentialSecret,
	}, gophercloud.EndpointOpts{}, nil
}

// domain takes "default" for the ID that the first domain has everywhere; its
// name is "Default".
func domain(text string) (id, name string) {
	switch text {
	case "":
		return "default", ""
	case "default":
		return text, ""
	}
	return "", text
}

// signIn gives a client with a token. Nothing is asked for while it has one.
func (s *session) signIn(ctx context.Context) (*gophercloud.ProviderClient, error) {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, classify(ctx.Err(), identity)
	}
	defer func() { <-s.turn }()
	if s.signed != nil {
		return s.signed, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, classify(err, identity)
	}
	p, err := openstack.NewClient(s.options.IdentityEndpoint)
	if err != nil {
		return nil, provider.Errorf(provider.Invalid, "auth_url cannot be used: %w", err)
	}
	p.HTTPClient = *s.client
	p.UseTokenLock()
	options := s.options
	if err := openstack.AuthenticateV3(ctx, p, &options, gophercloud.EndpointOpts{}); err != nil {
		return nil, classifySignIn(err)
	}
	// The SDK's own locator asks each service for its versions, without a
	// deadline; the catalog says enough.
	p.EndpointLocator = func(o gophercloud.EndpointOpts) (string, error) {
		if override, err := s.override(p, service(o.Type)); err != nil || override != "" {
			return override, err
		}
		return locate(p, o)
	}
	s.signed = p
	return p, nil
}

// catalogOf is the catalog that came with the newest token.
func catalogOf(p *gophercloud.ProviderClient) ([]tokens.CatalogEntry, error) {
	r, ok := p.GetAuthResult().(interface {
		ExtractServiceCatalog() (*tokens.ServiceCatalog, error)
	})
	if !ok {
		return nil, provider.Errorf(provider.Unknown, "keystone's answer holds no catalog")
	}
	c, err := r.ExtractServiceCatalog()
	if err != nil {
		return nil, provider.Errorf(provider.Unknown, "keystone's catalog cannot be read: %w", err)
	}
	return c.Entries, nil
}

// locate finds the endpoint of a service in the catalog: the first that fits,
// as OpenStack's own tools do.
func locate(p *gophercloud.ProviderClient, o gophercloud.EndpointOpts) (string, error) {
	entries, err := catalogOf(p)
	if err != nil {
		return "", err
	}
	for _, kind := range o.Types() {
		for _, entry := range entries {
			if entry.Type != kind {
				continue
			}
			for _, e := range entry.Endpoints {
				if e.Interface == string(o.Availability) && (o.Region == "" || e.Region == o.Region || e.RegionID == o.Region) {
					return gophercloud.NormalizeURL(e.URL), nil
				}
			}
		}
	}
	return "", &gophercloud.ErrEndpointNotFound{}
}

// service gives the client of a service.
func (s *session) service(ctx context.Context, which service) (*gophercloud.ServiceClient, error) {
	p, err := s.signIn(ctx)
	if err != nil {
		return nil, err
	}
	constructors := map[service]func(*gophercloud.ProviderClient, gophercloud.EndpointOpts) (*gophercloud.ServiceClient, error){
		nova: openstack.NewComputeV2, glance: openstack.NewImageV2, cinder: openstack.NewBlockStorageV3, neutron: openstack.NewNetworkV2,
	}
	sc, err := constructors[which](p, s.endpoints)
	if err != nil {
		return nil, s.noEndpoint(which, err)
	}
	sc.Microversion = s.versions[which]
	for _, version := range []string{"v2/", "v2.0/"} { // an endpoint that names its version already
		sc.ResourceBase = strings.Replace(sc.ResourceBase, version+version, version, 1)
	}
	return sc, nil
}

func (s *session) override(p *gophercloud.ProviderClient, which service) (string, error) {
	text := s.overrides[which]
	if text == "" || !strings.Contains(text, projectPlaceholder) {
		return normalized(text), nil
	}
	id, err := projectOf(p)
	return normalized(strings.ReplaceAll(text, projectPlaceholder, id)), err
}

func normalized(u string) string {
	if u == "" {
		return ""
	}
	return gophercloud.NormalizeURL(u)
}

func projectOf(p *gophercloud.ProviderClient) (string, error) {
	r, ok := p.GetAuthResult().(interface {
		ExtractProject() (*tokens.Project, error)
	})
	if !ok {
		return "", provider.Errorf(provider.Unknown, "keystone's answer names no project")
	}
	project, err := r.ExtractProject()
	if err != nil || project == nil || project.ID == "" {
		return "", provider.Errorf(provider.Invalid, "the credential belongs to no project: use one that is scoped to the project in which machines are to be made")
	}
	return project.ID, nil
}

func (s *session) noEndpoint(which service, err error) error {
	where := ""
	if s.endpoints.Region != "" {
		where = fmt.Sprintf(" in region %q", s.endpoints.Region)
	}
	return &provider.Error{
		Class: provider.Invalid, Cause: err,
		Message: fmt.Sprintf("keystone's catalog has no %s endpoint of the service %s%s: check region and interface, or name the endpoint in the settings",
			s.endpoints.Availability, which.ruleName(), where),
	}
}
