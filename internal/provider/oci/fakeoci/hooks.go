package fakeoci

import (
	"encoding/base64"
	"time"

	"github.com/oracle/oci-go-sdk/v65/core"
)

// What tests look at and change, without the API.

func (t *Tenancy) locked() func() {
	t.server.mu.Lock()
	t.tick()
	return t.server.mu.Unlock
}

// Spoil lets a later call fail.
func (t *Tenancy) Spoil(f Fault) { defer t.locked()(); t.faults = append(t.faults, f) }

// Expire refuses the keys of the tenancy, or takes them again.
func (t *Tenancy) Expire(yes bool) { defer t.locked()(); t.expired = yes }

// Lack takes permissions away; none gives all back.
func (t *Tenancy) Lack(permissions ...string) {
	defer t.locked()()
	t.lacking = map[string]bool{}
	for _, name := range permissions {
		t.lacking[name] = true
	}
}

// Limit sets how many instances the tenancy may have.
func (t *Tenancy) Limit(n int) { defer t.locked()(); t.limit = n }

// SellOut lets launches of an offer fail: "at once", or "later", after they were
// accepted. Empty gives the capacity back.
func (t *Tenancy) SellOut(offer, how string) { defer t.locked()(); t.soldOut[offer] = how }

// Slow sets how long instances take until they run.
func (t *Tenancy) Slow(boot time.Duration) { defer t.locked()(); t.boot = boot }

// Lag sets how long listings leave new instances out.
func (t *Tenancy) Lag(lag time.Duration) { defer t.locked()(); t.lag = lag }

// Untagged lets boot volumes be without the tags of their instance.
func (t *Tenancy) Untagged() { defer t.locked()(); t.untagged = true }

// KeepVolumes lets terminations leave boot volumes behind.
func (t *Tenancy) KeepVolumes(yes bool) { defer t.locked()(); t.keep = yes }

// GoneIs404 says how the termination of what has ended is refused.
func (t *Tenancy) GoneIs404(yes bool) { defer t.locked()(); t.how404 = yes }

// Looks sets how often a capture of a console must be looked at until it is done;
// 0: it never is.
func (t *Tenancy) Looks(n int) { defer t.locked()(); t.looks = n }

// Hide lets listings leave an instance out, or show it again.
func (t *Tenancy) Hide(id string, yes bool) { defer t.locked()(); t.instances[id].hidden = yes }

// State sets the lifecycle state of an instance.
func (t *Tenancy) State(id, state string) {
	defer t.locked()()
	t.instances[id].LifecycleState = core.InstanceLifecycleStateEnum(state)
}

// Age makes an instance older.
func (t *Tenancy) Age(id string, by time.Duration) {
	defer t.locked()()
	m := t.instances[id]
	m.TimeCreated = stamp(m.TimeCreated.Add(-by))
}

// Maintain announces maintenance of an instance.
func (t *Tenancy) Maintain(id string, at time.Time) {
	defer t.locked()()
	t.instances[id].TimeMaintenanceRebootDue = stamp(at)
}

// SetPassword lets an instance have made a password.
func (t *Tenancy) SetPassword(id, password string) {
	defer t.locked()()
	t.instances[id].password = password
}

// Purge removes the record of an instance, as the service does after some hours.
func (t *Tenancy) Purge(id string) {
	defer t.locked()()
	delete(t.instances, id)
	t.order = without(t.order, func(o string) bool { return o == id })
}

// Calls counts the requests so far.
func (t *Tenancy) Calls() int64 { defer t.locked()(); return t.calls }

// Tokens counts the tokens that were given for the identity of an instance.
func (t *Tenancy) Tokens() int { defer t.locked()(); return t.tokens }

