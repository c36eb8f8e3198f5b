package proxmox

import (
	"maps"
	"slices"
	"strings"
)

// Privileges of Proxmox VE that the driver needs.
const (
	privClone      = "VM.Clone"
	privAllocate   = "VM.Allocate"
	privAudit      = "VM.Audit"
	privPower      = "VM.PowerMgmt"
	privCPU        = "VM.Config.CPU"
	privMemory     = "VM.Config.Memory"
	privOptions    = "VM.Config.Options"
	privNetwork    = "VM.Config.Network"
	privCloudinit  = "VM.Config.Cloudinit"
	privDisk       = "VM.Config.Disk"
	privCDROM      = "VM.Config.CDROM"
	privHardware   = "VM.Config.HWType"
	privSpace      = "Datastore.AllocateSpace"
	privSDN        = "SDN.Use"
	privPool       = "Pool.Allocate"
	privMonitor    = "VM.Monitor"                 // the guest agent, up to Proxmox VE 8
	privGuestAgent = "VM.GuestAgent.Unrestricted" // the guest agent, from Proxmox VE 9
	privMapping    = "Mapping.Use"
	privNodeAudit  = "Sys.Audit"
	onlyRoot       = "root@pam" // no privilege at all suffices
	localSDNZone   = "localnetwork"
)

// options are those of PUT /nodes/{node}/qemu/{vmid}/config, with the
// privilege that each needs. A name that ends in # takes a number.
var options = map[string]string{
	"cores": privCPU, "sockets": privCPU, "vcpus": privCPU, "cpu": privCPU, "cpulimit": privCPU, "cpuunits": privCPU, "affinity": privCPU, "numa": privCPU, "numa#": privCPU, "smp": privCPU,
	"memory": privMemory, "balloon": privMemory, "shares": privMemory, "hugepages": privMemory, "keephugepages": privMemory, "allow-ksm": privMemory,
	"net#":      privNetwork,
	"ipconfig#": privCloudinit, "nameserver": privCloudinit, "searchdomain": privCloudinit, "citype": privCloudinit, "ciupgrade": privCloudinit, "ciuser": privCloudinit, "cipassword": privCloudinit, "sshkeys": privCloudinit, "cicustom": privCloudinit,
	"ide#": privDisk, "sata#": privDisk, "scsi#": privDisk, "virtio#": privDisk, "efidisk0": privDisk, "tpmstate0": privDisk, "cdrom": privCDROM,
	"acpi": privHardware, "bios": privHardware, "hotplug": privHardware, "kvm": privHardware, "machine": privHardware, "scsihw": privHardware, "vga": privHardware, "tablet": privHardware,
	"usb#": privHardware, "hostpci#": privHardware, "serial#": privHardware, "rng0": privHardware, "audio0": privHardware, "watchdog": privHardware, "arch": privHardware, "virtiofs#": privHardware,
	"agent": privOptions, "autostart": privOptions, "boot": privOptions, "bootdisk": privOptions, "description": privOptions, "keyboard": privOptions, "localtime": privOptions, "migrate_downtime": privOptions, "migrate_speed": privOptions,
	"name": privOptions, "onboot": privOptions, "ostype": privOptions, "protection": privOptions, "reboot": privOptions, "smbios1": privOptions, "startdate": privOptions, "startup": privOptions, "tags": privOptions, "tdf": privOptions,
	"vmgenid": privOptions, "vmstatestorage": privOptions, "spice_enhancements": privOptions, "freeze": privOptions, "template": privOptions,
	"args": onlyRoot, "hookscript": onlyRoot, "parallel#": onlyRoot, "ivshmem": onlyRoot, "amd-sev": onlyRoot, "intel-tdx": onlyRoot,
}

// optionPrivilege names the privilege that an option needs; ok is false for
// options that Proxmox VE does not have.
func optionPrivilege(key string) (privilege string, ok bool) {
	if p, ok := options[key]; ok {
		return p, !strings.HasSuffix(key, "#")
	}
	stem := strings.TrimRight(key, "0123456789")
	if stem == key || len(key)-len(stem) > 3 {
		return "", false
	}
	p, ok := options[stem+"#"]
	return p, ok
}

// device is an option that gives a machine something of its host: of which kind,
// and by which resource mapping. Without a mapping only root may set it; USB can
// be that of a SPICE client, too (check_hostpci_perm and check_usb_perm of
// qemu-server, PVE/API2/Qemu.pm).
func device(key, value string) (kind, mapping string, bare bool) {
	switch strings.TrimRight(key, "0123456789") {
	case "hostpci":
		kind = "pci"
	case "usb":
		kind = "usb"
	default:
		return "", "", false
	}
	spice := false
	for part := range strings.SplitSeq(value, ",") {
		if m, ok := strings.CutPrefix(part, "mapping="); ok {
			mapping = m
		}
		spice = spice || part == "spice" || part == "host=spice"
	}
	return kind, mapping, mapping == "" && (kind == "pci" || !spice)
}

// rootOnly says why an API token cannot set an option, whatever its privileges.
func rootOnly(key string, value any) string {
	if value == nil {
		return "" // it stays as the template has it
	}
	text, _ := value.(string)
	if kind, _, bare := device(key, text); bare {
		return "only root may give a device of the host by its address: make a resource mapping (Datacenter, Resource Mappings) and write mapping=NAME, which needs Mapping.Use on /mapping/" + kind + "/NAME"
	}
	if p, _ := optionPrivilege(key); p == onlyRoot {
		return "only root may, and no API token is root: set it in the template"
	}
	return ""
}

func isOption(key string) bool {
	_, ok := optionPrivilege(key)
	return ok
}

func optionNames() []string {
	var names []string
	for _, n := range slices.Sorted(maps.Keys(options)) {
		names = append(names, strings.Replace(n, "#", "0", 1))
	}
	return names
}
