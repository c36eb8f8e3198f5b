package azure_test

import (
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
)

// eventually repeats look until it says nothing.
func eventually(t *testing.T, look func() string) {
	t.Helper()
	providertest.Eventually(t, 30*time.Second, look)
}

// reaches waits until get and list show a machine in the state.
func reaches(t *testing.T, d provider.Driver, id string, state provider.State) (shown, listed provider.Instance) {
	t.Helper()
	eventually(t, func() string {
		var err error
		if shown, err = d.Get(t.Context(), id); err != nil || shown.State != state {
			return "get shows " + string(shown.State) + " " + shown.Fault
		}
		listed = provider.Instance{}
		for i, err := range d.List(t.Context(), request("a").Tags.Owner()) {
			if err != nil {
				t.Fatal(err)
			}
			if i.ID == id {
				listed = i
			}
		}
		if listed.State != state {
			return "the listing shows " + string(listed.State)
		}
		return ""
	})
	return shown, listed
}

// texts are those of an error and of all of its causes.
func texts(err error) []string {
	var out []string
	for err != nil {
		out = append(out, err.Error())
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			break
		}
		err = u.Unwrap()
	}
	return out
}
