package openstack

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"

	"github.com/headroom-dev/headroom/internal/provider"
)

// driver makes machines in one project.
type driver struct {
	settings *Settings
	session  *session
	now      func() time.Time

	// creates keeps two creates of one server apart: OpenStack has no token by
	// which it would know that they are the same wish.
	creates keyed
	refs    references
	// noVolumes is set when the credential, which makes no volumes, may not list
	// them either; asking again would cost a sign-in each time.
	noVolumes atomic.Bool
}

func open(_ context.Context, s Settings, host provider.Host) (*driver, error) {
	session, err := newSession(&s)
	if err != nil {
		return nil, err
	}
	now := host.Now
	if now == nil {
		now = time.Now //nolint:forbidigo // a host without a clock
	}
	return &driver{settings: &s, session: session, now: now, refs: references{known: map[string]reference{}}}, nil
}

// Create implements provider.Driver. Every object bears its marks from the
// moment that it exists, and the server comes last, so that a crash between two
// calls leaves only what ListRemnants shows. Repeated, it goes on where it was.
func (d *driver) Create(ctx context.Context, req provider.Request) (provider.Instance, error) {
	if err := d.checkRequest(req); err != nil {
		return provider.Instance{}, err
	}
	done, err := d.creates.enter(ctx, req.Tags.Server)
	if err != nil {
		return provider.Instance{}, classify(err, nova)
	}
	defer done()
	compute, err := d.session.service(ctx, nova)
	if err != nil {
		return provider.Instance{}, err
	}
	if found, err := d.find(ctx, compute, req); err != nil || found != nil {
		if err != nil {
			return provider.Instance{}, err
		}
		return found.instance(d.now()), nil
	}
	parts, err := d.resolve(ctx)
	if err != nil {
		return provider.Instance{}, err
	}
	if d.settings.BootFromVolume {
		if parts.volume, err = d.bootVolume(ctx, req, parts); err != nil {
			return provider.Instance{}, err
		}
	}
	if d.settings.FloatingIPPool != "" {
		if parts.port, err = d.entry(ctx, req, parts); err != nil {
			return provider.Instance{}, err
		}
	}
	body, err := d.settings.serverBody(req, parts)
	if err != nil {
		return provider.Instance{}, err
	}
	var made struct {
		Server struct {
			ID string `json:"id"`
		} `json:"server"`
	}
	r := servers.Create(ctx, compute, body, nil)
	if r.Err != nil {
		err := classify(r.Err, nova)
		if provider.ClassOf(err) == provider.Invalid {
			d.refs.forget() // a name may stand for something else by now
		}
		return provider.Instance{}, err
	}
	if err := r.ExtractInto(&made.Server); err != nil || made.Server.ID == "" {
		return provider.Instance{}, provider.Errorf(provider.Unknown, "nova accepted machine %s and its answer cannot be read", req.Name)
	}
	return provider.Instance{
		ID: made.Server.ID, Name: req.Name, Tags: req.Tags, State: provider.StatePending, CreatedAt: d.now(),
	}, nil
}

func (d *driver) checkRequest(req provider.Request) error {
	if n := len(req.Bootstrap.UserData); n > maxUserData {
		return provider.Errorf(provider.Invalid, "the startup script takes %d bytes, nova takes at most %d (65,535 in base64): shorten it, or let it fetch the rest", n, maxUserData)
	}
	if !markable(req.Tags) {
		return provider.Errorf(provider.Invalid, "the tags of machine %s cannot be written as metadata: %+v", req.Name, req.Tags)
	}
	return nil
}

// markable says that the tags survive the way through a description.
func markable(t provider.Tags) bool {
	m := mark(t)
	return tagsOfMark(m) == t && len(m) <= maxMetadata
}

// find looks for the machine that an earlier call made.
func (d *driver) find(ctx context.Context, compute *gophercloud.ServiceClient, req provider.Request) (*server, error) {
	// nova takes the name for a regular expression.
	query := url.Values{"name": {"^" + regexp.QuoteMeta(req.Name) + "$"}}
	all, err := collect(ctx, compute, nova, "servers/detail", "servers", query, serverID)
	if err != nil {
		return nil, err
	}
	var best *server
	for i := range all {
		s := &all[i]
		if t := tagsOf(s.Metadata); t.Owner() != req.Tags.Owner() || t.Server != req.Tags.Server {
			continue
		}
		if best == nil || s.state(d.now()) == provider.StateRunning && best.state(d.now()) != provider.StateRunning {
			best = s
		}
	}
	return best, nil
}

func serverID(s server) string { return s.ID }

