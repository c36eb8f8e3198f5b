package oci

import (
	"context"
	"time"

	"github.com/oracle/oci-go-sdk/v65/core"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

const (
	// captureLooks is how often a capture under way is looked at, and
	// capturePause how long that is apart: the service has no call that waits.
	// What takes longer is left to the sweep of remnants.
	captureLooks = 8
	capturePause = time.Second
	// forget is how long the removal of a capture may take, also when the caller
	// has gone.
	forget = 4 * time.Second
	// consoleSize is how much of a console the service keeps.
	consoleSize = 1 << 20
)

// Console implements provider.ConsoleReader: the service captures what the
// serial console has shown into an object, which is read and removed again. It
// bears the machine's tags, so that one that is left is found by the sweep.
func (d *driver) Console(ctx context.Context, id string, limit int64) ([]byte, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	if limit <= 0 {
		return nil, nil
	}
	i, err := d.get(ctx, id)
	if err != nil {
		return nil, err
	}
	made, err := d.compute.CaptureConsoleHistory(ctx, core.CaptureConsoleHistoryRequest{CaptureConsoleHistoryDetails: core.CaptureConsoleHistoryDetails{
		InstanceId: &id, DisplayName: i.DisplayName, FreeformTags: ownTags(tagsOf(i.FreeformTags)),
	}})
	if err != nil {
		return nil, inCompartment(err)
	}
	history := fleet.Value(made.Id, "")
	defer d.forget(ctx, history) //nolint:contextcheck // it outlives the caller on purpose
	if err := d.captured(ctx, history, made.LifecycleState); err != nil {
		return nil, err
	}
	// The end is what is wanted; how much there is, is not told before.
	content, err := d.compute.GetConsoleHistoryContent(ctx, core.GetConsoleHistoryContentRequest{InstanceConsoleHistoryId: &history, Length: new(consoleSize)})
	if err != nil {
		return nil, classify(err)
	}
	text := fleet.Value(content.Value, "")
	return []byte(text[max(0, int64(len(text))-limit):]), nil
}

// captured waits a little until a capture is done.
func (d *driver) captured(ctx context.Context, history string, state core.ConsoleHistoryLifecycleStateEnum) error {
	for range captureLooks {
		switch state {
		case core.ConsoleHistoryLifecycleStateSucceeded:
			return nil
		case core.ConsoleHistoryLifecycleStateFailed:
			return provider.Errorf(provider.Unavailable, "Oracle Cloud could not capture the console")
		case core.ConsoleHistoryLifecycleStateRequested, core.ConsoleHistoryLifecycleStateGettingHistory:
		}
		got, err := d.compute.GetConsoleHistory(ctx, core.GetConsoleHistoryRequest{InstanceConsoleHistoryId: &history})
		if err != nil {
			return classify(err)
		}
		if state = got.LifecycleState; state == core.ConsoleHistoryLifecycleStateSucceeded || state == core.ConsoleHistoryLifecycleStateFailed {
			continue
		}
		pause, cancel := context.WithTimeout(ctx, capturePause)
		<-pause.Done()
		cancel()
	}
	if state == core.ConsoleHistoryLifecycleStateSucceeded {
		return nil
	}
	return provider.Errorf(provider.Unavailable, "Oracle Cloud has not captured the console yet")
}

// forget removes a capture. What fails is found again by its tags.
func (d *driver) forget(ctx context.Context, history string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), forget)
	defer cancel()
	_, _ = d.compute.DeleteConsoleHistory(ctx, core.DeleteConsoleHistoryRequest{InstanceConsoleHistoryId: &history})
}

// Password implements provider.PasswordReader: images of Windows make one at
// their first boot.
func (d *driver) Password(ctx context.Context, id string) (provider.Login, error) {
	if err := checkID(id); err != nil {
		return provider.Login{}, err
	}
	got, err := d.compute.GetWindowsInstanceInitialCredentials(ctx, core.GetWindowsInstanceInitialCredentialsRequest{InstanceId: &id})
	if err == nil {
		if fleet.Value(got.Password, "") == "" {
			return provider.Login{}, provider.Errorf(provider.Unavailable, "the machine has not made a password yet")
		}
		return provider.Login{User: fleet.Value(got.Username, ""), Password: *got.Password}, nil
	}
	refused := classify(err)
	if !isClass(refused, provider.NotFound) && !isClass(refused, provider.Conflict) {
		return provider.Login{}, refused
	}
	// Whether there is no password yet or never will be, and whether the machine is
	// there at all, is answered alike.
	i, err := d.get(ctx, id)
	switch {
	case err != nil:
		return provider.Login{}, err
	case i.LifecycleState == core.InstanceLifecycleStateTerminated:
		return provider.Login{}, gone(id)
	case d.settings.OSType != "windows":
		return provider.Login{}, provider.Errorf(provider.Unsupported, "Oracle Cloud makes passwords for images of Windows only, and os_type is linux: log in with the key of ssh_public_key")
	}
	return provider.Login{}, provider.Errorf(provider.Unavailable, "the machine has not made a password yet; it takes some minutes after the first boot")
}
