package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	cdi "kubevirt.io/containerized-data-importer/pkg/operator/resources"
	"kubevirt.io/kubevirt/pkg/virt-operator/resource/generate/components"
	"sigs.k8s.io/yaml"
)

// definitions are the CRDs of KubeVirt and CDI as their modules hold them, and
// those of the files in dir.
func definitions(dir string) ([]*v1.CustomResourceDefinition, error) {
	var all []*v1.CustomResourceDefinition
	for _, make := range []func() (*v1.CustomResourceDefinition, error){
		components.NewVirtualMachineCrd, components.NewVirtualMachineInstanceCrd, components.NewKubeVirtCrd,
		components.NewReplicaSetCrd, components.NewPresetCrd, components.NewVirtualMachinePoolCrd,
		components.NewVirtualMachineInstanceMigrationCrd, components.NewMigrationPolicyCrd,
		components.NewVirtualMachineInstancetypeCrd, components.NewVirtualMachineClusterInstancetypeCrd,
		components.NewVirtualMachinePreferenceCrd, components.NewVirtualMachineClusterPreferenceCrd,
		components.NewVirtualMachineSnapshotCrd, components.NewVirtualMachineSnapshotContentCrd,
		components.NewVirtualMachineRestoreCrd, components.NewVirtualMachineExportCrd, components.NewVirtualMachineCloneCrd,
		components.NewVirtualMachineBackupCrd, components.NewVirtualMachineBackupTrackerCrd, // virt-controller watches all of them
	} {
		crd, err := make()
		if err != nil {
			return nil, err
		}
		all = append(all, crd)
	}
	for name, text := range cdi.CDICRDs {
		crd := &v1.CustomResourceDefinition{}
		if err := yaml.Unmarshal([]byte(text), crd); err != nil {
			return nil, fmt.Errorf("CRD %s of CDI: %w", name, err)
		}
		all = append(all, crd)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		crd := &v1.CustomResourceDefinition{}
		if err := yaml.Unmarshal(text, crd); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, crd)
	}
	return all, nil
}

func (i *installer) define(ctx context.Context, dir string) error {
	all, err := definitions(dir)
	if err != nil {
		return err
	}
	api := i.extensions.ApiextensionsV1().CustomResourceDefinitions()
	for _, crd := range all {
		crd.Status = v1.CustomResourceDefinitionStatus{}
		if _, err := api.Create(ctx, crd, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("CRD %s: %w", crd.Name, err)
		}
	}
	for _, crd := range all {
		err := every(ctx, 100*time.Millisecond, func() error {
			now, err := api.Get(ctx, crd.Name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			for _, c := range now.Status.Conditions {
				if c.Type == v1.Established && c.Status == v1.ConditionTrue {
					return nil
				}
			}
			return errors.New("is not established")
		})
		if err != nil {
			return fmt.Errorf("CRD %s: %w", crd.Name, err)
		}
	}
	return nil
}