// List implements provider.Driver: one request per page, whatever the number of
// machines, and one for each that has failed.
//
// The first page is asked for without any filter or limit, since only then nova
// shows that a cell is missing.
func (d *driver) List(ctx context.Context, owner provider.Owner) iter.Seq2[provider.Instance, error] {
	return func(yield func(provider.Instance, error) bool) {
		compute, err := d.session.service(ctx, nova)
		if err != nil {
			yield(provider.Instance{}, err)
			return
		}
		// A server that is handed to its cell while the listing is read can be on
		// two pages of it.
		shown := map[string]bool{}
		for s, err := range pages(ctx, compute, nova, "servers/detail", "servers", nil, serverID) {
			if err == nil && s.partial() {
				err = provider.Errorf(provider.Unavailable, "a cell of nova does not answer, so that its machines cannot be told apart: the listing is not complete")
			}
			if err != nil {
				yield(provider.Instance{}, err)
				return
			}
			if tagsOf(s.Metadata).Owner() != owner || shown[s.ID] {
				continue
			}
			shown[s.ID] = true
			// nova reads the faults of a listing from one of its databases only, that
			// of the servers that found no host or that of all others.
			if s.Status == "ERROR" && s.Fault.Message == "" {
				whole, err := d.get(ctx, s.ID)
				if provider.ClassOf(err) == provider.NotFound && err != nil {
					continue
				}
				if err != nil {
					yield(provider.Instance{}, err)
					return
				}
				s = *whole
			}
			if !yield(s.instance(d.now()), nil) {
				return
			}
		}
	}
}

// Get implements provider.Driver.
func (d *driver) Get(ctx context.Context, id string) (provider.Instance, error) {
	s, err := d.get(ctx, id)
	if err != nil {
		return provider.Instance{}, err
	}
	return s.instance(d.now()), nil
}

func (d *driver) get(ctx context.Context, id string) (*server, error) {
	if err := idFault(id); err != nil {
		return nil, err
	}
	compute, err := d.session.service(ctx, nova)
	if err != nil {
		return nil, err
	}
	var s server
	if err := servers.Get(ctx, compute, id).ExtractInto(&s); err != nil {
		return nil, classify(err, nova)
	}
	switch {
	case s.Status == "DELETED":
		return nil, provider.Errorf(provider.NotFound, "nova has removed machine %s", id)
	case s.partial():
		return nil, provider.Errorf(provider.Unavailable, "the cell of nova with machine %s does not answer", id)
	}
	return &s, nil
}

// Delete implements provider.Driver. The server goes last: as long as it is
// there, what belongs to it can be found. Its boot volume is removed by nova.
func (d *driver) Delete(ctx context.Context, id string) error {
	if err := idFault(id); err != nil {
		return err
	}
	if d.settings.FloatingIPPool != "" {
		if err := d.closeEntry(ctx, id); err != nil {
			return err
		}
	}
	compute, err := d.session.service(ctx, nova)
	if err != nil {
		return err
	}
	return classify(servers.Delete(ctx, compute, id).ExtractErr(), nova)
}

// Console implements provider.ConsoleReader.
func (d *driver) Console(ctx context.Context, id string, limit int64) ([]byte, error) {
	if !d.settings.ReadConsole {
		return nil, provider.Errorf(provider.Unsupported, "the console is not read: read_console is off")
	}
	if err := idFault(id); err != nil {
		return nil, err
	}
	compute, err := d.session.service(ctx, nova)
	if err != nil {
		return nil, err
	}
	text, err := servers.ShowConsoleOutput(ctx, compute, id, servers.ShowConsoleOutputOpts{}).Extract()
	if err != nil {
		return nil, classify(err, nova)
	}
	b := []byte(text)
	return b[max(0, int64(len(b))-max(limit, 0)):], nil
}

// keyed lets one caller at a time work on a key.
type keyed struct {
	mu   sync.Mutex
	held map[string]chan struct{}
}

func (k *keyed) enter(ctx context.Context, key string) (leave func(), err error) {
	for {
		k.mu.Lock()
		busy, ok := k.held[key]
		if !ok {
			if k.held == nil {
				k.held = map[string]chan struct{}{}
			}
			mine := make(chan struct{})
			k.held[key] = mine
			k.mu.Unlock()
			return func() {
				k.mu.Lock()
				delete(k.held, key)
				k.mu.Unlock()
				close(mine)
			}, nil
		}
		k.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for another create of the same machine: %w", ctx.Err())
		}
	}
}

// gone says that an object that was to be removed is not there any more.
func gone(err error) bool { return gophercloud.ResponseCodeIs(err, http.StatusNotFound) }
