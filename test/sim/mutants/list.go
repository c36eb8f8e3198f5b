package main

// mutants are defects that somebody could make. Each must be caught.
func mutants() []mutant {
	return []mutant{
		{
			"token-changes", "a repeated create call uses a new idempotency token", `^TestFieldARepeatedCreate`,
			"internal/control/create.go",
			`Token: fmt.Sprintf("%s-%d", s.ID, s.Attempts)`, `Token: fmt.Sprintf("%s-%d", s.ID, c.now().UnixNano())`,
			nil,
		},
		{
			"create-not-looked-for", "a create call without an answer is repeated at once, without a look at the cloud", `^TestFieldMachinesInFlight`,
			"internal/control/create.go",
			"if s.Unseen < 2 && !r.surelyUnmade(s) {", "if false {",
			nil,
		},
		{
			"adoption-disabled", "a machine that an interrupted create call made is not adopted", `^TestFieldMachinesInFlight`,
			"internal/control/create.go",
			"if inst, seen := r.find(s); seen {", "if inst, seen := r.find(s); seen && false {",
			nil,
		},
		{
			"call-before-row", "the cloud is asked before the row says so: the phase is written after the call", `^TestCrashAgain`,
			"internal/control/create.go",
			"\t\ts.Attempts++\n", "\t\tr.client.Create(ctx, provider.Request{Token: s.ID, Name: s.Name, Offer: offer, Tags: provider.Tags{Installation: c.Store.Installation(), Server: s.ID, AutoscaleConfig: s.AutoscaleConfig, Provider: s.VMProvider}}) //nolint\n\t\ts.Attempts++\n",
			nil,
		},
		{
			"refused-at-once", "a create that the rate limit refused is asked for again at once", `^TestFieldATight`,
			"internal/control/create.go",
			"\t// Its own way to planned wakes it at once, too.\n\tif wait := r.pause(s.ID, c.now()); wait > 0 {", "\tif wait := r.pause(s.ID, c.now()); wait < 0 && wait > 0 {",
			nil,
		},
		{
			"sweep-no-grace", "an orphan is removed when it is first seen", `^TestFieldAnOrphan`,
			"internal/control/sweep.go",
			"return s.Count >= 2 && s.LastSeen.Sub(s.FirstSeen) >= grace && (age >= grace || age < -clockSkew)", "return age > -clockSkew*1000 && grace >= 0",
			nil,
		},
		{
			"sweep-deletes-living", "the sweep takes a machine for an orphan though its server lives", `^TestFills`,
			"internal/control/sweep.go",
			"if s := ids[inst.Tags.Server]; s != nil {", "if s := ids[inst.Tags.Server]; s != nil && s.Phase != fleet.PhaseReady {",
			[]edit{
				{"internal/control/sweep.go", "explained = err == nil && s.Phase.MayExist()", "explained = err == nil && s.Phase.MayExist() && s.Phase != fleet.PhaseReady"},
				{"internal/control/sweep.go", "\t\tmachine[s.ID] = s.ProviderID\n", "\t\tif s.Phase != fleet.PhaseReady {\n\t\t\tmachine[s.ID] = s.ProviderID\n\t\t}\n"},
			},
		},
		{
			"sweep-share", "the sweep removes any share of what it does not know", `^TestFieldAnOld`,
			"internal/fleet/spec.go",
			"DefaultOrphanShare      = 20 // percent", "DefaultOrphanShare      = 10000 // percent",
			nil,
		},
		{
			"sweep-off", "no orphan is removed", `^TestFieldAnOrphan`,
			"internal/control/sweep.go",
			"if err := c.removeOrphan(ctx, r, o); err != nil {", "_ = o\n\t\tif err := error(nil); err != nil {",
			nil,
		},
		{
			"remnants-off", "disks that were left over are not collected", `^TestFieldDisks`,
			"internal/control/remnants.go",
			"if sight.Count >= 2 && at.Sub(sight.FirstSeen) >= r.grace() {", "if false && at.Sub(sight.FirstSeen) >= r.grace() {",
			nil,
		},
		{
			"coming-up-not-counted", "machines that boot are missing from the supply", `^TestFieldMachinesThatComeUp`,
			"internal/fleet/server.go",
			"return p == PhasePlanned || p == PhaseCreating || p == PhaseBooting || p == PhaseConfiguring", "return p == PhasePlanned || p == PhaseCreating || p == PhaseConfiguring",
			nil,
		},
		{
			"cap-off-by-one", "one machine too many is allowed", historyOf + "tight",
			"internal/control/pool.go",
			"allowed = max(min(n, spec.MaxInstances-exists-orphans, int64(tokens)), 0)", "allowed = max(min(n, spec.MaxInstances+1-exists-orphans, int64(tokens)), 0)",
			[]edit{{"internal/plan/create.go", "case pr.Exists+p.made[name] >= pr.Max:", "case pr.Exists+p.made[name] > pr.Max:"}, {"internal/plan/create.go", "allowed := min(room, pr.Max-pr.Exists-p.made[name])", "allowed := min(room, pr.Max+1-pr.Exists-p.made[name])"}},
		},
		{
			"cap-forgets-deleting", "a machine that is being deleted does not count against the ceiling", `^TestFieldMachinesBeingDeleted`,
			"internal/control/pool.go",
			"exists, err := tx.CountServers(store.ServerFilter{VMProvider: name})", "exists, err := tx.CountServers(store.ServerFilter{VMProvider: name, Phases: []fleet.Phase{fleet.PhasePlanned, fleet.PhaseCreating, fleet.PhaseBooting, fleet.PhaseConfiguring, fleet.PhaseReady}})",
			[]edit{{"internal/snapshot/cache.go", "counts[name] = c.providers[name].count()", "counts[name] = 0\n\t\t\t\tfor _, s := range c.providers[name].list() {\n\t\t\t\t\tif s.Phase != fleet.PhaseDeleting {\n\t\t\t\t\t\tcounts[name]++\n\t\t\t\t\t}\n\t\t\t\t}"}, {"internal/snapshot/snapshot.go", "return tx.CountServers(store.ServerFilter{VMProvider: provider})", "return tx.CountServers(store.ServerFilter{VMProvider: provider, Phases: []fleet.Phase{fleet.PhasePlanned, fleet.PhaseCreating, fleet.PhaseBooting, fleet.PhaseConfiguring, fleet.PhaseReady}})"}},
		},
		{
			"retire-unchecked", "a machine is retired although a session was faster", `^TestFieldIdleCheck`,
			"internal/control/pool.go",
			"case s.Sessions == 0:\n\t\terr = c.move(tx, s, fleet.PhaseDeleting", "case s.Sessions >= 0:\n\t\terr = c.move(tx, s, fleet.PhaseDeleting",
			nil,
		},
		{
			"listing-believed", "a listing that leaves machines out is believed, and none of them is asked for", `^TestFieldUnreadable.*$/empty`,
			"internal/control/listing.go",
			"trouble := c.doubts(ctx, r, l, servers)", "trouble := c.doubts(ctx, r, l, nil)",
			[]edit{{"internal/control/server.go", "case provider.ClassOf(err) == provider.NotFound:\n\t\t\treturn true, 0, c.lose", "case true:\n\t\t\treturn true, 0, c.lose"}},
		},
		{
			"delete-once", "a delete call is not repeated: what was accepted counts as gone", historyOf + "fleet",
			"internal/control/remove.go",
			"\t\tr.markDeleted(s.ID, c.now())\n", "\t\tr.markDeleted(s.ID, c.now())\n\t\tif _, err := c.moveTo(ctx, s, fleet.PhaseGone, \"deleted\"); err != nil {\n\t\t\treturn 0, err\n\t\t}\n",
			[]edit{{"internal/control/sweep.go", "if err := c.removeOrphan(ctx, r, o); err != nil {", "_ = o\n\t\tif err := error(nil); err != nil {"}}, // which would heal it
		},
		{
			"delete-error-is-gone", "a delete call that fails counts as done", historyOf + "fleet",
			"internal/control/remove.go",
			"case class == provider.NotFound:", "case class == provider.NotFound || class == provider.Unavailable:",
			[]edit{{"internal/control/sweep.go", "if err := c.removeOrphan(ctx, r, o); err != nil {", "_ = o\n\t\tif err := error(nil); err != nil {"}},
		},
		{
			"release-twice", "a session that ends twice gives its claim back twice", historyOf + "fleet",
			"internal/claim/end.go",
			"\tif !s.Live() {\n\t\treturn false, nil\n\t}\n", "",
			nil,
		},
		{
			"release-forgotten", "a session that is lost with its life time keeps its claim", historyOf + "fleet",
			"internal/claim/end.go",
			"held = s.State.HoldsCapacity() && s.ServerID != \"\"", "held = s.State.HoldsCapacity() && s.ServerID != \"\" && s.TTL == 0",
			nil,
		},
		{
			"rotation-dips", "a machine that is too old goes before its replacement is there", `^TestRotationKeeps`,
			"internal/plan/retire.go",
			"if !p.replaced(c) && !p.makesWay(c, s, unmet) {", "if false {",
			nil,
		},
		{
			"stopped-goes-on", "what was planned is made although somebody has frozen its pool", `^TestWhatIsStopped`,
			"internal/snapshot/cache.go",
			"case c.settings.pools[s.Pool].Frozen:", "case false:",
			nil,
		},
		{
			"refused-holds-up", "what was planned for refused credentials waits, and the next provider with it", `^TestFieldRefused`,
			"internal/control/create.go",
			"snapshot.Blocked(state, c.now()); c.now().Before(until) {", "snapshot.Blocked(state, c.now()); false && c.now().Before(until) {",
			nil,
		},
		{
			"backoff-ignored", "a surplus is retired at once", `^TestASurplusLasts`,
			"internal/plan/retire.go",
			"if due := l.Since.Add(backoff); p.in.Now.Before(due) {", "if due := l.Since.Add(backoff); p.in.Now.Before(due) && false {",
			nil,
		},
		{
			"flapping", "what is retired is not compared with the standby", `^TestFills`,
			"internal/plan/retire.go",
			"if c.demand.Standby.Fits(rest) {", "if c.demand.Standby.Fits(free) {",
			[]edit{{"internal/plan/retire.go", "c.demand.Standby.Fits(free.Sub(wholeOf(s)))", "c.demand.Standby.Fits(free)"}},
		},
		{
			"no-fall-through", "a stock-out does not fall through to the next provider", `^TestFieldStockOut`,
			"internal/control/create.go",
			"return never, c.fallThrough(ctx, s, cause)", "return provider.Backoff(class, s.Attempts), c.replan(ctx, s, cause.Error())",
			nil,
		},
		{
			"negative-memory-missing", "a provider that has no room is asked again at once", `^TestFieldStockOut`,
			"internal/control/create.go",
			"until := c.now().Add(quotaMemory)", "until := c.now()",
			nil,
		},
		{
			"circuit-never-opens", "what can never work is tried for ever", `^TestFieldWhatCanNeverWork`,
			"internal/control/circuit.go",
			"if state.Failures < circuitAfter {", "if state.Failures < 1<<40 {",
			nil,
		},
		{
			"event-dropped", "a change of phase is not told", `^TestFills`,
			"internal/control/control.go",
			"\tc.emitServer(tx, s, fleet.EventServerPhase, s.Reason", "\temit := c.emitServer\n\tif to == fleet.PhaseBooting {\n\t\temit = func(*store.Tx, *fleet.Server, fleet.EventType, string, map[string]any) {}\n\t}\n\temit(tx, s, fleet.EventServerPhase, s.Reason",
			nil,
		},
		{
			"drain-gives-out", "a server that drains still takes sessions when it goes back", historyOf + "estate",
			"internal/claim/end.go",
			"\tserver, err := tx.Release(s.ServerID, s.Need, s.User)\n", "\tserver, err := tx.Release(s.ServerID, s.Need, s.User)\n\tif err == nil && server.Phase == fleet.PhaseDraining {\n\t\t_, err = tx.Release(s.ServerID, s.Need, s.User)\n\t}\n",
			nil,
		},
		{
			"one-shot-reused", "a machine that was used once is given out again", historyOf + "desks",
			"internal/fleet/server.go",
			"return s.OneShot && s.Used && s.Sessions == 0", "return false && s.OneShot && s.Used && s.Sessions == 0",
			nil,
		},
		{
			"deaf-after-absence", "silence counts although nobody has listened", `^TestField(Absence|NothingIsDeleted)`,
			"internal/control/hearing.go",
			"func (c *Controller) hearingSince() time.Time { return c.hearing.at(c.now()) }", "func (c *Controller) hearingSince() time.Time { return time.Time{} }",
			nil,
		},
		{
			"clock-put-back", "moments from the future hold everything up", `^TestFieldAClock`,
			"internal/control/hearing.go",
			"if t.After(now.Add(clockSkew)) {\n\t\t\treturn true", "if t.After(now.Add(clockSkew)) {\n\t\t\treturn false",
			nil,
		},
		{
			"id-is-identity", "a machine is known by its id alone, although ids come back", `^TestFieldIDsThatComeBack`,
			"internal/control/server.go",
			"return inst, ok && inst.Tags.Server == s.ID", "return inst, ok",
			[]edit{{"internal/control/server.go", "case r.another(got, s):", "case false:"}, {"internal/control/doubt.go", "shown && inst.Tags.Server == s.ID {", "shown && inst.ID != \"\" {"}},
		},
		{
			"marks-are-all", "a machine whose marks somebody has removed is taken for another's", `^TestFieldMarksRemoved`,
			"internal/control/stranger.go",
			"return inst.CreatedAt.Before(s.CreatedAt.Add(-ageDoubt)) || inst.CreatedAt.After(there.Add(ageDoubt))", "_ = there\n\treturn true",
			nil,
		},
		{
			"stranger-is-ours", "a machine without marks is taken for ours although it is younger", `^TestFieldAnIDGiven`,
			"internal/control/stranger.go",
			"|| inst.CreatedAt.After(there.Add(ageDoubt))", "|| there.IsZero()",
			nil,
		},
		{
			"spoken-forgotten", "a machine that has spoken is taken for one that was never made", `^TestFieldAMachineThatHasSpoken`,
			"internal/control/remove.go",
			"if s.LastSeenAt != nil { // it has spoken", "if false { // it has spoken",
			nil,
		},
		{
			"delete-hammers", "a delete is repeated at once while listings leave the machine out", `^TestFieldADeleteIsNotRepeated`,
			"internal/control/remove.go",
			"if again && !listed {", "if false {",
			nil,
		},
		{
			"sweep-silent", "nobody is told that a sweep has stopped", `^TestFieldAnOldDatabase`,
			"internal/control/sweeppass.go",
			"changes = *kind.alert(&before) != text", "changes = false && *kind.alert(&before) != text",
			nil,
		},
		{
			"staging-blocks", "a staged session without room ends the pass over the pool", historyOf + "estate",
			"internal/control/pool.go",
			"case errors.Is(err, store.ErrNotFound): // no room", "case false: // no room",
			nil,
		},
	}
}
