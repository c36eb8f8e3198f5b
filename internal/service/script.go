package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/settings"
	"github.com/headroom-dev/headroom/internal/startup"
	"github.com/headroom-dev/headroom/internal/store"
)

// The paths that machines fetch from; package api serves them.
const (
	ScriptPath   = "/api/v1/machine/startup-script"
	DownloadPath = "/download/"
)

// AgentFileName is the name of the agent for a system under DownloadPath.
func AgentFileName(system, arch string) string {
	name := "headroom-" + system + "-" + arch
	if system == "windows" {
		name += ".exe"
	}
	return name
}

// origin is everything that the bootstrap of a machine is made of.
type origin struct {
	url      string // under which the machine reaches the controller
	runAgent bool
	config   fleet.AutoscaleConfigSpec
	provider fleet.VMProviderSpec
	kind     provider.Kind
	channel  startup.Channel
}

// Bootstrap is what a machine is given to find and convince its controller,
// with the startup script of the provider revision that it is made with. The
// same server always gets the same. An error of CodeInvalid says that no machine
// can be made so.
func (s *Service) Bootstrap(ctx context.Context, server *fleet.Server) (provider.Bootstrap, error) {
	o, err := s.origin(ctx, server)
	if err != nil {
		return provider.Bootstrap{}, fmt.Errorf("preparing machine %s: %w", server.Name, err)
	}
	b := provider.Bootstrap{ControllerURL: o.url, RegistrationToken: s.Deriver.Registration(server.ID), Pool: server.Pool, RunAgent: o.runAgent}
	packed, secrets, err := s.pack(o, server)
	if err != nil {
		return provider.Bootstrap{}, err
	}
	b.Secrets = secrets
	if !o.channel.AfterBoot {
		b.UserData = packed.Data
	}
	return b, nil
}

// GuestScript is the startup script of a machine that is run through the guest
// when the machine is up; no text: there is none.
func (s *Service) GuestScript(ctx context.Context, server *fleet.Server) (text []byte, secrets []string, err error) {
	o, err := s.origin(ctx, server)
	if err != nil || !o.channel.AfterBoot {
		return nil, nil, err
	}
	packed, secrets, err := s.pack(o, server)
	return packed.Data, secrets, err
}

// FetchScript is what a machine gets whose channel was too narrow for its
// script: until the machine has checked in, and only its own.
func (s *Service) FetchScript(ctx context.Context, token string) ([]byte, error) {
	var server *fleet.Server
	err := s.Store.Read(ctx, func(tx *store.Tx) (err error) {
		server, err = s.starting(tx, token)
		return err
	})
	if err != nil {
		return nil, err
	}
	if server.LastSeenAt != nil || server.RegisteredAt != nil {
		return nil, fleet.Errorf(fleet.CodeForbidden, "server %s has checked in: its startup script is not given out again", server.Name)
	}
	o, err := s.origin(ctx, server)
	if err != nil {
		return nil, err
	}
	packed, _, err := s.pack(o, server)
	if err != nil {
		return nil, err
	}
	if packed.Whole == nil {
		return nil, fleet.Errorf(fleet.CodeNotFound, "server %s has no startup script that would have to be fetched", server.Name)
	}
	return packed.Whole, nil
}

// origin reads what the bootstrap of a server is made of.
func (s *Service) origin(ctx context.Context, server *fleet.Server) (origin, error) {
	o := origin{url: s.URL}
	var sealed []byte
	err := s.Store.Read(ctx, func(tx *store.Tx) error {
		var err error
		if o.url, err = s.upstream(tx, server.Zone); err != nil {
			return err
		}
		pool, err := poolSpec(tx, server.Pool)
		if err != nil {
			return err
		}
		o.runAgent = pool.Type == fleet.PoolDockerAgent
		if server.AutoscaleConfig != "" {
			c, err := tx.Object(fleet.KindAutoscaleConfig, server.AutoscaleConfig)
			switch {
			case errors.Is(err, store.ErrNotFound):
			case err != nil:
				return err
			default:
				sealed = c.Secrets
				if o.config, err = store.Spec[fleet.AutoscaleConfigSpec](c); err != nil {
					return err
				}
			}
		}
		rev, err := tx.ProviderRevision(server.VMProvider, server.ProviderRevision)
		if err != nil {
			return fmt.Errorf("reading revision %d of VM provider %s: %w", server.ProviderRevision, server.VMProvider, err)
		}
		o.provider, err = store.Spec[fleet.VMProviderSpec](rev)
		return err
	})
	if err != nil {
		return o, err
	}
	secrets, err := s.Keeper.Open(ctx, sealed)
	if err != nil {
		return o, fmt.Errorf("reading the secrets of autoscale config %s: %w", server.AutoscaleConfig, err)
	}
	o.config.ConnectionPassword, o.config.TLSKey = secrets["connection_password"], secrets["tls_key"]
	return o, s.findChannel(&o)
}

