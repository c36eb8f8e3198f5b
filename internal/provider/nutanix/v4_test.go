package nutanix

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	v3 "github.com/nutanix-cloud-native/prism-go-client/v3"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	fake4 "github.com/headroom-dev/headroom/internal/provider/nutanix/fakenutanixv4"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
)

// centralV4 starts a fake; what the vendor's SDK does not know fails the test.
func centralV4(t *testing.T, o fake4.Options) *fake4.Server {
	t.Helper()
	s, err := fake4.New(o)
	if errors.Is(err, fake4.ErrNoContract) {
		t.Skipf("SKIPPED: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		for _, wrong := range s.Wrong() {
			t.Errorf("not as the SDK says: %s", wrong)
		}
	})
	return s
}

// settingsV4 are settings that work with the fake.
func settingsV4(s *fake4.Server) Settings {
	host, port := s.Address()
	return Settings{
		Host: host, Port: port, APIVersion: v4Name, Username: fake4.Username, Password: fake4.Password,
		Connection:  provider.Connection{CABundle: s.Authority()},
		VMCandidate: "golden", Cluster: "cluster-a", Subnet: "vlan-120",
		Cores: 4, Memory: 8 * fleet.GiB, Categories: map[string]string{"Environment": "Production"},
	}
}

func driverV4(t *testing.T, s Settings) *driver4 {
	t.Helper()
	opened, err := open(t.Context(), s, provider.Host{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	d, ok := opened.(*driver4)
	if !ok {
		t.Fatalf("opened %T", opened)
	}
	return d
}

// lifeCallsV4: the ETag of the VM to clone, a mark, the clone, and the mark read
// and written with its task; the mark, the ETag and the delete; and one look that
// finds no mark.
const lifeCallsV4 = 9

func TestConformanceV4(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]string{"virtual machine": "golden", "template": "golden-template"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			providertest.Run(t, providertest.Harness{New: func(t *testing.T) providertest.Account { return accountV4(t, source) }})
		})
	}
}

func accountV4(t *testing.T, source string) providertest.Account {
	s := centralV4(t, fake4.Options{PageLength: 4})
	settings := settingsV4(s)
	settings.VMCandidate = source
	wrongCA := settings
	wrongCA.CABundle = providertest.OtherAuthority(t)
	operation, calls := fake4.CloneVM, int64(lifeCallsV4)
	if source != "golden" {
		operation, calls = fake4.DeployTemplate, lifeCallsV4-1 // a template is no virtual machine with an ETag
	}
	return providertest.Account{
		Kind: Kind(), Settings: &settings, Secrets: []string{fake4.Password}, Patience: 20 * time.Second, Pages: 5,
		Foreign:    func(*testing.T) string { return s.AddVM("somebody's") },
		Exists:     func(_ *testing.T, id string) bool { _, ok := s.Find(markKey, id); return ok },
		Leftovers:  func(*testing.T) []string { return s.Leftovers() },
		LoseCreate: func(*testing.T) { s.Lose(operation) },
		LoseDelete: func(*testing.T) { s.Lose(fake4.DeleteVM) },
		BreakList: func(*testing.T) {
			s.Refuse(fake4.ListCategories, 1, 1, http.StatusInternalServerError, "INTERNAL_ERROR", "the index is being rebuilt")
		},
		LeaveRemnant: func(t *testing.T, tags provider.Tags) {
			s.Category(markKey, uuid.NewString(), markText(t, tags, time.Now().Add(-time.Hour)))
		},
		UserData: func(_ *testing.T, id string) []byte { vm, _ := s.Find(markKey, id); return vm.UserData },
		Tagged: func(t *testing.T) map[string]provider.Tags {
			all := map[string]provider.Tags{}
			for id, text := range s.Categories(markKey) {
				m, ok := parseMark(text)
				if !ok {
					t.Errorf("a mark that cannot be read: %s", text)
				}
				all["category "+id] = m.tags()
				_, marked := s.Find(markKey, id)
				all["virtual machine of "+id] = map[bool]provider.Tags{true: m.tags()}[marked]
			}
			return all
		},
		WrongCA:   &wrongCA,
		Expire:    func(*testing.T) func() { s.Expire(true); return func() { s.Expire(false) } },
		Hang:      func(*testing.T) { s.Hang() },
		Calls:     s.Calls,
		LifeCalls: calls,
		Provoke:   provokeV4(s, operation),
	}
}

// provokeV4 makes Prism refuse a create in each way.
func provokeV4(s *fake4.Server, operation string) map[provider.Class]func(*testing.T, provider.Driver) error {
	request := provider.Request{
		Token: "refused", Name: "hr-refused",
		Tags: provider.Tags{Installation: "one", Provider: "nutanix", Server: "01refused", AutoscaleConfig: "desktops"},
	}
	create := func(status int, group, message string) func(*testing.T, provider.Driver) error {
		return func(t *testing.T, d provider.Driver) error {
			s.Refuse(operation, 0, 1, status, group, message)
			_, err := d.Create(t.Context(), request)
			if left := s.Leftovers(); provider.ClassOf(err).MadeNothing() && len(left) > 0 {
				t.Errorf("a create that made nothing left %v", left)
			}
			return err
		}
	}
	return map[provider.Class]func(*testing.T, provider.Driver) error{
		provider.NotFound: func(t *testing.T, d provider.Driver) error {
			_, err := d.Get(t.Context(), uuid.NewString())
			return err
		},
		provider.Invalid:     create(http.StatusBadRequest, "INVALID_ARGUMENT", "memorySizeBytes is not a multiple"),
		provider.Forbidden:   create(http.StatusForbidden, "ACCESS_DENIED", "No permission to access the resource"),
		provider.Quota:       create(http.StatusBadRequest, "INTERNAL_ERROR", "Quota exceeded for project desktops: VCPUS 40 of 40"),
		provider.NoCapacity:  create(http.StatusBadRequest, "RESOURCE_SHORTAGE", "The cluster has no room"),
		provider.Conflict:    create(http.StatusPreconditionFailed, "INVALID_ETAG_HEADER", "If-Match value passed does not match"),
		provider.Unavailable: create(http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE", "The cluster is not connected"),
		provider.Unsupported: create(http.StatusNotImplemented, "NOT_IMPLEMENTED", "The hypervisor is not AHV"),
		provider.RateLimited: func(t *testing.T, d provider.Driver) error {
			s.RefuseRaw(operation, 1, http.StatusTooManyRequests, http.Header{"Retry-After": {"7"}}, "slow down")
			_, err := d.Create(t.Context(), request)
			if got := provider.RetryAfter(err); got != 7*time.Second {
				t.Errorf("the wait is %v, Prism said 7s", got)
			}
			return err
		},
		provider.Unauthenticated: func(t *testing.T, d provider.Driver) error {
			s.Expire(true)
			defer s.Expire(false)
			_, err := d.Get(context.WithoutCancel(t.Context()), uuid.NewString())
			return err
		},
	}
}

// asStatus is a value as Prism shows it afterwards.
func asStatus(v *v3.CategoryValue) *v3.CategoryValueStatus {
	return &v3.CategoryValueStatus{Value: v.Value, Description: v.Description}
}
