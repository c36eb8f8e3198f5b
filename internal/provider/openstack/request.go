package openstack

import (
	"encoding/base64"
	"encoding/json"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/settings"
)

// maxUserData is what nova takes, before base64: 65,535 characters of it.
const maxUserData = 65535 / 4 * 3

// parts are what a server is made from, by their IDs.
type parts struct {
	flavor  string
	image   string
	network string   // empty: networkAuto or networkNone
	groups  []string // IDs of security groups, where a port is made
	volume  string   // boot volume
	port    string
}

// body is a request as the SDK takes it.
type body map[string]any

// ToServerCreateMap implements servers.CreateOptsBuilder.
func (b body) ToServerCreateMap() (map[string]any, error) { return b, nil }

// serverBody is the request that makes the server.
func (s *Settings) serverBody(req provider.Request, p parts) (body, error) {
	on := true
	o := servers.CreateOpts{
		Name: req.Name, FlavorRef: p.flavor, ImageRef: p.image, AvailabilityZone: s.AvailabilityZone,
		Metadata: metadataOf(req.Tags, s.Metadata), ConfigDrive: &on,
	}
	switch {
	case p.port != "":
		o.Networks = []servers.Network{{Port: p.port}}
	case s.Network == networkAuto || s.Network == networkNone:
		o.Networks = s.Network
	default:
		o.Networks = []servers.Network{{UUID: p.network}}
	}
	if p.port == "" {
		o.SecurityGroups = s.SecurityGroups
	}
	if len(req.Bootstrap.UserData) > 0 {
		// The SDK leaves alone what is base64 already, and takes a script that looks
		// like it for that.
		o.UserData = []byte(base64.StdEncoding.EncodeToString(req.Bootstrap.UserData))
	}
	if p.volume != "" {
		o.ImageRef = ""
		o.BlockDevice = []servers.BlockDevice{{
			UUID: p.volume, SourceType: servers.SourceVolume, DestinationType: servers.DestinationVolume, BootIndex: 0, DeleteOnTermination: true,
		}}
	}
	made, err := o.ToServerCreateMap()
	if err != nil {
		return nil, provider.Errorf(provider.Invalid, "the request for machine %s cannot be built: %w", req.Name, err)
	}
	plain, err := plainJSON(made)
	if err != nil {
		return nil, err
	}
	server, _ := plain["server"].(map[string]any)
	if s.KeyName != "" {
		server["key_name"] = s.KeyName
	}
	if p.volume != "" {
		delete(server, "imageRef")
	}
	override, hints := s.override()
	out := body{"server": protect(settings.MergePatch(server, override), server)}
	if hints != nil {
		out[hintsKey] = hints
	}
	return out, nil
}

// protect puts back what an override must not change: whose the machine is, how
// it is found, what it runs, and that nothing of it stays behind.
func protect(merged, ours map[string]any) map[string]any {
	for _, key := range []string{"name", "user_data"} {
		if value, ok := ours[key]; ok {
			merged[key] = value
		} else {
			delete(merged, key)
		}
	}
	metadata, _ := merged["metadata"].(map[string]any)
	mine, _ := ours["metadata"].(map[string]any)
	kept := map[string]any{}
	for key, value := range metadata {
		kept[key] = value
	}
	for key, value := range mine {
		if _, present := kept[key]; !present || isOwn(key) {
			kept[key] = value
		}
	}
	merged["metadata"] = kept
	devices, _ := merged["block_device_mapping_v2"].([]any)
	for _, d := range devices {
		device, ok := d.(map[string]any)
		// A volume that the override names was there before; every other is made for
		// the machine.
		if ok && device["destination_type"] == string(servers.DestinationVolume) && device["source_type"] != string(servers.SourceVolume) {
			device["delete_on_termination"] = true
		}
	}
	return merged
}

func plainJSON(v any) (map[string]any, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, provider.Errorf(provider.Invalid, "the request cannot be written as JSON: %w", err)
	}
	var out map[string]any
	if err := json.Unmarshal(text, &out); err != nil {
		return nil, provider.Errorf(provider.Invalid, "the request cannot be written as JSON: %w", err)
	}
	return out, nil
}

var _ servers.CreateOptsBuilder = body(nil)
