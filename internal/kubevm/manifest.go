package kubevm

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	virt "kubevirt.io/api/core/v1"

	"github.com/headroom-dev/headroom/internal/provider"
)

// ClaimTemplates is the annotation of a VirtualMachine from which Harvester
// makes volumes.
const ClaimTemplates = "harvesterhci.io/volumeClaimTemplates"

// Root is where a machine's root disk comes from.
type Root struct {
	Source      virt.VolumeSource
	Templates   []virt.DataVolumeTemplateSpec // volumes that KubeVirt makes for the machine
	Annotations map[string]string             // of the VirtualMachine
	Labels      map[string]string             // of the VirtualMachine's template
}

// manifest is the VirtualMachine of a request: the settings' own, or that of
// their override, with what every machine of ours has.
func (d *Driver) manifest(req provider.Request, root Root) (*unstructured.Unstructured, error) {
	var doc map[string]any
	if m := d.Machine; m.ConfigOverride != nil {
		doc, _ = replaceNames(m.ConfigOverride, req.Name).(map[string]any)
	} else {
		var err error
		if doc, err = runtime.DefaultUnstructuredConverter.ToUnstructured(m.virtualMachine(root)); err != nil {
			return nil, provider.Errorf(provider.Unknown, "building the manifest: %w", err)
		}
		delete(doc, "status")
		unstructured.RemoveNestedField(doc, "metadata", "creationTimestamp")
		unstructured.RemoveNestedField(doc, "spec", "template", "metadata", "creationTimestamp")
	}
	e := editor{doc: doc}
	e.set(apiVersion, "apiVersion")
	e.set(vmKind, "kind")
	e.set(req.Name, "metadata", "name")
	e.set(d.Access.Namespace, "metadata", "namespace")
	ours := labelsOf(req.Tags, req.Name)
	e.extend(ours, "metadata", "labels")
	e.extend(ours, "spec", "template", "metadata", "labels")
	e.set(string(virt.RunStrategyAlways), "spec", "runStrategy")
	unstructured.RemoveNestedField(doc, "spec", "running") // excludes runStrategy
	e.set(req.Name, "spec", "template", "spec", "hostname")
	e.label(ours, "spec", "dataVolumeTemplates")
	e.labelClaims(ours)
	e.append(map[string]any{
		"name": configDrive, "cdrom": map[string]any{"bus": "sata", "readonly": true},
	}, "spec", "template", "spec", "domain", "devices", "disks")
	e.append(map[string]any{
		"name": configDrive, "cloudInitConfigDrive": map[string]any{"secretRef": map[string]any{"name": secretName(req.Name)}},
	}, "spec", "template", "spec", "volumes")
	if d.Machine.SSHPublicKey != "" {
		e.append(map[string]any{"sshPublicKey": map[string]any{
			"source":            map[string]any{"secret": map[string]any{"secretName": sshName(req.Name)}},
			"propagationMethod": map[string]any{"configDrive": map[string]any{}},
		}}, "spec", "template", "spec", "accessCredentials")
	}
	if e.err != nil {
		return nil, provider.Errorf(provider.Invalid, "the manifest of config_override cannot be completed: %w", e.err)
	}
	return &unstructured.Unstructured{Object: doc}, nil
}

// virtualMachine is what the settings say without an override.
func (m Machine) virtualMachine(root Root) *virt.VirtualMachine {
	vm := &virt.VirtualMachine{}
	vm.Annotations = root.Annotations
	vm.Spec.DataVolumeTemplates = root.Templates
	memory := resource.NewQuantity(int64(m.Memory)<<20, resource.BinarySI)
	domain := virt.DomainSpec{
		CPU:    &virt.CPU{Cores: uint32(m.Cores)},
		Memory: &virt.Memory{Guest: memory},
		Devices: virt.Devices{
			Disks: []virt.Disk{{Name: rootDisk, DiskDevice: virt.DiskDevice{Disk: &virt.DiskTarget{Bus: virt.DiskBusVirtio}}}},
		},
	}
	if m.EFI {
		secure := m.SecureBoot
		domain.Firmware = &virt.Firmware{Bootloader: &virt.Bootloader{EFI: &virt.EFI{SecureBoot: &secure}}}
		if secure { // which KubeVirt allows only with system management mode
			yes := true
			domain.Features = &virt.Features{SMM: &virt.FeatureState{Enabled: &yes}}
		}
	}
	if m.TPM {
		domain.Devices.TPM = &virt.TPMDevice{}
	}
	for _, gpu := range expand("gpu", m.GPUs) {
		domain.Devices.GPUs = append(domain.Devices.GPUs, virt.GPU{Name: gpu.name, DeviceName: gpu.device})
	}
	for _, dev := range expand("device", m.HostDevs) {
		domain.Devices.HostDevices = append(domain.Devices.HostDevices, virt.HostDevice{Name: dev.name, DeviceName: dev.device})
	}
	nic, network := m.network()
	domain.Devices.Interfaces = []virt.Interface{nic}
	vm.Spec.Template = &virt.VirtualMachineInstanceTemplateSpec{Spec: virt.VirtualMachineInstanceSpec{
		Domain:   domain,
		Networks: []virt.Network{network},
		Volumes:  []virt.Volume{{Name: rootDisk, VolumeSource: root.Source}},
	}}
	vm.Spec.Template.ObjectMeta.Labels = maps.Clone(root.Labels)
	return vm
}

