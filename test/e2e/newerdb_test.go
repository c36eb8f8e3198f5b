package e2e_test

import (
	"database/sql"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"
	_ "modernc.org/sqlite" // the driver that opens the embedded database
)

// cmdNewerDB records a migration that no binary has, as a later version of
// Headroom would have left it, with its name if one is given.
func cmdNewerDB(ts *testscript.TestScript, _ bool, args []string) {
	need(ts, len(args) == 1 || len(args) == 2, "newerdb NAME [VERSION]")
	c, err := siteOf(ts).controller(args[0])
	ts.Check(err)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(c.dir, "headroom.db"))
	ts.Check(err)
	defer db.Close()
	_, err = db.Exec("INSERT INTO schema_versions (version_id, is_applied, tstamp) VALUES (99999, 1, CURRENT_TIMESTAMP)")
	ts.Check(err)
	if len(args) == 2 {
		_, err = db.Exec("INSERT INTO schema_programs (schema_version, program) VALUES (99999, ?)", args[1])
		ts.Check(err)
	}
}
