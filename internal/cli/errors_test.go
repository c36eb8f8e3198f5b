package cli_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/headroom-dev/headroom/internal/cli"
)

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]int{
		"invalid": cli.ExitInvalid, "too_large": cli.ExitInvalid, "not_found": cli.ExitNotFound,
		"conflict": cli.ExitRefused, "version_mismatch": cli.ExitRefused, "in_use": cli.ExitRefused,
		"queue_full": cli.ExitRefused, "forbidden": cli.ExitRefused, "unauthenticated": cli.ExitUnreachable,
		"internal": cli.ExitFailed, "something_new": cli.ExitFailed,
	} {
		a := newAPI(t)
		a.refuse("GET whoami", 400, `{"code":"`+code+`","detail":"a text that says what to do"}`)
		r := a.run("whoami")
		if r.code != want || !strings.Contains(r.err, "Error: a text that says what to do\n") || r.out != "" {
			t.Errorf("%s: got %+v, want exit %d", code, r, want)
		}
	}
}

func TestUsageMistakes(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for line, want := range map[string]string{
		"gte":                                          `unknown command "gte"`,
		"session creat":                                `unknown command "creat" for "headroom session": did you mean create?`,
		"get":                                          "KIND is missing",
		"get thing":                                    `"thing" is no kind: use one of zones, pools`,
		"get servers --nope":                           "unknown flag: --nope",
		"get servers --state queued":                   "--state does not apply to servers",
		"get servers --phase redy":                     `"redy" is no phase: use some of planned`,
		"get sessions --state redy":                    `"redy" is no state: use some of queued`,
		"get servers x --pool y":                       "--pool does not go together with names",
		"get servers -o xml":                           "use one of table, wide, json, yaml, name",
		"session create":                               "--pool is missing",
		"session create --pool p --cores two":          `"two" is not a number of cores`,
		"session create --pool p --memory 3Qi":         `"3Qi" is not an amount of memory`,
		"session create --pool p --ttl soon":           `"soon" is not a duration`,
		"session create --pool p extra":                `"extra" is one argument too many`,
		"session create --pool p --no-queue --wait 5s": "--no-queue does not go together with --wait",
		"session end":                                  "ID is missing",
		"explain zone z":                               `"zone" cannot be explained: use pool, server or session`,
		"explain pool":                                 "NAME is missing",
		"apply":                                        "-f is missing",
		"delete pool":                                  "say what to delete",
		"delete events x":                              "events cannot be deleted",
		"delete pool p --force":                        "--force applies to servers only",
		"describe pool":                                "NAME is missing",
		"token create --role admin":                    "--name is missing",
		"token create --name x":                        "--role is missing",
		"token create --role god":                      "use one of admin, operator, session, viewer, join",
		"server register --pool p":                     "--address is missing",
		"whoami --url localhost:80":                    `"localhost:80" is not the URL of a controller`,
		"get servers --ca-file nope":                   "reading the CA file",
	} {
		r := a.run(strings.Fields(line)...)
		if r.code != cli.ExitUsage || !strings.Contains(r.err, want) || !strings.Contains(r.err, " --help' for usage.") || r.out != "" {
			t.Errorf("%s:\ngot  %+v\nwant %s", line, r, want)
		}
	}
	if calls := a.seen(); len(calls) > 0 {
		t.Errorf("a usage mistake reached the controller: %v", calls)
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	c := newAPI(t).caller()
	c.env["HEADROOM_URL"] = "http://127.0.0.1:1"
	r := c.run("get", "servers")
	want := "Error: cannot reach http://127.0.0.1:1: connection refused\n" +
		"The URL comes from HEADROOM_URL. Is `headroom serve` running there? Another controller is named with --url, HEADROOM_URL or --data-dir.\n"
	if r.code != cli.ExitUnreachable || r.err != want {
		t.Errorf("got %+v", r)
	}
	r = c.run("version")
	if r.code != cli.ExitOK || r.out != "client  1.2.3\n" || !strings.Contains(r.err, "connection refused") {
		t.Errorf("version: got %+v", r)
	}
}

func TestAnAnswerOfAnotherProgram(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusOK, http.StatusFound, http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusInternalServerError} {
		a := newAPI(t)
		a.handle("GET servers/x", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "<html>")
		})
		if r := a.run("get", "server", "x"); r.code != cli.ExitUnreachable || !strings.Contains(r.err, "not an answer of Headroom's API: check the URL") {
			t.Errorf("%d: got %+v", status, r)
		}
	}
}

func TestTheConnectionIsFound(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	var token string
	a.handle("GET whoami", func(w http.ResponseWriter, r *http.Request) {
		token = strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		answer(w, 200, object{"name": "me", "role": "admin"})
	})
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("server.url", a.url+"\n")
	write("admin.token", "from-file\n")
	for name, test := range map[string]struct {
		args []string
		env  map[string]string
		want string
	}{
		"data directory by flag":     {[]string{"--data-dir", dir}, nil, "from-file"},
		"data directory by variable": {nil, map[string]string{"HEADROOM_DATA_DIR": dir}, "from-file"},
		"token by variable":          {[]string{"--data-dir", dir}, map[string]string{"HEADROOM_TOKEN": "from-env"}, "from-env"},
		"token by flag":              {[]string{"--data-dir", dir, "--token", "from-flag"}, map[string]string{"HEADROOM_TOKEN": "from-env"}, "from-flag"},
		"URL by flag":                {[]string{"--data-dir", dir, "--url", a.url}, map[string]string{"HEADROOM_URL": "http://127.0.0.1:1"}, "from-file"},
	} {
		token = ""
		c := a.caller()
		c.env = test.env
		if r := c.run(append([]string{"whoami"}, test.args...)...); r.code != 0 || token != test.want {
			t.Errorf("%s: token %q, %+v", name, token, r)
		}
	}
}

