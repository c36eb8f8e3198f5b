package provider_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/startup"
)

type toySettings struct{ Limit int }

type toy struct {
	provider.Driver
	limit int
}

func openToy(_ context.Context, s toySettings, _ provider.Host) (*toy, error) {
	if s.Limit < 0 {
		return nil, errors.New("no such toy")
	}
	return &toy{limit: s.Limit}, nil
}

func toyChannel(s toySettings) startup.Channel { return startup.Channel{Limit: s.Limit} }

func TestKindOf(t *testing.T) {
	t.Parallel()
	k := provider.KindOf(provider.Kind{Name: "toy"}, toyChannel, openToy)
	s, ok := k.NewSettings().(*toySettings)
	if !ok || *s != (toySettings{}) {
		t.Fatalf("the kind makes settings %#v", k.NewSettings())
	}
	s.Limit = 7
	d, err := k.Open(t.Context(), s, provider.Host{})
	if err != nil || d.(*toy).limit != 7 { //nolint:forcetypeassert // it is a test that it is one
		t.Errorf("opened: %#v, %v", d, err)
	}
	if c := k.ScriptChannel(s); c.Limit != 7 {
		t.Errorf("the channel is not that of the settings: %+v", c)
	}
}

// An error must not come with a driver that looks as if it were there: a nil
// pointer in an interface is not nil.
func TestKindOfRefuses(t *testing.T) {
	t.Parallel()
	k := provider.KindOf(provider.Kind{Name: "toy"}, toyChannel, openToy)
	if d, err := k.Open(t.Context(), &toySettings{Limit: -1}, provider.Host{}); err == nil || d != nil {
		t.Errorf("a failed open answers %#v, %v", d, err)
	}
	for _, other := range []any{nil, toySettings{}, &struct{}{}} {
		d, err := k.Open(t.Context(), other, provider.Host{})
		if err == nil || d != nil || !strings.Contains(err.Error(), "toy") {
			t.Errorf("settings of type %T: %#v, %v", other, d, err)
		}
		if c := k.ScriptChannel(other); c != (startup.Channel{}) {
			t.Errorf("the channel for settings of type %T is %+v", other, c)
		}
	}
}

func TestKindOfWithoutScripts(t *testing.T) {
	t.Parallel()
	k := provider.KindOf(provider.Kind{Name: "toy"}, nil, openToy)
	if c := k.ScriptChannel(k.NewSettings()); k.Channel != nil || c.Runs() {
		t.Errorf("machines that run no scripts have the channel %+v", c)
	}
}
