package app

import (
	"context"
	"log/slog"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// logEvents writes what the system decides and does to the log, as it happens.
// Sessions come and go by the thousand; theirs are for debugging.
func logEvents(log *slog.Logger) func([]fleet.Event) {
	return func(events []fleet.Event) {
		for _, e := range events {
			level := slog.LevelInfo
			switch e.Type {
			case fleet.EventSessionActive, fleet.EventSessionEnded, fleet.EventSessionQueued, fleet.EventSessionRenewed, fleet.EventSessionStaged:
				level = slog.LevelDebug
			case fleet.EventServerLost, fleet.EventServerMissing, fleet.EventProviderError, fleet.EventProviderCircuit, fleet.EventOrphanFound, fleet.EventSweepStopped:
				level = slog.LevelWarn
			default:
			}
			attrs := []slog.Attr{slog.String("object", e.Kind+"/"+e.Name), slog.String("actor", e.Actor), slog.String("message", e.Message), slog.Int64("seq", e.Seq)}
			if phase, ok := e.Data["phase"].(string); ok {
				attrs = append(attrs, slog.String("phase", phase))
			}
			log.LogAttrs(context.Background(), level, string(e.Type), attrs...)
		}
	}
}
