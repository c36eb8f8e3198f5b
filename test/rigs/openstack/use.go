package openstack

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"
)

// Guest is what a machine found when it booted.
type Guest struct {
	Name             string            `json:"name"`
	UserData         string            `json:"user_data"` // in base64
	ConfigDrive      bool              `json:"config_drive"`
	KeyName          string            `json:"key_name"`
	Metadata         map[string]string `json:"metadata"`
	Flavor           string            `json:"flavor"`
	AvailabilityZone string            `json:"availability_zone"`
	Volumes          []string          `json:"volumes"`
}

// Guest reads what the hypervisor gave to a machine that runs.
func (r *Rig) Guest(id string) (Guest, error) {
	var g Guest
	b, err := os.ReadFile(r.path("nova", "guests", id+".json"))
	if err != nil {
		return g, err
	}
	return g, json.Unmarshal(b, &g)
}

// Script is the guest's user data as they were before base64.
func (g Guest) Script() ([]byte, error) { return base64.StdEncoding.DecodeString(g.UserData) }

// Share lets a test use the rig beside others; none of them may take services
// away meanwhile.
func (r *Rig) Share(t testing.TB) { r.use(t, syscall.LOCK_SH, 15*time.Minute) }

// Alone gives the whole rig to a test that kills services. It must have started
// them again when it ends.
func (r *Rig) Alone(t testing.TB) { r.use(t, syscall.LOCK_EX, 15*time.Minute) }

func (r *Rig) use(t testing.TB, how int, patience time.Duration) {
	t.Helper()
	f, err := os.OpenFile(r.path("use.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	// Whoever wants to be alone shuts the gate, so that nobody new comes in while
	// it waits for the others to leave.
	gate, err := os.OpenFile(r.path("gate.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	r.acquire(t, gate, how, patience)
	if how == syscall.LOCK_SH {
		gate.Close()
	} else {
		t.Cleanup(func() { gate.Close() })
	}
	r.acquire(t, f, how, patience)
}

func (r *Rig) acquire(t testing.TB, f *os.File, how int, patience time.Duration) {
	t.Helper()
	err := r.until(patience, func() error {
		err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("other tests use the rig in %s", r.Dir)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
