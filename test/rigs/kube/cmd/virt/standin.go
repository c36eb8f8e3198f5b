package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log"
	"time"

	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	virt "kubevirt.io/api/core/v1"
)

// The stand-in is ours. It takes the place of what needs nodes, containers or
// disks, and of nothing else:
//
//   - the scheduler and the kubelet, for virt-launcher pods: bound to one node
//     that is made up, running once the Secrets that they mount are there;
//   - virt-handler and the guest: a scheduled VirtualMachineInstance runs and
//     gets an address;
//   - CDI and the storage driver (volumes.go);
//   - Harvester's controller of virtual machines (harvester.go).
//
// Annotations steer it. On the template of a VirtualMachine:
const (
	annotationSchedule = "rig.headroom.dev/schedule" // never: no node has room
	annotationRun      = "rig.headroom.dev/run"      // fail: the guest cannot be started; never: it stays scheduled
	// On a DataVolume:
	annotationVolume = "rig.headroom.dev/volume" // fail: the clone fails; never: it does not get on
)

const (
	nodeName = "rig-node"
	interval = 150 * time.Millisecond
	beat     = 20 * time.Second
)

type stand struct {
	kube    kubernetes.Interface
	dynamic dynamic.Interface // as the administrator
	handler dynamic.Interface // as virt-handler, who alone may write what guests report
	doomed  map[string]doomed // Harvester's machines and the volumes that go with them
}

func standIn(ctx context.Context, config *rest.Config) error {
	config.QPS, config.Burst = 500, 1000
	s := &stand{doomed: map[string]doomed{}}
	var err error
	if s.kube, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	if s.dynamic, err = dynamic.NewForConfig(config); err != nil {
		return err
	}
	as := rest.CopyConfig(config)
	as.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + namespace + ":kubevirt-handler",
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
	}
	if s.handler, err = dynamic.NewForConfig(as); err != nil {
		return err
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	var last time.Time
	for {
		if time.Since(last) > beat {
			if err := s.node(ctx); err == nil {
				last = time.Now()
			} else {
				report("node", err)
			}
		}
		for what, play := range map[string]func(context.Context) error{
			"volumes": s.volumes, "claims": s.claims, "pods": s.pods, "guests": s.guests, "harvester": s.harvester,
		} {
			report(what, play(ctx))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// report writes down what the next round will not mend by itself.
func report(what string, err error) {
	if err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
		log.Printf("%s: %v", what, err)
	}
}

// node keeps the node alive as virt-handler and the kubelet do.
func (s *stand) node(ctx context.Context) error {
	nodes := s.kube.CoreV1().Nodes()
	n, err := nodes.Get(ctx, nodeName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		n, err = nodes.Create(ctx, &core.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeName, Labels: map[string]string{"kubernetes.io/hostname": nodeName}}}, metav1.CreateOptions{})
	}
	if err != nil {
		return err
	}
	n.Labels[virt.NodeSchedulable] = "true"
	if n.Annotations == nil {
		n.Annotations = map[string]string{}
	}
	n.Annotations[virt.VirtHandlerHeartbeat] = time.Now().UTC().Format(time.RFC3339)
	if n, err = nodes.Update(ctx, n, metav1.UpdateOptions{}); err != nil {
		return err
	}
	n.Status.Conditions = []core.NodeCondition{{Type: core.NodeReady, Status: core.ConditionTrue, Reason: "Rig", LastHeartbeatTime: metav1.Now()}}
	_, err = nodes.UpdateStatus(ctx, n, metav1.UpdateOptions{})
	return err
}

func (s *stand) pods(ctx context.Context) error {
	list, err := s.kube.CoreV1().Pods("").List(ctx, metav1.ListOptions{LabelSelector: virt.AppLabel + "=virt-launcher"})
	if err != nil {
		return err
	}
	for n := range list.Items {
		report("pod "+list.Items[n].Name, s.pod(ctx, &list.Items[n]))
	}
	return nil
}

