package openstack

import (
	"context"
	"fmt"

	"github.com/headroom-dev/headroom/internal/provider"
)

// Render implements provider.Renderer. It looks up what the names in the
// settings stand for; an ID that only the cloud can give is shown by its name in
// brackets.
func (d *driver) Render(ctx context.Context, req provider.Request) ([]provider.RenderedCall, error) {
	if err := d.checkRequest(req); err != nil {
		return nil, err
	}
	p, err := d.resolve(ctx)
	if err != nil {
		return nil, err
	}
	s := d.settings
	var calls []provider.RenderedCall
	if s.BootFromVolume {
		calls = append(calls, provider.RenderedCall{Call: "POST /v3/{project_id}/volumes", Body: volumeBody(s, req, p)})
		p.volume = "{volume_id}"
	}
	if s.FloatingIPPool != "" {
		pool, err := d.lookUp(ctx, networksOf("floating_ip_pool"), s.FloatingIPPool)
		if err != nil {
			return nil, err
		}
		port := map[string]any{"network_id": p.network, "name": req.Name, "description": mark(req.Tags)}
		if len(p.groups) > 0 {
			port["security_groups"] = p.groups
		}
		calls = append(calls,
			provider.RenderedCall{Call: "POST /v2.0/ports", Body: map[string]any{"port": port}},
			provider.RenderedCall{Call: "POST /v2.0/floatingips", Body: map[string]any{"floatingip": map[string]any{
				"floating_network_id": pool, "port_id": "{port_id}", "description": mark(req.Tags),
			}}})
		p.port = "{port_id}"
	}
	server, err := s.serverBody(req, p)
	if err != nil {
		return nil, err
	}
	if inner, ok := server["server"].(map[string]any); ok {
		if n := len(req.Bootstrap.UserData); n > 0 {
			inner["user_data"] = fmt.Sprintf("(%d bytes in base64)", n) // it carries the machine's token
		}
		if _, has := inner["adminPass"]; has {
			inner["adminPass"] = "(hidden)"
		}
	}
	return append(calls, provider.RenderedCall{Call: "POST /v2.1/servers", Body: map[string]any(server)}), nil
}

func volumeBody(s *Settings, req provider.Request, p parts) map[string]any {
	made, err := volumeOpts(s, req, p).ToVolumeCreateMap()
	if err != nil {
		return map[string]any{}
	}
	return made
}
