package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/client"
	"github.com/headroom-dev/headroom/internal/fleet"
)

func serverKind() kind {
	k := kind{
		plural: "servers", singular: "server", short: []string{"srv", "agents"}, explain: "servers",
		filters: []string{"pool", "zone", "phase", "config", "provider", "all"},
		columns: []column{
			{title: "NAME"},
			{title: "POOL", drop: 7},
			{title: "PHASE", color: stateColor},
			{title: "AGE", drop: 2, aged: true},
			{title: "SESSIONS", drop: 6},
			{title: "CORES", drop: 4},
			{title: "MEMORY", drop: 5},
			{title: "ADDRESS", drop: 3},
			{title: "GPUS", wide: true},
			{title: "PLACES", wide: true},
			{title: "ZONE", wide: true},
			{title: "CONFIG", wide: true},
			{title: "PROVIDER", wide: true},
			{title: "PROVIDER ID", wide: true},
			{title: "SEEN", wide: true, aged: true},
			{title: "ID", wide: true},
			{title: "REASON", flex: true, drop: 1},
		},
	}
	wrap := func(s *fleet.Server) item {
		return item{key: s.ID, name: s.Name, pool: s.Pool, value: s, cells: func(now time.Time) []string { return serverCells(s, now) }}
	}
	k.list = func(ctx context.Context, c *client.Client, f filters) ([]item, error) {
		phases, err := words(f.phase, "phase", fleet.Phases())
		if err != nil {
			return nil, err
		}
		servers, err := c.Servers(ctx, client.ServerFilter{
			Pool: f.pool, Zone: f.zone, AutoscaleConfig: f.config, VMProvider: f.provider, Phases: phases,
			IncludeGone: f.all || slices.Contains(phases, fleet.PhaseGone),
		})
		items := make([]item, len(servers))
		for i := range servers {
			items[i] = wrap(&servers[i])
		}
		return items, err
	}
	k.one = func(ctx context.Context, c *client.Client, name string) (item, error) {
		s, err := c.Server(ctx, name)
		if err != nil {
			return item{}, err
		}
		return wrap(s), nil
	}
	k.remove = func(ctx context.Context, c *client.Client, name string, o removal) error {
		if o.drain {
			return c.DrainServer(ctx, name, 0)
		}
		return c.DeleteServer(ctx, name, o.force)
	}
	return k
}

func serverCells(s *fleet.Server, now time.Time) []string {
	phase := string(s.Phase)
	if s.Missing && s.Phase == fleet.PhaseReady {
		phase = "missing"
	}
	reason := s.Reason
	if s.Phase == fleet.PhaseDraining && s.DrainDeadline != nil {
		when := "now"
		if s.DrainDeadline.After(now) {
			when = "in " + until(now, s.DrainDeadline)
		}
		reason = strings.TrimPrefix(s.Reason+"; sessions that remain end "+when, "; ")
	}
	ratio := func(claimed, capacity string) string { return claimed + "/" + capacity }
	places := "-"
	if s.Capacity.Places > 0 {
		places = fmt.Sprintf("%d/%d", s.Claimed.Places, s.Capacity.Places)
	}
	return []string{
		s.Name, s.Pool, phase, since(now, s.CreatedAt), fmt.Sprint(s.Sessions),
		ratio(s.Claimed.Cores.String(), s.Capacity.Cores.String()),
		ratio(fleet.Memory(s.Claimed.MemoryMiB).String(), fleet.Memory(s.Capacity.MemoryMiB).String()),
		dash(first(s.Addresses...)),
		fmt.Sprintf("%d/%d", s.Claimed.GPUs, s.Capacity.GPUs), places, dash(s.Zone), dash(s.AutoscaleConfig),
		dash(s.VMProvider), dash(s.ProviderID), sinceP(now, s.LastSeenAt), s.ID, dash(reason),
	}
}

// words reads a flag that takes some of a few words, with commas.
func words[T ~string](text, flag string, known []T) ([]T, error) {
	var out []T
	for word := range strings.SplitSeq(text, ",") {
		w := T(strings.TrimSpace(word))
		if w == "" {
			continue
		}
		if !slices.Contains(known, w) {
			return nil, usagef("--%s: %q is no %s: use some of %s", flag, word, flag, joined(known))
		}
		out = append(out, w)
	}
	return out, nil
}

func sessionStates() []fleet.SessionState {
	return []fleet.SessionState{fleet.SessionQueued, fleet.SessionStaged, fleet.SessionActive, fleet.SessionEnded}
}

func joined[T ~string](words []T) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = string(w)
	}
	return strings.Join(out, ", ")
}

func sessionKind() kind {
	k := kind{
		plural: "sessions", singular: "session", short: []string{"sess"}, explain: "sessions",
		filters: []string{"pool", "user", "server", "state", "all"},
		columns: []column{
			{title: "ID"},
			{title: "POOL", drop: 7},
			{title: "USER", drop: 4},
			{title: "STATE", color: stateColor},
			{title: "SERVER"},
			{title: "ADDRESS", drop: 1},
			{title: "NEED", drop: 6},
			{title: "AGE", drop: 3, aged: true},
			{title: "EXPIRES", drop: 5, aged: true},
			{title: "ZONE", wide: true},
			{title: "STAGING", wide: true},
			{title: "OWNER", wide: true},
			{title: "REASON", flex: true, drop: 2},
		},
	}
	wrap := func(s *client.Session) item {
		return item{key: s.ID, name: s.ID, pool: s.Pool, value: s, cells: func(now time.Time) []string { return sessionCells(s, now) }}
	}
	k.list = func(ctx context.Context, c *client.Client, f filters) ([]item, error) {
		states, err := words(f.state, "state", sessionStates())
		if err != nil {
			return nil, err
		}
		sessions, err := c.Sessions(ctx, client.SessionFilter{
			Pool: f.pool, User: f.user, Server: f.server, States: states,
			IncludeEnded: f.all || slices.Contains(states, fleet.SessionEnded),
		})
		items := make([]item, len(sessions))
		for i := range sessions {
			items[i] = wrap(&sessions[i])
		}
		return items, err
	}
	k.one = func(ctx context.Context, c *client.Client, name string) (item, error) {
		s, err := c.Session(ctx, name, 0)
		if err != nil {
			return item{}, err
		}
		return wrap(s), nil
	}
	k.remove = func(ctx context.Context, c *client.Client, name string, _ removal) error {
		_, err := c.EndSession(ctx, name)
		return err
	}
	return k
}