func (s *stand) pod(ctx context.Context, p *core.Pod) error {
	pods := s.kube.CoreV1().Pods(p.Namespace)
	switch {
	case p.DeletionTimestamp != nil:
		now := int64(0)
		return pods.Delete(ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: &now})
	case p.Annotations[annotationSchedule] == "never":
		for _, c := range p.Status.Conditions { // KubeVirt adds some of its own
			if c.Type == core.PodScheduled {
				return nil
			}
		}
		p.Status.Conditions = append(p.Status.Conditions, core.PodCondition{
			Type: core.PodScheduled, Status: core.ConditionFalse, Reason: core.PodReasonUnschedulable, LastTransitionTime: metav1.Now(),
			Message: "0/1 nodes are available: 1 Insufficient memory.",
		})
		_, err := pods.UpdateStatus(ctx, p, metav1.UpdateOptions{})
		return err
	case p.Spec.NodeName == "":
		return pods.Bind(ctx, &core.Binding{
			ObjectMeta: metav1.ObjectMeta{Name: p.Name, Namespace: p.Namespace}, Target: core.ObjectReference{Kind: "Node", Name: nodeName},
		}, metav1.CreateOptions{})
	case p.Status.Phase != core.PodPending && p.Status.Phase != "":
		return nil
	}
	for _, v := range p.Spec.Volumes { // a kubelet starts nothing before it has mounted everything
		if v.Secret == nil || v.Secret.Optional != nil && *v.Secret.Optional {
			continue
		}
		if _, err := s.kube.CoreV1().Secrets(p.Namespace).Get(ctx, v.Secret.SecretName, metav1.GetOptions{}); err != nil {
			return err
		}
	}
	now, started := metav1.Now(), true
	ip := address(string(p.UID))
	p.Status = core.PodStatus{Phase: core.PodRunning, StartTime: &now, HostIP: "10.0.0.2", PodIP: ip, PodIPs: []core.PodIP{{IP: ip}}}
	for _, t := range []core.PodConditionType{core.PodScheduled, core.PodInitialized, core.ContainersReady, core.PodReady} {
		p.Status.Conditions = append(p.Status.Conditions, core.PodCondition{Type: t, Status: core.ConditionTrue, LastTransitionTime: now})
	}
	running := func(containers []core.Container) (out []core.ContainerStatus) {
		for _, c := range containers {
			out = append(out, core.ContainerStatus{
				Name: c.Name, Image: c.Image, Ready: true, Started: &started, ContainerID: "containerd://rig-" + c.Name,
				State: core.ContainerState{Running: &core.ContainerStateRunning{StartedAt: now}},
			})
		}
		return out
	}
	p.Status.ContainerStatuses, p.Status.InitContainerStatuses = running(p.Spec.Containers), running(p.Spec.InitContainers)
	_, err := pods.UpdateStatus(ctx, p, metav1.UpdateOptions{})
	return err
}

var instances = virt.SchemeGroupVersion.WithResource("virtualmachineinstances")

func (s *stand) guests(ctx context.Context) error {
	list, err := s.handler.Resource(instances).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for n := range list.Items {
		vmi := &virt.VirtualMachineInstance{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.Items[n].Object, vmi); err != nil {
			return err
		}
		if !advance(vmi) {
			continue
		}
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(vmi)
		if err != nil {
			return err
		}
		u := list.Items[n].DeepCopy()
		u.Object["status"] = fields["status"]
		_, err = s.handler.Resource(instances).Namespace(vmi.Namespace).Update(ctx, u, metav1.UpdateOptions{})
		report("guest "+vmi.Name, err)
	}
	return nil
}

// advance takes a guest a step further and says whether it did.
func advance(vmi *virt.VirtualMachineInstance) bool {
	enter := func(phase virt.VirtualMachineInstancePhase) bool {
		vmi.Status.Phase = phase
		vmi.Status.PhaseTransitionTimestamps = append(vmi.Status.PhaseTransitionTimestamps,
			virt.VirtualMachineInstancePhaseTransitionTimestamp{Phase: phase, PhaseTransitionTimestamp: metav1.Now()})
		return true
	}
	switch {
	case vmi.DeletionTimestamp != nil:
		return (vmi.Status.Phase == virt.Running || vmi.Status.Phase == virt.Scheduled) && enter(virt.Succeeded)
	case vmi.Status.Phase != virt.Scheduled || vmi.Annotations[annotationRun] == "never":
		return false
	case vmi.Annotations[annotationRun] == "fail":
		return enter(virt.Failed)
	}
	ip := address(string(vmi.UID))
	vmi.Status.Interfaces = nil
	for _, nic := range vmi.Spec.Domain.Devices.Interfaces {
		vmi.Status.Interfaces = append(vmi.Status.Interfaces, virt.VirtualMachineInstanceNetworkInterface{
			Name: nic.Name, IP: ip, IPs: []string{ip, "fe80::1"}, InfoSource: "domain", QueueCount: 1,
		})
	}
	vmi.Status.Conditions = append(vmi.Status.Conditions, virt.VirtualMachineInstanceCondition{
		Type: virt.VirtualMachineInstanceAgentConnected, Status: core.ConditionTrue, LastProbeTime: metav1.Now(), LastTransitionTime: metav1.Now(),
	})
	return enter(virt.Running)
}

// address is one that the pod network could have given.
func address(uid string) string {
	sum := sha256.Sum256([]byte(uid))
	return fmt.Sprintf("10.244.%d.%d", sum[0], 1+sum[1]%254)
}
