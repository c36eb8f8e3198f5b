package fakeoci

import (
	"crypto/rsa"
	"fmt"
	"time"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/core"
	"github.com/oracle/oci-go-sdk/v65/workrequests"
)

// What every tenancy has.
const (
	Region      = "eu-frankfurt-1"
	Fingerprint = "20:3b:97:13:55:1c:5b:0d:d3:37:d8:50:4e:c5:3a:34"

	domainPrefix = "Uocm:EU-FRANKFURT-1-AD-"
	pageLimit    = 50 // the most that a page has, whatever is asked for
	metadataSize = 32000
)

// Tenancy is one customer with one compartment, one user, one network and a few
// images.
type Tenancy struct {
	server *Server

	Tenancy, User, Compartment string
	Subnet, NSG, OtherNSG      string
	Image, Windows, Arm        string

	keys     map[string]*rsa.PublicKey // by id
	lacking  map[string]bool           // permissions
	faults   []Fault
	expired  bool
	calls    int64
	tokens   int
	body     string        // of the last request
	boot     time.Duration // from the launch until it runs
	lag      time.Duration // until a listing shows a new instance
	limit    int
	soldOut  map[string]string // offer to how: "at once" or "later"
	untagged bool              // boot volumes do not take over tags
	keep     bool              // terminations leave the boot volume
	how404   bool              // terminating what is gone is 404 and not 409
	looks    int               // how often a capture is looked at before it is done

	instances map[string]*machine
	order     []string
	tokensOf  map[string]used
	volumes   map[string]*core.BootVolume
	boots     []*core.BootVolumeAttachment
	vnics     []*core.VnicAttachment
	private   []*core.PrivateIp
	public    []*core.PublicIp
	v6        []*core.Ipv6
	histories map[string]*core.ConsoleHistory
	looked    map[string]int
	work      []*workRequest
	zones     map[string]*zone
}

// machine is an instance and what it was asked for with.
type machine struct {
	core.Instance
	asked    core.LaunchInstanceDetails
	text     string // the body, as it was sent
	launched time.Time
	ends     bool
	fails    string // why it will be given up
	password string
	hidden   bool
}

type used struct{ instance, body string }

type workRequest struct {
	workrequests.WorkRequestSummary
	of   string
	errs []workrequests.WorkRequestError
}

// NewTenancy makes a tenancy.
func (s *Server) NewTenancy() *Tenancy {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &Tenancy{
		server: s, Tenancy: s.id("tenancy", ""), User: s.id("user", ""), Compartment: s.id("compartment", ""),
		Subnet: s.id("subnet", Region), NSG: s.id("networksecuritygroup", Region), OtherNSG: s.id("networksecuritygroup", Region),
		Image: s.id("image", Region), Windows: s.id("image", Region), Arm: s.id("image", Region),
		keys: map[string]*rsa.PublicKey{}, lacking: map[string]bool{}, limit: 1000, soldOut: map[string]string{}, boot: 20 * time.Millisecond, looks: 1,
		instances: map[string]*machine{}, tokensOf: map[string]used{}, volumes: map[string]*core.BootVolume{},
		histories: map[string]*core.ConsoleHistory{}, looked: map[string]int{}, zones: map[string]*zone{},
	}
	id := t.Tenancy + "/" + t.User + "/" + Fingerprint
	t.keys[id] = &s.key.PublicKey
	s.tenancies[id] = t
	t.addZone("example.com", "")
	return t
}

// Domain is the name of an availability domain, from 1 to 3.
func Domain(n int) string { return fmt.Sprintf("%s%d", domainPrefix, n) }

func stamp(at time.Time) *common.SDKTime { return &common.SDKTime{Time: at.UTC()} }

// tick lets time pass: what is provisioned runs, what terminates is gone.
func (t *Tenancy) tick() {
	now := t.server.now()
	for _, id := range t.order {
		m := t.instances[id]
		switch {
		case m.LifecycleState == core.InstanceLifecycleStateProvisioning && now.Sub(m.launched) >= t.boot && m.fails != "":
			t.giveUp(m)
		case m.LifecycleState == core.InstanceLifecycleStateProvisioning && now.Sub(m.launched) >= t.boot:
			m.LifecycleState = core.InstanceLifecycleStateRunning
			t.attach(m)
		case m.LifecycleState == core.InstanceLifecycleStateTerminating && !m.ends:
			m.ends = true // seen once as it terminates
		case m.LifecycleState == core.InstanceLifecycleStateTerminating:
			t.end(m)
		}
	}
}