func sessionCells(s *client.Session, now time.Time) []string {
	reason := s.Reason
	if s.State == fleet.SessionQueued {
		reason = first(s.Explanation, s.Reason)
		if position(s) != "" {
			reason = fmt.Sprintf("position %d: %s", s.QueuePosition, reason)
		}
	}
	return []string{
		s.ID, s.Pool, dash(s.User), string(s.State), dash(s.Server), dash(first(s.Addresses...)), s.Need.String(),
		since(now, s.CreatedAt), until(now, s.ExpiresAt), dash(s.Zone), dash(s.Staging), dash(s.Owner), dash(reason),
	}
}

func eventKind() kind {
	k := kind{
		plural: "events", singular: "event", short: []string{"ev"},
		filters: []string{"pool", "kind", "name", "type", "limit"},
		columns: []column{
			{title: "SEQ", wide: true},
			{title: "TIME"},
			{title: "TYPE", drop: 2},
			{title: "OBJECT"},
			{title: "POOL", wide: true},
			{title: "ACTOR", drop: 1},
			{title: "MESSAGE", flex: true},
		},
	}
	k.list = func(ctx context.Context, c *client.Client, f filters) ([]item, error) {
		events, err := latestEvents(ctx, c, f.events(), f.limit)
		items := make([]item, len(events))
		for i := range events {
			items[i] = eventItem(&events[i])
		}
		return items, err
	}
	return k
}

func (f filters) events() client.EventFilter {
	var types []fleet.EventType
	for word := range strings.SplitSeq(f.eventTypes, ",") {
		if word = strings.TrimSpace(word); word != "" {
			types = append(types, fleet.EventType(word))
		}
	}
	return client.EventFilter{Pool: f.pool, Kind: manifestKind(f.kind), Name: f.name, Types: types}
}

// manifestKind turns a kind as people write it into the kind of an event.
func manifestKind(word string) string {
	k, err := findKind(word)
	if word == "" || err != nil {
		return word
	}
	switch k.plural {
	case "servers":
		return fleet.EventKindServer
	case "sessions":
		return fleet.EventKindSession
	case "tokens":
		return fleet.EventKindToken
	}
	return string(k.configured)
}

func eventItem(e *fleet.Event) item {
	return item{key: fmt.Sprint(e.Seq), name: fmt.Sprint(e.Seq), pool: e.Pool, value: e, cells: func(now time.Time) []string {
		return []string{
			fmt.Sprint(e.Seq), moment(now, e.At), string(e.Type), eventObject(*e),
			dash(e.Pool), dash(e.Actor), dash(eventMessage(*e)),
		}
	}}
}

// eventObject names what an event is about as other commands would.
func eventObject(e fleet.Event) string {
	sort := strings.ToLower(e.Kind)
	if k, err := findKind(e.Kind); err == nil {
		sort = k.singular
	}
	return sort + "/" + dash(e.Name)
}

func tokenKind() kind {
	k := kind{
		plural: "tokens", singular: "token", short: []string{"tok"},
		columns: []column{
			{title: "ID"},
			{title: "NAME"},
			{title: "ROLE"},
			{title: "POOL", drop: 3},
			{title: "AGE", drop: 2, aged: true},
			{title: "EXPIRES", drop: 4, aged: true},
			{title: "USED", drop: 1, aged: true},
			{title: "CREATED BY", wide: true},
		},
	}
	wrap := func(t *fleet.APIToken) item {
		return item{key: t.ID, name: t.ID, pool: t.Pool, value: t, cells: func(now time.Time) []string {
			return []string{
				t.ID, oneLine(t.Name), string(t.Role), dash(t.Pool), since(now, t.CreatedAt), until(now, t.ExpiresAt),
				sinceP(now, t.LastUsedAt), dash(t.CreatedBy),
			}
		}}
	}
	k.list = func(ctx context.Context, c *client.Client, _ filters) ([]item, error) {
		tokens, err := c.Tokens(ctx)
		items := make([]item, len(tokens))
		for i := range tokens {
			items[i] = wrap(&tokens[i])
		}
		return items, err
	}
	k.one = func(ctx context.Context, c *client.Client, name string) (item, error) {
		tokens, err := c.Tokens(ctx)
		if err != nil {
			return item{}, err
		}
		for i := range tokens {
			if tokens[i].ID == name || tokens[i].Name == name {
				return wrap(&tokens[i]), nil
			}
		}
		return item{}, fleet.Errorf(fleet.CodeNotFound, "token %q does not exist: `headroom token list` shows all", name)
	}
	k.remove = func(ctx context.Context, c *client.Client, name string, _ removal) error {
		it, err := k.one(ctx, c, name)
		if err != nil {
			return err
		}
		return c.RevokeToken(ctx, it.key)
	}
	return k
}
