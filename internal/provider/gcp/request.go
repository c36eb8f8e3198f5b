package gcp

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	compute "google.golang.org/api/compute/v1"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/startup"
)

// The metadata keys that carry startup scripts.
// https://cloud.google.com/compute/docs/instances/startup-scripts
const (
	keyBash   = "startup-script"
	keyPS1    = "windows-startup-script-ps1"
	keyCmd    = "windows-startup-script-cmd"
	keyBat    = "windows-startup-script-bat"
	keyConfig = "user-data" // cloud-init reads it; images of Ubuntu and others have it
)

var scriptKeys = []string{keyBash, keyPS1, keyCmd, keyBat, keyConfig}

// scriptKey is where a script belongs. Settings that tell neither the operating
// system nor the language were made before they could: the script is looked at.
func (s *Settings) scriptKey(script []byte) string {
	text := string(script)
	if l := startup.LanguageOf(text, startup.Linux); s.system() != startup.Windows && (l == startup.CloudConfig || l == startup.Multipart) {
		return keyConfig
	}
	switch {
	case s.StartupScriptType == "ps1":
		return keyPS1
	case s.StartupScriptType == "cmd":
		return keyCmd
	case s.StartupScriptType == "bat":
		return keyBat
	case s.system() == startup.Linux:
		return keyBash
	case s.system() == startup.Windows:
		if startup.LanguageOf(text, startup.Windows) == startup.Batch {
			return keyCmd
		}
		return keyPS1
	}
	switch startup.LanguageOf(text, startup.Linux) {
	case startup.PowerShell:
		return keyPS1
	case startup.Batch:
		return keyCmd
	case startup.Shell:
		if !strings.HasPrefix(strings.TrimSpace(text), "#!") && looksLikePowerShell.MatchString(text) {
			return keyPS1
		}
	default:
	}
	return keyBash
}

// looksLikePowerShell finds lines that scripts in PowerShell are full of and
// those for Linux are not: assignments to $name, calls of .NET, and cmdlets as
// they are commonly written, with capitals.
var looksLikePowerShell = regexp.MustCompile(`(?m)^\s*(\$[\w:]+\s*=|(?i:param)\s*\(|\[[\w.]+\]::|` +
	`(?:Add|Copy|Disable|Enable|Expand|Get|Import|Install|Invoke|Join|New|Out|Register|Remove|Rename|Restart|Select|Set|Start|Stop|Test|Wait|Write)-[A-Z][a-z]\w+)`)

// offerOf reads an offer; empty stands for the first.
func (s *Settings) offerOf(text string) (offer, error) {
	all := s.offers()
	if text == "" && len(all) > 0 {
		return all[0], nil
	}
	for _, o := range all {
		if o.String() == text {
			return o, nil
		}
	}
	return offer{}, provider.Errorf(provider.Invalid, "%q is not one of the config's machine types and zones", text)
}

func (s *Settings) offers() []offer {
	var out []offer
	for _, m := range s.MachineType {
		for _, z := range s.Zones {
			out = append(out, offer{m, z})
		}
	}
	return out
}

func (s *Settings) accelerators(zone string) []*compute.AcceleratorConfig {
	var out []*compute.AcceleratorConfig
	for _, a := range s.GuestAccelerators {
		out = append(out, &compute.AcceleratorConfig{
			AcceleratorType: fmt.Sprintf("projects/%s/zones/%s/acceleratorTypes/%s", s.Project, zone, a.Type), AcceleratorCount: max(a.Count, 1),
		})
	}
	return out
}

// ownGPUs are machine types that have GPUs without asking.
var ownGPUs = regexp.MustCompile(`^(a[2-9]|g[2-9])[a-z]?-`)

