package openstack

import (
	"maps"
	"reflect"
	"strconv"
	"strings"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/settings"
)

const (
	hintsKey      = "os:scheduler_hints"
	hintsLongName = "OS-SCH-HNT:scheduler_hints"
)

// serverDocument are the keys of the object server in a request that makes one,
// as the compute API describes them up to microversion 2.94
// (https://docs.openstack.org/api-ref/compute/#create-server). The SDK's own
// type lacks some and writes others by hand.
type serverDocument struct {
	Name                string         `json:"name"`
	Description         string         `json:"description"`
	FlavorRef           string         `json:"flavorRef"`
	ImageRef            string         `json:"imageRef"`
	AdminPass           string         `json:"adminPass"`
	AvailabilityZone    string         `json:"availability_zone"`
	Host                string         `json:"host"`
	Hostname            string         `json:"hostname"`
	HypervisorHostname  string         `json:"hypervisor_hostname"`
	KeyName             string         `json:"key_name"`
	ConfigDrive         any            `json:"config_drive"` // true or "true"
	DiskConfig          string         `json:"OS-DCF:diskConfig"`
	AccessIPv4          string         `json:"accessIPv4"`
	AccessIPv6          string         `json:"accessIPv6"`
	Metadata            map[string]any `json:"metadata"`
	Tags                []string       `json:"tags"`
	TrustedCertificates []string       `json:"trusted_image_certificates"`
	Networks            any            `json:"networks"` // "auto", "none" or a list of networkDocument
	SecurityGroups      []struct {
		Name string `json:"name"`
	} `json:"security_groups"`
	BlockDevices []blockDeviceDocument `json:"block_device_mapping_v2"`
	UserData     string                `json:"user_data"`
	Personality  []struct {
		Path     string `json:"path"`
		Contents string `json:"contents"`
	} `json:"personality"`
	MinCount            int  `json:"min_count"`
	MaxCount            int  `json:"max_count"`
	ReturnReservationID bool `json:"return_reservation_id"`
}

type blockDeviceDocument struct {
	BootIndex           any    `json:"boot_index"` // a number, or null
	DeleteOnTermination bool   `json:"delete_on_termination"`
	DestinationType     string `json:"destination_type"`
	DeviceName          string `json:"device_name"`
	DeviceType          string `json:"device_type"`
	DiskBus             string `json:"disk_bus"`
	GuestFormat         string `json:"guest_format"`
	NoDevice            any    `json:"no_device"`
	SourceType          string `json:"source_type"`
	UUID                string `json:"uuid"`
	VolumeSize          int    `json:"volume_size"`
	VolumeType          string `json:"volume_type"`
	Tag                 string `json:"tag"`
}

type networkDocument struct {
	UUID    string `json:"uuid"`
	Port    string `json:"port"`
	FixedIP string `json:"fixed_ip"`
	Tag     string `json:"tag"`
}

// reserved are the keys that an override may not have, and why.
var reserved = map[string]string{
	"name":                  "machines are found by the name that Headroom gives",
	"user_data":             "it carries the startup script: use startup_script",
	"min_count":             "one request makes one machine",
	"max_count":             "one request makes one machine",
	"return_reservation_id": "nova would then not tell which machine it made",
}

// override is the override of the server, and the scheduler's hints.
func (s *Settings) override() (server, hints map[string]any) {
	server = s.ConfigOverride
	if inner, wrapped := s.ConfigOverride["server"].(map[string]any); wrapped {
		server = inner
		for _, key := range []string{hintsKey, hintsLongName} {
			if h, ok := s.ConfigOverride[key].(map[string]any); ok {
				hints = h
			}
		}
	}
	return server, hints
}

// checkOverride finds what nova would refuse, or what must not be overridden.
func (s *Settings) checkOverride() []fleet.FieldError {
	const at = "config_override"
	if len(s.ConfigOverride) == 0 {
		return nil
	}
	var found []fleet.FieldError
	path := at
	if _, has := s.ConfigOverride["server"]; has {
		path = at + ".server"
		for _, key := range sortedKeys(s.ConfigOverride) {
			_, isObject := s.ConfigOverride[key].(map[string]any)
			switch {
			case key != "server" && key != hintsKey && key != hintsLongName:
				found = append(found, fleet.FieldError{Path: at + "." + key, Message: "is not known beside the key server: there may be " + hintsKey})
			case !isObject:
				found = append(found, fleet.FieldError{Path: at + "." + key, Message: "must be an object"})
			}
		}
	}
	server, _ := s.override()
	for _, key := range []string{hintsKey, hintsLongName} {
		if _, has := server[key]; has {
			found = append(found, fleet.FieldError{
				Path: settings.JoinKey(path, key), Message: "is no key of the server: put the keys of the server into an object server, and " + hintsKey + " beside it, as nova has them",
			})
			server = maps.Clone(server)
			delete(server, key)
		}
	}
	found = append(found, settings.CheckOverride(server, reflect.TypeFor[serverDocument](), settings.JSONNames, path)...)
	for _, key := range sortedKeys(server) {
		if why, no := reserved[key]; no {
			found = append(found, fleet.FieldError{Path: path + "." + key, Message: "cannot be overridden: " + why})
		}
	}
	if metadata, ok := server["metadata"].(map[string]any); ok {
		for _, key := range sortedKeys(metadata) {
			if isOwn(key) {
				found = append(found, fleet.FieldError{Path: path + ".metadata." + key, Message: "cannot be overridden: it marks what belongs to Headroom"})
			} else if _, text := metadata[key].(string); !text && metadata[key] != nil {
				found = append(found, fleet.FieldError{Path: path + ".metadata." + key, Message: "must be text: put it into quotes"})
			}
		}
	}
	if list, ok := server["networks"].([]any); ok {
		for i, entry := range list {
			where := path + ".networks[" + strconv.Itoa(i) + "]"
			network, isObject := entry.(map[string]any)
			if !isObject {
				found = append(found, fleet.FieldError{Path: where, Message: "must be an object with uuid or port"})
				continue
			}
			found = append(found, settings.CheckOverride(network, reflect.TypeFor[networkDocument](), settings.JSONNames, where)...)
		}
	} else if text, ok := server["networks"].(string); ok && text != networkAuto && text != networkNone {
		found = append(found, fleet.FieldError{Path: path + ".networks", Value: text, Message: "must be auto, none or a list"})
	}
	if _, has := server["networks"]; has && s.FloatingIPPool != "" {
		found = append(found, fleet.FieldError{Path: path + ".networks", Message: "cannot be overridden together with floating_ip_pool, which needs a port of its own"})
	}
	if _, has := server["block_device_mapping_v2"]; has && s.BootFromVolume {
		found = append(found, fleet.FieldError{Path: path + ".block_device_mapping_v2", Message: "cannot be overridden together with boot_from_volume, whose volume it would replace"})
	}
	return found
}

func isOwn(key string) bool { return strings.HasPrefix(key, ownPrefix) }
