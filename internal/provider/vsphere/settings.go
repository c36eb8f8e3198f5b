package vsphere

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

// Settings are what can be chosen for machines on vSphere. Names of objects are
// as the vSphere Client shows them; one that lies in folders is written with
// them: "linux/ubuntu-24.04".
type Settings struct {
	VCenter    string `json:"vcenter" maxLength:"253" pattern:"^[^/@ ]+$" patternDescription:"a host name or an address, without https:// and without a path" group:"Connection" title:"vCenter server" doc:"Host name or address of the vCenter server." example:"vcenter.example.com"`
	Port       int64  `json:"port,omitempty" default:"443" minimum:"1" maximum:"65535" group:"Connection" doc:"Port of the vCenter server's API."`
	Username   string `json:"username" maxLength:"256" access:"true" group:"Connection" doc:"Account that Headroom works with, with its domain." example:"headroom@vsphere.local"`
	Password   string `json:"password" secret:"true" maxLength:"512" group:"Connection" doc:"Password of the account."`
	Thumbprint string `json:"thumbprint,omitempty" maxLength:"95" pattern:"^([0-9A-Fa-f]{2}:?){19,31}[0-9A-Fa-f]{2}$" patternDescription:"20 (SHA-1) or 32 (SHA-256) bytes in hexadecimal, with or without colons" access:"true" group:"Connection" doc:"Fingerprint of the vCenter server's certificate, instead of ca_bundle: exactly this certificate is accepted, whoever signed it. It must be changed when the certificate is renewed."`
	provider.Connection

	Datacenter       string `json:"datacenter" lookup:"datacenter" maxLength:"512" group:"Place" doc:"Datacenter in which everything else is looked up." example:"DC1"`
	Cluster          string `json:"cluster,omitempty" lookup:"cluster" maxLength:"512" group:"Place" doc:"Cluster, or host without a cluster, on which machines run. Required for full clones; linked and instant clones stay in the resource pool of source_vm without it." example:"compute"`
	ResourcePool     string `json:"resource_pool,omitempty" lookup:"resource_pool" maxLength:"512" group:"Place" title:"Resource pool" doc:"Resource pool of the cluster. Empty: the cluster itself." example:"desktops"`
	Datastore        string `json:"datastore,omitempty" lookup:"datastore" maxLength:"512" group:"Place" doc:"Datastore for the machines' disks, or datastore cluster with datastore_cluster. Empty: the datastore of the template or source_vm." example:"vsan-desktops"`
	DatastoreCluster bool   `json:"datastore_cluster,omitempty" group:"Place" title:"Is a datastore cluster" doc:"datastore names a datastore cluster: Storage DRS recommends one of its members, or the one with most free space is taken where Storage DRS is off."`
	DatastoreReserve int64  `json:"datastore_reserve,omitempty" default:"10" minimum:"1" maximum:"90" group:"Place" title:"Reserve of the datastore, %" doc:"Per cent of the datastore that a clone must leave free. A datastore that runs full pauses every machine on it."`
	Folder           string `json:"folder,omitempty" lookup:"folder" maxLength:"512" group:"Place" doc:"Folder of virtual machines into which machines are put. Empty: the top of the datacenter, which makes each listing look at all of its machines." example:"headroom"`

	CloneType CloneType    `json:"clone_type,omitempty" default:"full" enum:"full,linked,instant" group:"Machine" title:"Kind of clone" doc:"full: disks are copied from template. linked: disks are kept as differences to a snapshot of source_vm. instant: memory and disks are forked from the running source_vm."`
	Template  string       `json:"template,omitempty" required:"true" when:"clone_type=full" lookup:"template" maxLength:"512" group:"Machine" doc:"Template, or machine that is switched off, to clone." example:"templates/ubuntu-24.04"`
	SourceVM  string       `json:"source_vm,omitempty" required:"true" when:"clone_type=linked|instant" lookup:"source_vm" maxLength:"512" group:"Machine" title:"Source machine" doc:"Machine to clone: with a snapshot for linked clones, running for instant clones." example:"golden/ubuntu-24.04"`
	Snapshot  string       `json:"snapshot,omitempty" required:"true" when:"clone_type=linked" maxLength:"512" group:"Machine" doc:"Snapshot of source_vm that linked clones depend on. It must not be removed while they exist." example:"2026-11"`
	CPUs      int64        `json:"cpus,omitempty" when:"clone_type=full|linked" minimum:"1" maximum:"768" group:"Machine" title:"CPUs" doc:"Virtual CPUs. 0: as the source has."`
	Memory    fleet.Memory `json:"memory,omitempty" when:"clone_type=full|linked" group:"Machine" doc:"Memory. Empty: as the source has." example:"8Gi"`
	Network   string       `json:"network,omitempty" lookup:"network" maxLength:"512" group:"Machine" doc:"Network or distributed port group of the first network card. Empty: as the source has." example:"desktops-vlan20"`

	OSType        OSType       `json:"os_type" enum:"linux,windows" group:"Startup script" title:"Operating system" doc:"Operating system of the machines."`
	ScriptMethod  ScriptMethod `json:"script_method,omitempty" default:"guest_operations" enum:"guest_operations,guestinfo" group:"Startup script" title:"How the script gets in" doc:"guest_operations: VMware Tools run it once the machine is up; the result is shown; the controller needs HTTPS to the ESXi hosts. guestinfo: cloud-init or Cloudbase-Init finds it in guestinfo.userdata."`
	GuestUsername string       `json:"guest_username,omitempty" required:"true" when:"script_method=guest_operations" maxLength:"256" group:"Startup script" doc:"Account in the guest that runs the script: root, or an administrator of Windows." example:"root"`
	GuestPassword string       `json:"guest_password,omitempty" required:"true" when:"script_method=guest_operations" secret:"true" maxLength:"512" group:"Startup script" doc:"Password of that account."`
	SSHPublicKey  string       `json:"ssh_public_key,omitempty" maxLength:"16384" group:"Startup script" title:"SSH public key" doc:"Public key for the default user: {ssh_key} in startup scripts, and public-keys-data of guestinfo.metadata with script_method guestinfo." example:"ssh-ed25519 AAAAC3… admin"`
}

