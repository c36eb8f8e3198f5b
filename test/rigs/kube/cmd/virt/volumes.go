package main

import (
	"context"
	"fmt"

	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	cdi "kubevirt.io/containerized-data-importer-api/pkg/apis/core/v1beta1"
)

var (
	dataVolumes = cdi.SchemeGroupVersion.WithResource("datavolumes")
	dataSources = cdi.SchemeGroupVersion.WithResource("datasources")
)

// volumes plays CDI: a DataVolume whose source is there gets a claim of its
// name, which it owns and hands its labels to, and succeeds.
func (s *stand) volumes(ctx context.Context) error {
	list, err := s.dynamic.Resource(dataVolumes).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for n := range list.Items {
		dv := &cdi.DataVolume{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.Items[n].Object, dv); err != nil {
			return err
		}
		if dv.DeletionTimestamp == nil && dv.Status.Phase != cdi.Succeeded && dv.Status.Phase != cdi.Failed {
			report("data volume "+dv.Name, s.volume(ctx, dv))
		}
	}
	return nil
}

func (s *stand) volume(ctx context.Context, dv *cdi.DataVolume) error {
	missing, err := s.missing(ctx, dv)
	if err != nil {
		return err
	}
	switch {
	case dv.Annotations[annotationVolume] == "fail":
		return s.phase(ctx, dv, cdi.Failed, "Error", "Unable to process data: No space left on device")
	case dv.Annotations[annotationVolume] == "never":
		return s.phase(ctx, dv, cdi.CloneInProgress, "", "")
	case missing != "":
		return s.phase(ctx, dv, cdi.Pending, "CloneSourceNotFound", missing)
	}
	if err := s.claim(ctx, dv); err != nil {
		return err
	}
	return s.phase(ctx, dv, cdi.Succeeded, "Completed", "Clone Complete")
}

// missing says which source of the volume is not there.
func (s *stand) missing(ctx context.Context, dv *cdi.DataVolume) (string, error) {
	source := dv.Spec.Source
	if ref := dv.Spec.SourceRef; ref != nil {
		where := dv.Namespace
		if ref.Namespace != nil && *ref.Namespace != "" {
			where = *ref.Namespace
		}
		u, err := s.dynamic.Resource(dataSources).Namespace(where).Get(ctx, ref.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return fmt.Sprintf("DataSource %s/%s not found", where, ref.Name), nil
		}
		if err != nil {
			return "", err
		}
		ds := &cdi.DataSource{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, ds); err != nil {
			return "", err
		}
		source = &cdi.DataVolumeSource{PVC: ds.Spec.Source.PVC}
	}
	if source == nil || source.PVC == nil {
		return "", nil
	}
	where := source.PVC.Namespace
	if where == "" {
		where = dv.Namespace
	}
	_, err := s.kube.CoreV1().PersistentVolumeClaims(where).Get(ctx, source.PVC.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return fmt.Sprintf("Source pvc %s/%s not found", where, source.PVC.Name), nil
	}
	return "", err
}

func (s *stand) claim(ctx context.Context, dv *cdi.DataVolume) error {
	yes := true
	claim := &core.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{
		Name: dv.Name, Namespace: dv.Namespace, Labels: dv.Labels,
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: cdi.SchemeGroupVersion.String(), Kind: "DataVolume", Name: dv.Name, UID: dv.UID, Controller: &yes, BlockOwnerDeletion: &yes,
		}},
	}}
	switch {
	case dv.Spec.PVC != nil:
		claim.Spec = *dv.Spec.PVC
	case dv.Spec.Storage != nil:
		claim.Spec.StorageClassName, claim.Spec.AccessModes, claim.Spec.VolumeMode = dv.Spec.Storage.StorageClassName, dv.Spec.Storage.AccessModes, dv.Spec.Storage.VolumeMode
		claim.Spec.Resources = dv.Spec.Storage.Resources
	}
	if len(claim.Spec.AccessModes) == 0 {
		claim.Spec.AccessModes = []core.PersistentVolumeAccessMode{core.ReadWriteOnce}
	}
	if claim.Spec.Resources.Requests == nil { // as large as the source
		claim.Spec.Resources.Requests = core.ResourceList{core.ResourceStorage: resource.MustParse("1Gi")}
	}
	_, err := s.kube.CoreV1().PersistentVolumeClaims(dv.Namespace).Create(ctx, claim, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func (s *stand) phase(ctx context.Context, dv *cdi.DataVolume, phase cdi.DataVolumePhase, reason, message string) error {
	if dv.Status.Phase == phase {
		return nil
	}
	dv.Status.Phase, dv.Status.ClaimName = phase, dv.Name
	dv.Status.Conditions = nil
	if reason != "" {
		dv.Status.Conditions = []cdi.DataVolumeCondition{{
			Type: cdi.DataVolumeRunning, Status: core.ConditionFalse, Reason: reason, Message: message,
			LastTransitionTime: metav1.Now(), LastHeartbeatTime: metav1.Now(),
		}}
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(dv)
	if err != nil {
		return err
	}
	u := &unstructured.Unstructured{Object: fields}
	_, err = s.dynamic.Resource(dataVolumes).Namespace(dv.Namespace).UpdateStatus(ctx, u, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) { // the CRD of older versions has no such subresource
		_, err = s.dynamic.Resource(dataVolumes).Namespace(dv.Namespace).Update(ctx, u, metav1.UpdateOptions{})
	}
	return err
}

// claims plays the storage driver: every claim is bound.
func (s *stand) claims(ctx context.Context) error {
	list, err := s.kube.CoreV1().PersistentVolumeClaims("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for n := range list.Items {
		c := &list.Items[n]
		if c.DeletionTimestamp != nil || c.Status.Phase == core.ClaimBound {
			continue
		}
		c.Status.Phase, c.Status.Capacity, c.Status.AccessModes = core.ClaimBound, c.Spec.Resources.Requests, c.Spec.AccessModes
		_, err := s.kube.CoreV1().PersistentVolumeClaims(c.Namespace).UpdateStatus(ctx, c, metav1.UpdateOptions{})
		report("claim "+c.Name, err)
	}
	return nil
}
