package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/auth"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/service"
)

// downloads adds what machines fetch: the agent, which is no secret, and the
// startup script of the machine whose check-in token is shown.
func (a *api) downloads() {
	a.mux.HandleFunc("GET "+service.DownloadPath+"{file}", func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("file")
		if a.AgentFile == nil {
			writeProblem(w, newProblem(http.StatusNotFound, fleet.CodeNotFound, "this controller gives out no agents"))
			return
		}
		file, err := a.AgentFile(name)
		if err != nil {
			writeProblem(w, a.problem(r.Context(), err))
			return
		}
		if file == nil {
			detail := "there is no " + strings.ToValidUTF8(name, "?") + " here: agents for further systems come from the directory given by serve --agent-dir"
			writeProblem(w, newProblem(http.StatusNotFound, fleet.CodeNotFound, detail))
			return
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			writeProblem(w, a.problem(r.Context(), err))
			return
		}
		// The server's own deadlines are for short answers.
		_ = http.NewResponseController(w).SetWriteDeadline(a.Clock.Now().Add(downloadTime))
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
		http.ServeContent(w, r, "", info.ModTime(), file)
	})
	a.mux.HandleFunc("GET "+service.ScriptPath, func(w http.ResponseWriter, r *http.Request) {
		token, ip := bearer(r), remoteIP(r)
		if a.throttle.refuses(ip, auth.Hash(token)) {
			deny(w, newProblem(http.StatusTooManyRequests, fleet.CodeUnavailable, "too many requests without a valid token from "+ip+": try again later"))
			return
		}
		script, err := a.Service.FetchScript(r.Context(), token)
		if err != nil {
			if fleet.CodeOf(err) == fleet.CodeUnauthenticated {
				a.throttle.failed(ip, auth.Hash(token))
			}
			deny(w, a.problem(r.Context(), err))
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Length", strconv.Itoa(len(script)))
		_, _ = w.Write(script) //nolint:gosec // plain text for a machine, which tries again if it fails; no browser shows it
	})
}

// downloadTime is how long a machine may take to fetch the agent.
const downloadTime = 10 * time.Minute