// CloneType is how a machine is made from its source.
type CloneType string

// The kinds of clones.
const (
	Full    CloneType = "full"
	Linked  CloneType = "linked"
	Instant CloneType = "instant"
)

// OSType is the operating system of machines.
type OSType string

// The operating systems.
const (
	Linux   OSType = "linux"
	Windows OSType = "windows"
)

// ScriptMethod is how startup scripts get into machines.
type ScriptMethod string

// The ways of startup scripts.
const (
	GuestOperations ScriptMethod = "guest_operations"
	Guestinfo       ScriptMethod = "guestinfo"
)

// Validate finds what contradicts itself across fields.
func (s Settings) Validate() []fleet.FieldError {
	found := s.Connection.Validate()
	fail := func(path, format string, args ...any) {
		found = append(found, fleet.FieldError{Path: path, Message: fmt.Sprintf(format, args...)})
	}
	if s.CloneType.or() == Full && s.Cluster == "" {
		fail("cluster", "is required when clone_type is full: a template belongs to no resource pool; name the cluster, or the host, on which machines run")
	}
	if s.ResourcePool != "" && s.Cluster == "" {
		fail("resource_pool", "needs cluster: resource pools are looked up in it")
	}
	if s.DatastoreCluster && s.Datastore == "" {
		fail("datastore_cluster", "needs datastore: write the name of the datastore cluster there")
	}
	if s.DatastoreCluster && s.CloneType == Instant {
		fail("datastore_cluster", "cannot be used when clone_type is instant: vSphere places instant clones on a datastore only; remove it or name a datastore")
	}
	if s.Thumbprint != "" {
		switch n := len(s.thumbprint()); {
		case n != 20 && n != 32:
			fail("thumbprint", "has %d bytes: give the 20 bytes of SHA-1 or the 32 of SHA-256", n)
		case s.InsecureSkipVerify:
			fail("insecure_skip_verify", "contradicts thumbprint: remove one of them")
		case s.CABundle != "":
			fail("ca_bundle", "is not used when thumbprint is set: remove one of them")
		}
	}
	if s.Memory%4 != 0 {
		fail("memory", "is %d MiB: vSphere wants a multiple of 4 MiB", s.Memory)
	}
	return found
}

func (t CloneType) or() CloneType { return fleet.Or(t, Full) }

// thumbprint is the fingerprint in bytes; nil when there is none.
func (s Settings) thumbprint() []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s.Thumbprint, ":", ""))
	if err != nil || len(b) == 0 {
		return nil
	}
	return b
}

// source is the path of the machine or template that is cloned.
func (s Settings) source() (path, setting string) {
	if s.CloneType.or() == Full {
		return s.Template, "template"
	}
	return s.SourceVM, "source_vm"
}

// Shape is what a machine made with the settings offers, as far as they tell.
func (s Settings) Shape() fleet.Resources { return s.shape(fleet.Resources{}) }

func (s Settings) shape(override fleet.Resources) fleet.Resources {
	return fleet.Resources{
		Cores:     fleet.Or(override.Cores, fleet.Cores(s.CPUs)*fleet.Core),
		MemoryMiB: fleet.Or(override.MemoryMiB, int64(s.Memory)),
	}
}
