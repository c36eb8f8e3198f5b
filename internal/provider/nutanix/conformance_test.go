package nutanix

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/nutanix/fakenutanix"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
)

// prismCentral starts a fake; what its contract refuses fails the test.
func prismCentral(t *testing.T, o fakenutanix.Options) *fakenutanix.Server {
	t.Helper()
	s, err := fakenutanix.New(o)
	if errors.Is(err, fakenutanix.ErrNoContract) {
		t.Skipf("SKIPPED: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		for _, wrong := range s.Wrong() {
			t.Errorf("not as the API description says: %s", wrong)
		}
	})
	return s
}

// settingsOf are settings that work with the fake.
func settingsOf(s *fakenutanix.Server) Settings {
	host, port := s.Address()
	return Settings{
		Host: host, Port: port, Username: fakenutanix.Username, Password: fakenutanix.Password,
		Connection:  provider.Connection{CABundle: s.Authority()},
		VMCandidate: "golden", Cluster: "cluster-a", Subnet: "vlan-120", Project: "desktops",
		Cores: 4, Memory: 8 * fleet.GiB, Categories: map[string]string{"Environment": "Production"},
	}
}

func driverOf(t *testing.T, s Settings) *driver {
	t.Helper()
	opened, err := open(t.Context(), s, provider.Host{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	d, ok := opened.(*driver)
	if !ok {
		t.Fatalf("opened %T", opened)
	}
	return d
}

func markText(t *testing.T, tags provider.Tags, created time.Time) string {
	t.Helper()
	text, err := json.Marshal(mark{
		Installation: tags.Installation, Provider: tags.Provider, Autoscale: tags.AutoscaleConfig, Server: tags.Server, Name: "hr-lost", Created: created,
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// lifeCalls: a mark and a clone, a delete, and two looks that find nothing.
const lifeCalls = 5

func TestConformance(t *testing.T) {
	t.Parallel()
	providertest.Run(t, providertest.Harness{New: func(t *testing.T) providertest.Account {
		s := prismCentral(t, fakenutanix.Options{PageLength: 4})
		settings := settingsOf(s)
		wrongCA := settings
		wrongCA.CABundle = providertest.OtherAuthority(t)
		return providertest.Account{
			Kind: Kind(), Settings: &settings, Secrets: []string{fakenutanix.Password}, Patience: 10 * time.Second, Pages: 5,
			Foreign:    func(*testing.T) string { return s.AddVM("somebody's") },
			Exists:     func(_ *testing.T, id string) bool { return s.Exists(id) },
			Leftovers:  func(*testing.T) []string { return s.Leftovers() },
			LoseCreate: func(*testing.T) { s.Lose(fakenutanix.CreateVM) },
			LoseDelete: func(*testing.T) { s.Lose(fakenutanix.DeleteVM) },
			BreakList: func(*testing.T) {
				s.Refuse(fakenutanix.ListVMs, 1, 1, http.StatusInternalServerError, "INTERNAL_ERROR", "the index is being rebuilt")
			},
			LeaveRemnant: func(t *testing.T, tags provider.Tags) {
				s.Mark(markKey, uuid.NewString(), markText(t, tags, time.Now().Add(-time.Hour)))
			},
			UserData: func(_ *testing.T, id string) []byte { data, _ := s.Guest(id); return data },
			Tagged: func(t *testing.T) map[string]provider.Tags {
				all := map[string]provider.Tags{}
				for id, text := range s.Marks(markKey) {
					var m mark
					if err := json.Unmarshal([]byte(text), &m); err != nil {
						t.Error(err)
					}
					all["category value "+id] = m.tags()
					metadata, _ := s.VM(id)["metadata"].(map[string]any)
					categories, _ := metadata["categories"].(map[string]string)
					all["virtual machine "+id] = map[bool]provider.Tags{true: m.tags()}[categories[markKey] == id]
				}
				return all
			},
			WrongCA:   &wrongCA,
			Expire:    func(*testing.T) func() { s.Expire(true); return func() { s.Expire(false) } },
			Hang:      func(*testing.T) { s.Hang() },
			Calls:     s.Calls,
			LifeCalls: lifeCalls,
			Provoke:   provoke(s),
		}
	}})
}

// provoke makes Prism refuse a create in each way. A machine is made by two
// requests; the second is the one that has all the reasons to fail.
func provoke(s *fakenutanix.Server) map[provider.Class]func(*testing.T, provider.Driver) error {
	request := provider.Request{
		Token: "refused", Name: "hr-refused",
		Tags: provider.Tags{Installation: "one", Provider: "nutanix", Server: "01refused", AutoscaleConfig: "desktops"},
	}
	create := func(status int, reason, message string) func(*testing.T, provider.Driver) error {
		return func(t *testing.T, d provider.Driver) error {
			s.Refuse(fakenutanix.CreateVM, 0, 1, status, reason, message)
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
		provider.Invalid:     create(http.StatusUnprocessableEntity, "INVALID_ARGUMENT", "memory_size_mib is not a multiple"),
		provider.Forbidden:   create(http.StatusForbidden, "ACCESS_DENIED", "No permission to access the resource"),
		provider.Quota:       create(http.StatusUnprocessableEntity, "INTERNAL_ERROR", "Quota exceeded for project desktops: VCPUS 40 of 40"),
		provider.NoCapacity:  create(http.StatusUnprocessableEntity, "RESOURCE_SHORTAGE", "The cluster has no room"),
		provider.Conflict:    create(http.StatusConflict, "CONCURRENT_REQUESTS_NOT_ALLOWED", "Edit conflict: please retry change"),
		provider.Unavailable: create(http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE", "The cluster is not connected"),
		provider.Unsupported: create(http.StatusUnprocessableEntity, "REQUEST_NOT_SUPPORTED", "The hypervisor is not AHV"),
		provider.RateLimited: func(t *testing.T, d provider.Driver) error {
			s.RefuseRaw(fakenutanix.CreateVM, 1, http.StatusTooManyRequests, http.Header{"Retry-After": {"7"}}, "slow down")
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