func TestTheLocalAdminTokenStaysHere(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	dir := t.TempDir()
	for name, text := range map[string]string{"server.url": a.url, "admin.token": "local-admin"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var sent []string
	a.handle("GET whoami", func(w http.ResponseWriter, r *http.Request) {
		sent = append(sent, r.Header.Get("Authorization"))
		problem(w, 401, `{"code":"unauthenticated","detail":"no valid token"}`)
	})
	c := a.caller()
	// This address leads here and is no loopback address all the same.
	foreign := strings.Replace(a.url, "127.0.0.1", "0.0.0.0", 1)
	c.env = map[string]string{"HEADROOM_DATA_DIR": dir, "HEADROOM_URL": foreign}
	r := c.run("whoami")
	for _, s := range sent {
		if s != "" {
			t.Errorf("the token was sent: %q", s)
		}
	}
	if r.code != cli.ExitUnreachable || len(sent) != 1 || !strings.Contains(r.err, "is not used because HEADROOM_URL names another host") {
		t.Errorf("sent %q, got %+v", sent, r)
	}
}

func TestARefusedTokenIsExplained(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.refuse("GET servers", 401, `{"code":"unauthenticated","detail":"the token is not valid"}`)
	c := a.caller()
	r := c.run("get", "servers")
	if r.code != cli.ExitUnreachable || !strings.Contains(r.err, "The token comes from HEADROOM_TOKEN.") {
		t.Errorf("got %+v", r)
	}
	c.env = map[string]string{"HEADROOM_URL": a.url, "HEADROOM_DATA_DIR": "nowhere"}
	r = c.run("get", "servers")
	if r.code != cli.ExitUnreachable || !strings.Contains(r.err, "No token was sent: nowhere/admin.token does not exist.") {
		t.Errorf("got %+v", r)
	}
}

type codedError struct{}

func (codedError) Error() string { return "another instance uses the data directory" }
func (codedError) ExitCode() int { return 42 }

func TestCommandsAreComposedIn(t *testing.T) {
	t.Parallel()
	var dir string
	serve := func() *cobra.Command {
		cmd := &cobra.Command{Use: "serve", Short: "Start a controller", RunE: func(*cobra.Command, []string) error { return codedError{} }}
		cmd.Flags().StringVar(&dir, "data-dir", "data", "where files are kept")
		return cmd
	}
	run := func(args ...string) result {
		var out, errs strings.Builder
		s := cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs}
		code := cli.Main(t.Context(), args, s, func(string) string { return "" }, cli.Commands{Serve: serve})
		return result{code, out.String(), errs.String()}
	}
	if r := run("serve", "--data-dir", "elsewhere"); r.code != 42 || r.err != "Error: another instance uses the data directory\n" || dir != "elsewhere" {
		t.Errorf("got %+v, data dir %q", r, dir)
	}
	if r := run("serve", "--help"); !strings.Contains(r.out, "--data-dir") || strings.Contains(r.out, "--token") {
		t.Errorf("got %s", r.out)
	}
	dirOfPages := t.TempDir()
	if r := run("docs", "--dir", dirOfPages); r.code != 0 {
		t.Errorf("docs: %+v", r)
	}
	for page, want := range map[string]bool{"headroom_serve.md": false, "headroom_plan.md": true} {
		text, err := os.ReadFile(filepath.Join(dirOfPages, page))
		if err != nil || strings.Contains(string(text), "--token") != want {
			t.Errorf("%s: --token shown: %v, %v", page, !want, err)
		}
	}
	if r := run("agent"); r.code != cli.ExitUsage {
		t.Errorf("a command that was not handed in: %+v", r)
	}
}

func TestEveryCommandIsDocumented(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if r := newAPI(t).run("docs", "--dir", dir); r.code != 0 {
		t.Fatalf("got %+v", r)
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*.md"))
	if err != nil || len(pages) < 30 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	groups := []string{"headroom.md", "headroom_session.md", "headroom_server.md", "headroom_token.md", "headroom_provider.md", "headroom_script.md"}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(page)
		isGroup := strings.Contains(strings.Join(groups, " "), name)
		if !isGroup && !strings.HasPrefix(name, "headroom_completion") && !strings.Contains(string(text), "### Examples") {
			t.Errorf("%s has no example", name)
		}
		if strings.Contains(string(text), os.Getenv("HOME")) && os.Getenv("HOME") != "" && os.Getenv("HOME") != "/" {
			t.Errorf("%s depends on this machine", name)
		}
	}
	golden(t, "help", newAPI(t).run("--help"))
	golden(t, "help-session-create", newAPI(t).run("session", "create", "--help"))
}
