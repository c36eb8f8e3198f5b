package kubevirt

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/headroom-dev/headroom/internal/kubevm"
	"github.com/headroom-dev/headroom/test/kuberig"
)

// What the settings can ask for is what KubeVirt's own webhooks accept, and what
// stands in the machine that was made.
func TestManifests(t *testing.T) {
	t.Parallel()
	const guest = "spec.template.spec."
	for name, c := range map[string]struct {
		change func(*Settings)
		want   map[string]any
	}{
		"plain": {nil, map[string]any{
			"spec.runStrategy": "Always", guest + "hostname": "hr-1", guest + "domain.cpu.cores": int64(2), guest + "domain.memory.guest": "2Gi",
			guest + "domain.devices.interfaces.0.masquerade": map[string]any{}, guest + "networks.0.pod": map[string]any{}, guest + "networks.0.name": "default",
			guest + "domain.devices.disks.1":                                     map[string]any{"name": "config-drive-disk", "cdrom": map[string]any{"bus": "sata", "readonly": true}},
			guest + "volumes.1":                                                  map[string]any{"name": "config-drive-disk", "cloudInitConfigDrive": map[string]any{"secretRef": map[string]any{"name": "hr-1-secret"}}},
			"spec.dataVolumeTemplates.0.metadata.name":                           "hr-1-disk-0",
			"spec.dataVolumeTemplates.0.spec.source.pvc":                         nil, // filled in below
			"spec.dataVolumeTemplates.0.spec.storage.storageClassName":           kuberig.ClassImmediate,
			"spec.dataVolumeTemplates.0.spec.storage.resources.requests.storage": "5Gi",
		}},
		"bridge": {func(s *Settings) { s.InterfaceType, s.NetworkName = kubevm.InterfaceBridge, "lan" }, map[string]any{
			guest + "domain.devices.interfaces.0": map[string]any{"name": "lan", "bridge": map[string]any{}}, guest + "networks.0": map[string]any{"name": "lan", "pod": map[string]any{}},
		}},
		"multus": {func(s *Settings) {
			s.NetworkType, s.NetworkName, s.InterfaceType = kubevm.NetworkMultus, "nets/vlan-20", kubevm.InterfaceBridge
		}, map[string]any{
			guest + "domain.devices.interfaces.0.bridge": map[string]any{}, guest + "networks.0.multus.networkName": "nets/vlan-20",
		}},
		"EFI": {func(s *Settings) { s.EFI = true }, map[string]any{guest + "domain.firmware.bootloader.efi.secureBoot": false}},
		"secure boot and TPM": {func(s *Settings) { s.EFI, s.SecureBoot, s.TPM = true, true, true }, map[string]any{
			guest + "domain.firmware.bootloader.efi.secureBoot": true, guest + "domain.features.smm.enabled": true, guest + "domain.devices.tpm": map[string]any{},
		}},
		"GPUs": {func(s *Settings) { s.GPUs = []kubevm.Device{{DeviceName: kuberig.GPU, Count: 2}} }, map[string]any{
			guest + "domain.devices.gpus": []any{map[string]any{"name": "gpu-0", "deviceName": kuberig.GPU}, map[string]any{"name": "gpu-1", "deviceName": kuberig.GPU}},
		}},
		"host devices": {func(s *Settings) { s.HostDevs = []kubevm.Device{{DeviceName: kuberig.GPU}} }, map[string]any{
			guest + "domain.devices.hostDevices": []any{map[string]any{"name": "device-0", "deviceName": kuberig.GPU}},
		}},
		"SSH key": {func(s *Settings) { s.SSHPublicKey = "ssh-ed25519 AAAA ann" }, map[string]any{
			guest + "accessCredentials.0.sshPublicKey.source.secret.secretName": "hr-1-ssh",
		}},
		"data source": {func(s *Settings) { s.DiskSource, s.DiskSourceType = "images/noble", SourceDataSource }, map[string]any{
			"spec.dataVolumeTemplates.0.spec.sourceRef": map[string]any{"kind": "DataSource", "namespace": "images", "name": "noble"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, c.change)
			if _, err := b.driver.Create(t.Context(), b.request()); err != nil {
				t.Fatal(err)
			}
			vm := b.Get(t, kuberig.Machines, "hr-1")
			for path, want := range c.want {
				if path == "spec.dataVolumeTemplates.0.spec.source.pvc" {
					want = map[string]any{"namespace": b.Namespace, "name": source}
				}
				if diff := cmp.Diff(want, at(vm, path)); diff != "" {
					t.Errorf("%s:\n%s", path, diff)
				}
			}
			b.clear(t)
		})
	}
}

// at is what stands at a path of names and numbers.
func at(u *unstructured.Unstructured, path string) any {
	var v any = u.Object
	for _, step := range strings.Split(path, ".") {
		switch inner := v.(type) {
		case map[string]any:
			v = inner[step]
		case []any:
			n := int(step[0] - '0')
			if n >= len(inner) {
				return nil
			}
			v = inner[n]
		default:
			return nil
		}
	}
	return v
}
