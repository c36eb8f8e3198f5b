package provider

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/startup"
)

// Kind describes a kind of cloud.
type Kind struct {
	Name  string // as in VMProviderSpec.Provider
	Title string // for people
	About string // one sentence
	VM    bool   // the machines are virtual machines; false must be said to the user

	// IDsComeBack says that the id of a machine which is gone may be given to
	// another one, as where clients choose numbers. Instance.CreatedAt then tells
	// them apart, and is right to within an hour. Better is an id with a part that
	// is never used again.
	IDsComeBack bool

	// NewSettings returns a pointer to a zero settings struct; its tags are the
	// only definition of the settings.
	NewSettings func() any

	// Channel says how startup scripts reach machines made with the settings; nil
	// when machines of the kind run none.
	Channel func(settings any) startup.Channel

	// Open makes a driver from what NewSettings returned, filled in, validated and
	// with defaults. It calls no network.
	Open func(ctx context.Context, settings any, host Host) (Driver, error)

	Defaults Defaults
}

// KindOf completes the description of a kind whose settings are an S: NewSettings
// makes one, and Channel and Open are told it instead of an any. channel is nil
// when machines of the kind run no scripts. For settings of another type Channel
// answers as for those that say nothing, and Open an error.
func KindOf[S any, D Driver](k Kind, channel func(S) startup.Channel, open func(context.Context, S, Host) (D, error)) Kind {
	k.NewSettings = func() any { return new(S) }
	if channel != nil {
		k.Channel = func(settings any) startup.Channel {
			s, ok := settings.(*S)
			if !ok {
				s = new(S)
			}
			return channel(*s)
		}
	}
	k.Open = func(ctx context.Context, settings any, host Host) (Driver, error) {
		s, ok := settings.(*S)
		if !ok {
			return nil, fmt.Errorf("the provider kind %s got settings of type %T instead of %T", k.Name, settings, s)
		}
		d, err := open(ctx, *s, host)
		if err != nil {
			return nil, err // d may be a nil pointer, which is no nil Driver
		}
		return d, nil
	}
	return k
}

// Host is what a driver may use of the process that it runs in.
type Host struct {
	DataDir    string // directory of the controller's own files; kinds keep theirs below it
	Executable string // path of the headroom binary
	Now        func() time.Time
	Random     io.Reader
}

// Defaults are operating values that fit the kind.
type Defaults struct {
	RateLimit    float64       // calls per second; 0: unlimited
	Concurrency  int           // calls under way at once
	CallTimeout  time.Duration // longest duration of one call
	BusyInterval time.Duration // between listings while machines are changing
	RestInterval time.Duration // between listings at rest
	Grace        time.Duration // age below which a listing proves no absence and an object is no orphan
	CreateBurst  int           // machines created in one burst; 0: fleet.DefaultCreateBurst
	CreateRate   float64       // machines per second after the burst; 0: fleet.DefaultCreateRate
}

// Shaped are settings that tell what a machine made with them offers.
type Shaped interface {
	Shape() fleet.Resources
}

// ScriptChannel is how startup scripts reach machines made with the settings.
func (k Kind) ScriptChannel(settings any) startup.Channel {
	if k.Channel == nil {
		return startup.Channel{}
	}
	return k.Channel(settings)
}
