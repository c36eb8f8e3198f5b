package oci

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"time"

	"github.com/oracle/oci-go-sdk/v65/core"
	"github.com/oracle/oci-go-sdk/v65/workrequests"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

const (
	// launchTime is how long after its creation an instance that ends may have
	// failed to be made. Older ones have been there.
	launchTime = 30 * time.Minute
	// failureListed is for how long after its creation an instance whose launch has
	// failed is listed.
	failureListed = grace - 10*time.Second
	// maxAsked is how many machines of one listing are asked why they end.
	maxAsked = 10
)

// maybeStillborn says that an instance ends so early that it may have failed to
// be made: what Oracle accepts and finds no room for goes from PROVISIONING to
// TERMINATED.
func (d *driver) maybeStillborn(i *core.Instance) bool {
	ends := i.LifecycleState == core.InstanceLifecycleStateTerminating || i.LifecycleState == core.InstanceLifecycleStateTerminated
	return ends && i.TimeCreated != nil && d.age(i) < launchTime
}

func (d *driver) age(i *core.Instance) time.Duration { return d.now().Sub(timeOf(i.TimeCreated)) }

// stillborn asks the work request of the launch whether it failed, and why. An
// instance that ends for other reasons stays as it is shown; so does one whose
// work request may not be read.
func (d *driver) stillborn(ctx context.Context, i *core.Instance, out provider.Instance) provider.Instance {
	list, err := d.work.ListWorkRequests(ctx, workrequests.ListWorkRequestsRequest{CompartmentId: i.CompartmentId, ResourceId: i.Id, Limit: new(pageSize)})
	if err != nil {
		return out
	}
	for _, w := range list.Items {
		if !strings.EqualFold(fleet.Value(w.OperationType, ""), "LaunchInstance") || w.Status != workrequests.WorkRequestSummaryStatusFailed {
			continue
		}
		out.State, out.Fault = provider.StateFailed, "the instance could not be made"
		why, err := d.work.ListWorkRequestErrors(ctx, workrequests.ListWorkRequestErrorsRequest{WorkRequestId: w.Id})
		if err != nil || len(why.Items) == 0 {
			return out
		}
		code, text := fleet.Value(why.Items[0].Code, ""), fleet.Value(why.Items[0].Message, "")
		out.Fault += ": " + strings.TrimSpace(text+" ("+code+")")
		if class := classOf(0, code, text); class.FallsThrough() {
			out.FaultClass = class
		}
		return out
	}
	return out
}

func decoded(body io.Reader) (map[string]any, error) {
	var out map[string]any
	d := json.NewDecoder(body)
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		return nil, provider.Errorf(provider.Unknown, "the request cannot be shown: %w", err)
	}
	return out, nil
}
