package proxmox

import (
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/provider"
)

// Documents as people have them in the field.
func TestOverridesFromTheField(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]map[string]any{
		"host CPU and NUMA":  {"cpu": "host,flags=+aes", "numa": 1, "affinity": "0-3"},
		"hugepages":          {"hugepages": "1024", "numa": true, "keephugepages": 1},
		"q35, UEFI and TPM":  {"machine": "q35", "bios": "ovmf", "efidisk0": "local-lvm:1,efitype=4m,pre-enrolled-keys=1", "tpmstate0": "local-lvm:1,version=v2.0"},
		"a second disk":      {"scsi1": "local-lvm:32,ssd=1,discard=on", "scsihw": "virtio-scsi-single"},
		"a GPU by a mapping": {"hostpci0": "mapping=gpu,pcie=1", "machine": "q35", "vga": "none"},
		"a serial console":   {"serial0": "socket", "vga": "serial0"},
		"a second network":   {"net1": "virtio,bridge=vmbr0,tag=20,queues=4,mtu=1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, wrong := range checkOverride(doc) {
				t.Errorf("refused when it is saved: %v", wrong)
			}
			s := newSite(t, nil)
			i := running(t, s.driver(t, func(c *Settings) { c.ConfigOverride = doc }), "01jfield")
			v := vmOf(t, s, i)
			for key, want := range doc {
				text, ok := want.(string)
				if got := v.Config[key]; ok && !strings.HasPrefix(key, "net") && got != text {
					t.Errorf("%s is %q, asked for %q", key, got, text)
				}
			}
		})
	}
}

// A right that only an option of the override needs is asked for before anything
// is made.
func TestMappingWithoutRight(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.SetGrants(without(9, privMapping))
	d := s.driver(t, func(c *Settings) { c.ConfigOverride = map[string]any{"hostpci0": "mapping=gpu"} })
	_, err := d.Create(t.Context(), request("01jmapping"))
	if provider.ClassOf(err) != provider.Forbidden || !strings.Contains(err.Error(), "Mapping.Use on /mapping/pci/gpu") || len(s.VMs()) != 1 {
		t.Errorf("create: %v, %d virtual machines", err, len(s.VMs()))
	}
}