// Plant makes an instance of somebody else's, with the tags.
func (t *Tenancy) Plant(name string, tags map[string]string) (id string) {
	defer t.locked()()
	m := t.build(core.LaunchInstanceDetails{
		AvailabilityDomain: new(Domain(1)), CompartmentId: &t.Compartment, Shape: new("VM.Standard2.1"), DisplayName: &name, FreeformTags: tags,
		CreateVnicDetails: &core.CreateVnicDetails{}, SourceDetails: core.InstanceSourceViaImageDetails{ImageId: &t.Image},
	})
	return *m.Id
}

// PlantVolume makes a boot volume that no instance uses.
func (t *Tenancy) PlantVolume(name string, tags map[string]string) (id string) {
	defer t.locked()()
	v := &core.BootVolume{
		AvailabilityDomain: new(Domain(1)), CompartmentId: &t.Compartment, Id: new(t.server.id("bootvolume", Region)), LifecycleState: core.BootVolumeLifecycleStateAvailable,
		SizeInMBs: new(int64(51200)), TimeCreated: stamp(t.server.now()), DisplayName: &name, FreeformTags: tags,
	}
	t.volumes[*v.Id] = v
	return *v.Id
}

// Asked is the body with which an instance was asked for, as JSON; empty when
// there is none or it has ended.
func (t *Tenancy) Asked(id string) string {
	defer t.locked()()
	if m := t.instances[id]; m != nil && m.LifecycleState != core.InstanceLifecycleStateTerminated {
		return m.text
	}
	return ""
}

// Body is the body of the last request, as it was sent.
func (t *Tenancy) Body() string { defer t.locked()(); return t.body }

// UserData is what cloud-init finds on an instance.
func (t *Tenancy) UserData(id string) []byte {
	defer t.locked()()
	out, err := base64.StdEncoding.DecodeString(t.instances[id].Metadata["user_data"])
	if err != nil {
		panic(err) // launches with other user data are refused
	}
	return out
}

// Tags gives the free-form tags of every instance, interface, boot volume and
// captured console.
func (t *Tenancy) Tags() map[string]map[string]string {
	defer t.locked()()
	out := map[string]map[string]string{}
	for id, m := range t.instances {
		if m.LifecycleState != core.InstanceLifecycleStateTerminated {
			out["instance "+id], out["interface of "+id] = m.FreeformTags, m.asked.CreateVnicDetails.FreeformTags
		}
	}
	for id, v := range t.volumes {
		out["boot volume "+id] = v.FreeformTags
	}
	for id, h := range t.histories {
		out["console "+id] = h.FreeformTags
	}
	return out
}

// Addresses are those of an instance, public ones first.
func (t *Tenancy) Addresses(id string) []string {
	defer t.locked()()
	var public, private []string
	for _, v := range t.vnics {
		for _, p := range t.private {
			if *v.InstanceId != id || *p.VnicId != *v.VnicId {
				continue
			}
			private = append(private, *p.IpAddress)
			for _, o := range t.public {
				if *o.AssignedEntityId == *p.Id {
					public = append(public, *o.IpAddress)
				}
			}
		}
	}
	return append(public, private...)
}

// Instances counts the instances that have not ended.
func (t *Tenancy) Instances() int {
	defer t.locked()()
	n := 0
	for _, m := range t.instances {
		if m.LifecycleState != core.InstanceLifecycleStateTerminated {
			n++
		}
	}
	return n
}

// Objects names everything that exists.
func (t *Tenancy) Objects() []string {
	defer t.locked()()
	var out []string
	for _, id := range t.order {
		if t.instances[id].LifecycleState != core.InstanceLifecycleStateTerminated {
			out = append(out, "instance "+id)
		}
	}
	for _, id := range sortedKeys(t.volumes) {
		out = append(out, "boot volume "+id)
	}
	for _, id := range sortedKeys(t.histories) {
		out = append(out, "console history "+id)
	}
	for _, p := range t.private {
		out = append(out, "address "+*p.IpAddress)
	}
	for _, p := range t.public {
		out = append(out, "address "+*p.IpAddress)
	}
	return out
}