// body is the instance that is asked for.
func (s *Settings) body(req provider.Request, o offer) (*compute.Instance, error) {
	if n := len(req.Bootstrap.UserData); n > scriptLimit {
		return nil, provider.Errorf(provider.Invalid, "the startup script has %d bytes, a metadata value of Google Cloud holds %d", n, scriptLimit)
	}
	if !utf8.Valid(req.Bootstrap.UserData) {
		return nil, provider.Errorf(provider.Invalid, "the startup script is no text in UTF-8, and metadata of Google Cloud hold nothing else: encode it")
	}
	labels := ownLabels(req.Tags)
	for key, value := range labels {
		if !labelRule.MatchString(value) {
			return nil, provider.Errorf(provider.Invalid, "the tag %s of the machine is %q, which no label of Google Cloud can hold", key, value)
		}
	}
	image, err := s.reference("image", s.Image)
	if err != nil {
		return nil, provider.Errorf(provider.Invalid, "image %w", err)
	}
	subnetwork, err := s.reference("subnetwork", s.Subnetwork)
	if err != nil {
		return nil, provider.Errorf(provider.Invalid, "subnetwork %w", err)
	}
	boot := &compute.AttachedDisk{
		Boot: true, AutoDelete: true,
		InitializeParams: &compute.AttachedDiskInitializeParams{
			SourceImage: image.imagePath(), DiskSizeGb: s.BootDiskSize,
			DiskType: fmt.Sprintf("projects/%s/zones/%s/diskTypes/%s", s.Project, o.zone, orBalanced(s.DiskType)),
		},
	}
	if s.CMEK != "" {
		boot.DiskEncryptionKey = &compute.CustomerEncryptionKey{KmsKeyName: s.CMEK}
	}
	nic := &compute.NetworkInterface{Subnetwork: subnetwork.subnetworkPath()}
	if s.Network != "" {
		network, err := s.reference("network", s.Network)
		if err != nil {
			return nil, provider.Errorf(provider.Invalid, "network %w", err)
		}
		nic.Network = network.networkPath()
	}
	if s.PublicIP {
		nic.AccessConfigs = []*compute.AccessConfig{{Name: "External NAT", Type: "ONE_TO_ONE_NAT"}}
	}
	out := &compute.Instance{
		Name:  req.Name,
		Disks: []*compute.AttachedDisk{boot}, NetworkInterfaces: []*compute.NetworkInterface{nic},
		Labels: map[string]string{}, Metadata: &compute.Metadata{}, Scheduling: s.scheduling(o),
		GuestAccelerators: s.accelerators(o.zone),
	}
	for key, value := range s.Labels {
		out.Labels[key] = value
	}
	if len(s.NetworkTags) > 0 {
		out.Tags = &compute.Tags{Items: slices.Clone(s.NetworkTags)}
	}
	for _, key := range sortedKeys(s.Metadata) {
		value := s.Metadata[key]
		out.Metadata.Items = append(out.Metadata.Items, &compute.MetadataItems{Key: key, Value: &value})
	}
	if s.ServiceAccount.Email != "" {
		out.ServiceAccounts = []*compute.ServiceAccount{{Email: s.ServiceAccount.Email, Scopes: s.scopes()}}
	}
	out, err = applyOverride(out, s.ConfigOverride)
	if err != nil {
		return nil, err
	}
	s.seal(out, req, o, labels)
	return out, nil
}

func orBalanced(diskType string) string {
	if diskType == "" {
		return "pd-balanced"
	}
	return diskType
}

func (s *Settings) scopes() []string {
	if len(s.ServiceAccount.Scopes) == 0 {
		return []string{scope}
	}
	var out []string
	for _, text := range s.ServiceAccount.Scopes {
		if !strings.HasPrefix(text, "https://") {
			text = "https://www.googleapis.com/auth/" + text
		}
		out = append(out, text)
	}
	return out
}

// scheduling: instances with GPUs cannot be moved while they run, and nothing
// of a spot instance is worth being kept when it is taken away.
func (s *Settings) scheduling(o offer) *compute.Scheduling {
	spot := s.ProvisioningModel == "spot"
	gpus := len(s.GuestAccelerators) > 0 || ownGPUs.MatchString(o.machineType)
	if !spot && !gpus {
		return nil
	}
	out := &compute.Scheduling{OnHostMaintenance: "TERMINATE"}
	if spot {
		never := false
		out.ProvisioningModel, out.InstanceTerminationAction, out.AutomaticRestart = "SPOT", "DELETE", &never
	}
	return out
}

// seal sets what no override may change: what the machine is found by, what it
// runs, and that its disks go with it.
func (s *Settings) seal(out *compute.Instance, req provider.Request, o offer, labels map[string]string) {
	out.Name, out.MachineType = req.Name, fmt.Sprintf("projects/%s/zones/%s/machineTypes/%s", s.Project, o.zone, o.machineType)
	if out.Labels == nil {
		out.Labels = map[string]string{}
	}
	for key, value := range labels {
		out.Labels[key] = value
	}
	for _, d := range out.Disks {
		if d == nil || d.Source != "" {
			continue // a disk that was there before is not the machine's
		}
		d.AutoDelete = true
		if d.Type == "SCRATCH" {
			continue // lives and dies with the instance, and takes no labels
		}
		if d.InitializeParams == nil {
			d.InitializeParams = &compute.AttachedDiskInitializeParams{}
		}
		merged := map[string]string{}
		for _, from := range []map[string]string{s.Labels, d.InitializeParams.Labels, labels} {
			for key, value := range from {
				merged[key] = value
			}
		}
		d.InitializeParams.Labels = merged
	}
	if len(req.Bootstrap.UserData) > 0 {
		if out.Metadata == nil {
			out.Metadata = &compute.Metadata{}
		}
		script := string(req.Bootstrap.UserData)
		out.Metadata.Items = append(out.Metadata.Items, &compute.MetadataItems{Key: s.scriptKey(req.Bootstrap.UserData), Value: &script})
	}
}
