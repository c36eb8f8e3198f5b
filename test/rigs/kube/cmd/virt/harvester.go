package main

import (
	"context"
	"encoding/json"
	"strings"

	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	virt "kubevirt.io/api/core/v1"
)

// What Harvester's controller of virtual machines reads.
const (
	claimTemplates = "harvesterhci.io/volumeClaimTemplates"
	removedClaims  = "harvesterhci.io/removedPersistentVolumeClaims"
)

// doomed are the volumes that go when their machine is gone.
type doomed struct {
	namespace string
	claims    []string
}

var machines = virt.SchemeGroupVersion.WithResource("virtualmachines")

// harvester plays the part of Harvester's controller that makes the volumes of
// a machine's annotation, and removes those that another annotation names when
// the machine goes. The real one holds machines back by a finalizer until then;
// here the names are remembered.
func (s *stand) harvester(ctx context.Context) error {
	list, err := s.dynamic.Resource(machines).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for n := range list.Items {
		vm := &list.Items[n]
		there[string(vm.GetUID())] = true
		templates := vm.GetAnnotations()[claimTemplates]
		if templates == "" {
			continue
		}
		var names []string
		for _, name := range strings.Split(vm.GetAnnotations()[removedClaims], ",") {
			if name = strings.TrimSpace(name); name != "" {
				names = append(names, name)
			}
		}
		s.doomed[string(vm.GetUID())] = doomed{vm.GetNamespace(), names}
		if vm.GetDeletionTimestamp() != nil {
			continue
		}
		var claims []core.PersistentVolumeClaim
		if err := json.Unmarshal([]byte(templates), &claims); err != nil {
			report("volumes of machine "+vm.GetName(), err)
			continue
		}
		for i := range claims {
			claims[i].Namespace = vm.GetNamespace()
			_, err := s.kube.CoreV1().PersistentVolumeClaims(vm.GetNamespace()).Create(ctx, &claims[i], metav1.CreateOptions{})
			if !apierrors.IsAlreadyExists(err) {
				report("volume "+claims[i].Name, err)
			}
		}
	}
	for uid, d := range s.doomed {
		if there[uid] {
			continue
		}
		for _, name := range d.claims {
			report("volume "+name, s.kube.CoreV1().PersistentVolumeClaims(d.namespace).Delete(ctx, name, metav1.DeleteOptions{}))
		}
		delete(s.doomed, uid)
	}
	return nil
}