// findChannel asks the kind how scripts reach its machines.
func (s *Service) findChannel(o *origin) error {
	kind, ok := s.kind(o.provider.Provider)
	if !ok {
		return fleet.Errorf(fleet.CodeInvalid, "provider kind %q is not built into this version", o.provider.Provider)
	}
	o.kind = kind
	decoded := kind.NewSettings()
	// The settings were checked when they were saved; what has become invalid
	// since is reported when the provider is opened.
	if b, err := json.Marshal(o.provider.Settings); err == nil {
		_ = json.Unmarshal(b, decoded)
	}
	settings.ApplyDefaults(decoded)
	o.channel = kind.ScriptChannel(decoded)
	return nil
}

// upstream is the base URL under which machines of a zone reach a controller.
func (s *Service) upstream(tx *store.Tx, zone string) (string, error) {
	o, err := tx.Object(fleet.KindZone, zone)
	if errors.Is(err, store.ErrNotFound) {
		return s.URL, nil
	}
	if err != nil {
		return "", fmt.Errorf("reading zone %s: %w", zone, err)
	}
	spec, err := store.Spec[fleet.ZoneSpec](o)
	if err != nil || spec.UpstreamAddress == "" {
		return s.URL, err
	}
	up := spec.UpstreamAddress
	if !strings.Contains(up, "://") {
		up = "https://" + up
	}
	return strings.TrimRight(up, "/"), nil
}

// pack renders and packs the startup script of a server. The secrets are what
// of it must not be seen.
func (s *Service) pack(o origin, server *fleet.Server) (startup.Packed, []string, error) {
	values, hasAgent := s.values(o, server)
	secrets := []string{}
	for _, v := range startup.Variables() {
		if text := values[v.Name]; v.Secret && text != "" {
			secrets = append(secrets, text)
		}
	}
	rendered, problems := startup.Render(o.provider.StartupScript, values)
	if len(problems) > 0 {
		return startup.Packed{}, nil, fleet.Errorf(fleet.CodeInvalid, "the startup script of VM provider %s: %s", server.VMProvider, problems[0])
	}
	parcel := startup.Parcel{
		Channel: o.channel, Server: server.ID, Script: rendered,
		Fetch: &startup.Fetch{URL: o.url + ScriptPath, Token: values["checkin_jwt"]},
	}
	if o.wantsAgent() {
		if !hasAgent {
			return startup.Packed{}, nil, fleet.Errorf(fleet.CodeInvalid,
				"this controller has no agent for %s on %s: put the file %s into the directory given by serve --agent-dir, or set install_agent: false where the image holds the agent",
				o.system(), o.arch(), AgentFileName(o.system(), o.arch()))
		}
		parcel.Agent = &startup.Agent{
			URL: values["agent_url"], SHA256: values["agent_sha256"], Controller: o.url,
			Token: values["registration_token"], CheckinToken: values["checkin_jwt"],
		}
	}
	packed, err := startup.Pack(parcel)
	if err != nil {
		return startup.Packed{}, nil, fleet.Errorf(fleet.CodeInvalid, "the startup script of VM provider %s cannot be delivered: %w", server.VMProvider, err)
	}
	return packed, secrets, nil
}

// wantsAgent says that the agent is to be installed besides the script.
func (o origin) wantsAgent() bool {
	return o.runAgent && o.channel.Runs() && fleet.Value(o.provider.InstallAgent, true) && !startup.Uses(o.provider.StartupScript, "agent_url")
}

func (o origin) system() string { return string(fleet.Or(o.channel.System, startup.Linux)) }

func (o origin) arch() string { return string(fleet.Or(o.provider.AgentArch, fleet.ArchAMD64)) }

// values are the variables of a server's script.
func (s *Service) values(o origin, server *fleet.Server) (values map[string]string, hasAgent bool) {
	address := o.url
	if u, err := url.Parse(o.url); err == nil && u.Host != "" {
		address = u.Host
	}
	sshKey, _ := o.provider.Settings["ssh_public_key"].(string)
	registration := s.Deriver.Registration(server.ID)
	values = map[string]string{
		"server_id": server.ID, "server_hostname": server.Name, "provider_name": o.kind.Name,
		"server_external_fqdn": o.config.FQDN(server.Name),
		"controller_url":       o.url, "upstream_auth_address": address,
		"registration_token": registration, "manager_token": registration, "checkin_jwt": s.Deriver.Checkin(server.ID),
		"nginx_cert_in": o.config.TLSCertificate, "nginx_key_in": o.config.TLSKey,
		"connection_username": o.config.ConnectionUsername, "connection_password": o.config.ConnectionPassword,
		"ssh_key": sshKey,
	}
	if s.AgentSum != nil {
		if sum, ok := s.AgentSum(o.system(), o.arch()); ok {
			values["agent_url"], values["agent_sha256"], hasAgent = o.url+DownloadPath+AgentFileName(o.system(), o.arch()), sum, true
		}
	}
	return values, hasAgent
}
