package api

import (
	"html/template"
	"net/http"
	"strings"

	"github.com/swaggest/swgui/v5emb"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// pages adds the start page and the browsable reference, whose files are part
// of the binary: it works without the internet.
func (a *api) pages() {
	docs := v5emb.New("Headroom API", "/openapi.json", "/docs/")
	a.mux.HandleFunc("GET /docs", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/docs/", http.StatusMovedPermanently)
	})
	a.mux.HandleFunc("GET /docs/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'")
		docs.ServeHTTP(w, r)
	})
	page := template.Must(template.New("home").Parse(homePage))
	a.mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
		_ = page.Execute(w, a.Version) // the client is gone if it fails
	})
	a.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if allowed := a.allowed(r); len(allowed) > 0 {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			detail := strings.ToValidUTF8(r.URL.Path, "?") + " does not take " + r.Method + ": use " + strings.Join(allowed, " or ")
			writeProblem(w, newProblem(http.StatusMethodNotAllowed, fleet.CodeInvalid, detail))
			return
		}
		detail := "there is nothing at " + r.Method + " " + strings.ToValidUTF8(r.URL.Path, "?") + ": see /docs"
		writeProblem(w, newProblem(http.StatusNotFound, fleet.CodeNotFound, detail))
	})
}

// allowed lists the methods that the path of a request takes.
func (a *api) allowed(r *http.Request) []string {
	var methods []string
	for _, m := range []string{http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = m
		if _, pattern := a.mux.Handler(other); pattern != "" && pattern != "/" {
			methods = append(methods, m)
		}
	}
	return methods
}

const homePage = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Headroom</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem; color: #16191f; background: #fff }
pre { background: #f2f3f3; padding: 1rem; overflow-x: auto }
@media (prefers-color-scheme: dark) { body { color: #d1d5db; background: #16191f } pre { background: #232f3e } a { color: #89bdee } }
</style>
<h1>Headroom {{.Version}}</h1>
<p>This controller keeps warm capacity of machines. It is operated with the command line and the REST API.</p>
<ul>
<li><a href="/docs/">API reference</a></li>
<li><a href="/openapi.json">OpenAPI document</a></li>
</ul>
<p>With an API token, which the first start has written to <code>admin.token</code> in the data directory:</p>
<pre>export HEADROOM_URL=…   # the address of this page
export HEADROOM_TOKEN=…
headroom get servers
headroom explain pool NAME</pre>
</html>
`