// giveUp ends a launch that found no room.
func (t *Tenancy) giveUp(m *machine) {
	for _, w := range t.work {
		if w.of == *m.Id {
			w.Status, w.TimeFinished = workrequests.WorkRequestSummaryStatusFailed, stamp(t.server.now())
			w.errs = []workrequests.WorkRequestError{{Code: new("InternalServerError"), Message: new(m.fails), Timestamp: stamp(t.server.now())}}
		}
	}
	t.end(m)
}

// attach gives a machine that begins to run its interface and addresses.
func (t *Tenancy) attach(m *machine) {
	for _, w := range t.work {
		if w.of == *m.Id {
			w.Status, w.PercentComplete = workrequests.WorkRequestSummaryStatusSucceeded, new(float32(100))
		}
	}
	s, now := t.server, stamp(t.server.now())
	vnic, ip := s.id("vnic", Region), s.id("privateip", Region)
	n := s.serial
	t.vnics = append(t.vnics, &core.VnicAttachment{
		AvailabilityDomain: m.AvailabilityDomain, CompartmentId: m.CompartmentId, Id: new(s.id("vnicattachment", Region)), InstanceId: m.Id,
		LifecycleState: core.VnicAttachmentLifecycleStateAttached, TimeCreated: now, SubnetId: &t.Subnet, VnicId: &vnic,
	})
	t.private = append(t.private, &core.PrivateIp{
		Id: &ip, VnicId: &vnic, SubnetId: &t.Subnet, IpAddress: new(fmt.Sprintf("10.0.%d.%d", n/250%250, n%250+2)), IsPrimary: new(true), CompartmentId: m.CompartmentId,
		AvailabilityDomain: m.AvailabilityDomain, FreeformTags: m.asked.CreateVnicDetails.FreeformTags,
	})
	if wants := m.asked.CreateVnicDetails.AssignPublicIp; wants == nil || *wants {
		t.public = append(t.public, &core.PublicIp{
			Id: new(s.id("publicip", Region)), AssignedEntityId: &ip, AssignedEntityType: core.PublicIpAssignedEntityTypePrivateIp, AvailabilityDomain: m.AvailabilityDomain,
			CompartmentId: m.CompartmentId, IpAddress: new(fmt.Sprintf("203.0.%d.%d", n/250%250, n%250+2)), Lifetime: core.PublicIpLifetimeEphemeral,
			Scope: core.PublicIpScopeAvailabilityDomain, LifecycleState: core.PublicIpLifecycleStateAssigned,
		})
	}
	if wants := m.asked.CreateVnicDetails.AssignIpv6Ip; wants != nil && *wants {
		t.v6 = append(t.v6, &core.Ipv6{
			CompartmentId: m.CompartmentId, DisplayName: m.DisplayName, Id: new(s.id("ipv6", Region)), IpAddress: new(fmt.Sprintf("2001:db8::%x", n)),
			LifecycleState: core.Ipv6LifecycleStateAvailable, SubnetId: &t.Subnet, TimeCreated: now, VnicId: &vnic,
		})
	}
}

// end removes what goes with an instance. Its record stays.
func (t *Tenancy) end(m *machine) {
	m.LifecycleState = core.InstanceLifecycleStateTerminated
	for _, b := range t.boots {
		if *b.InstanceId != *m.Id || b.LifecycleState == core.BootVolumeAttachmentLifecycleStateDetached {
			continue
		}
		b.LifecycleState = core.BootVolumeAttachmentLifecycleStateDetached
		if !t.keep {
			delete(t.volumes, *b.BootVolumeId)
		}
	}
	for _, v := range t.vnics {
		if *v.InstanceId == *m.Id {
			v.LifecycleState = core.VnicAttachmentLifecycleStateDetached
			t.private = without(t.private, func(p *core.PrivateIp) bool { return *p.VnicId == *v.VnicId })
			t.v6 = without(t.v6, func(p *core.Ipv6) bool { return *p.VnicId == *v.VnicId })
		}
	}
	held := map[string]bool{}
	for _, p := range t.private {
		held[*p.Id] = true
	}
	t.public = without(t.public, func(p *core.PublicIp) bool { return !held[*p.AssignedEntityId] })
}

func without[T any](list []T, gone func(T) bool) []T {
	var out []T
	for _, v := range list {
		if !gone(v) {
			out = append(out, v)
		}
	}
	return out
}