type numbered struct{ name, device string }

func expand(prefix string, devices []Device) (out []numbered) {
	for _, d := range devices {
		for range max(d.Count, 1) {
			out = append(out, numbered{fmt.Sprintf("%s-%d", prefix, len(out)), d.DeviceName})
		}
	}
	return out
}

func (m Machine) network() (virt.Interface, virt.Network) {
	name := "default"
	source := virt.NetworkSource{Pod: &virt.PodNetwork{}}
	switch {
	case m.NetworkType == NetworkMultus:
		source = virt.NetworkSource{Multus: &virt.MultusNetwork{NetworkName: m.NetworkName}}
	case m.NetworkName != "":
		name = m.NetworkName
	}
	nic := virt.Interface{Name: name}
	if m.InterfaceType == InterfaceBridge {
		nic.Bridge = &virt.InterfaceBridge{}
	} else {
		nic.Masquerade = &virt.InterfaceMasquerade{}
	}
	return nic, virt.Network{Name: name, NetworkSource: source}
}

// secrets are the Secrets of a machine: the startup script, and the key.
func (d *Driver) secrets(req provider.Request) []*core.Secret {
	make := func(name string, data map[string][]byte) *core.Secret {
		s := &core.Secret{Type: core.SecretTypeOpaque, Data: data}
		s.APIVersion, s.Kind = "v1", "Secret"
		s.Name, s.Namespace, s.Labels = name, d.Access.Namespace, labelsOf(req.Tags, req.Name)
		return s
	}
	// KubeVirt wants the key even when there is no script.
	out := []*core.Secret{make(secretName(req.Name), map[string][]byte{"userdata": req.Bootstrap.UserData})}
	if key := strings.TrimSpace(d.Machine.SSHPublicKey); key != "" {
		out = append(out, make(sshName(req.Name), map[string][]byte{"key": []byte(key + "\n")}))
	}
	return out
}

// editor changes a document in place and keeps the first thing that hinders it.
type editor struct {
	doc map[string]any
	err error
}

func (e *editor) keep(err error) {
	if e.err == nil {
		e.err = err
	}
}

func (e *editor) set(value any, path ...string) {
	e.keep(unstructured.SetNestedField(e.doc, value, path...))
}

// extend adds labels or annotations to those that are there.
func (e *editor) extend(ours map[string]string, path ...string) {
	all, _, err := unstructured.NestedStringMap(e.doc, path...)
	e.keep(err)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, ours)
	e.keep(unstructured.SetNestedStringMap(e.doc, all, path...))
}

func (e *editor) append(item map[string]any, path ...string) {
	list, _, err := unstructured.NestedSlice(e.doc, path...)
	e.keep(err)
	e.keep(unstructured.SetNestedSlice(e.doc, append(list, item), path...))
}

// label extends the labels of each template in a list.
func (e *editor) label(ours map[string]string, path ...string) {
	list, found, err := unstructured.NestedSlice(e.doc, path...)
	e.keep(err)
	if found {
		e.labelAll(list, ours)
		e.keep(unstructured.SetNestedSlice(e.doc, list, path...))
	}
}

func (e *editor) labelAll(list []any, ours map[string]string) {
	for _, item := range list {
		if template, ok := item.(map[string]any); ok {
			inner := editor{doc: template}
			inner.extend(ours, "metadata", "labels")
			unstructured.RemoveNestedField(template, "metadata", "creationTimestamp")
			e.keep(inner.err)
		}
	}
}

// labelClaims does the same for the volumes that Harvester makes from an
// annotation.
func (e *editor) labelClaims(ours map[string]string) {
	all, _, err := unstructured.NestedStringMap(e.doc, "metadata", "annotations")
	e.keep(err)
	text := all[ClaimTemplates]
	if text == "" {
		return
	}
	var list []any
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		e.keep(fmt.Errorf("its annotation %s is no list of volumes: %w", ClaimTemplates, err))
		return
	}
	e.labelAll(list, ours)
	marked, err := json.Marshal(list)
	e.keep(err)
	e.set(string(marked), "metadata", "annotations", ClaimTemplates)
}
