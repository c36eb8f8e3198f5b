package e2e_test

import (
	"fmt"
	"strings"
	"time"
)

// fenceLog has PostgreSQL itself note each event that a loop of a node writes,
// and what loops remember of providers and pools: which node it was (its application_name is its address), and whether that node
// owned the work at this moment. Nothing that a node believes goes into it.
const fenceLog = `
CREATE TABLE test_writes (at BIGINT, app TEXT, seq BIGINT, what TEXT, keys TEXT[], owned BOOLEAN);
CREATE FUNCTION test_note(seq BIGINT, what TEXT, keys TEXT[]) RETURNS void AS $$
	INSERT INTO test_writes SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::BIGINT, me, seq, what, keys,
		EXISTS (SELECT 1 FROM owners JOIN nodes ON nodes.id = owners.node
			WHERE owners.key = ANY(keys) AND nodes.address LIKE '%' || substring(me FROM ':[0-9]+$'))
	FROM current_setting('application_name') AS me
$$ LANGUAGE sql;
CREATE FUNCTION test_event() RETURNS trigger AS $$
DECLARE vm TEXT := COALESCE(NEW.data::jsonb ->> 'vm_provider', '');
BEGIN
	PERFORM test_note(NEW.seq, NEW.type || ' ' || NEW.name, CASE NEW.kind
		WHEN 'Server'     THEN ARRAY['pool/' || NEW.pool, CASE vm WHEN '' THEN 'fixed' ELSE 'provider/' || vm END]
		WHEN 'VMProvider' THEN ARRAY['provider/' || NEW.name, 'pool/example', 'pool/probe']
		WHEN 'Session'    THEN ARRAY['system', 'pool/' || NEW.pool, 'provider/local', 'fixed']
		ELSE ARRAY['pool/' || NEW.pool] END);
	RETURN NULL;
END $$ LANGUAGE plpgsql;
CREATE TRIGGER test_event AFTER INSERT ON events FOR EACH ROW WHEN (NEW.actor = 'controller') EXECUTE FUNCTION test_event();
CREATE FUNCTION test_provider() RETURNS trigger AS $$ BEGIN
	PERFORM test_note(0, 'state of provider ' || NEW.provider, ARRAY['provider/' || NEW.provider, 'pool/example', 'pool/probe']);
	RETURN NULL;
END $$ LANGUAGE plpgsql;
CREATE TRIGGER test_provider AFTER INSERT OR UPDATE ON provider_states FOR EACH ROW EXECUTE FUNCTION test_provider();
CREATE FUNCTION test_config() RETURNS trigger AS $$ BEGIN
	PERFORM test_note(0, 'state of config ' || NEW.config, ARRAY['pool/' || NEW.config]);
	RETURN NULL;
END $$ LANGUAGE plpgsql;
CREATE TRIGGER test_config AFTER INSERT OR UPDATE ON autoscale_states FOR EACH ROW EXECUTE FUNCTION test_config();
`

func (c *cluster) watchWrites() {
	c.t.Helper()
	if _, err := c.db.Exec(fenceLog); err != nil {
		c.t.Fatal(err)
	}
}

// now is the clock of PostgreSQL.
func (c *cluster) now() (us int64) {
	c.t.Helper()
	if err := c.db.QueryRow("SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::BIGINT").Scan(&us); err != nil {
		c.t.Fatal(err)
	}
	return us
}

// checkWrites looks for writes of nodes that did not own the work. It returns
// how many there were in all.
func (c *cluster) checkWrites() (all int) {
	c.t.Helper()
	rows, err := c.db.Query("SELECT app, seq, what, keys::TEXT FROM test_writes WHERE NOT owned ORDER BY seq")
	if err != nil {
		c.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var app, what, keys string
		var seq int64
		if err := rows.Scan(&app, &seq, &what, &keys); err != nil {
			c.t.Fatal(err)
		}
		c.t.Errorf("event %d: the node at %s wrote %q and owned none of %s", seq, app, what, keys)
	}
	if err := rows.Err(); err != nil {
		c.t.Fatal(err)
	}
	if err := c.db.QueryRow("SELECT COUNT(*) FROM test_writes").Scan(&all); err != nil {
		c.t.Fatal(err)
	}
	return all
}

// firstWrite is how long after a moment another node than the given one wrote
// first under a key, and when the key was taken; both by PostgreSQL's clock.
func (c *cluster) firstWrite(since int64, key string, not *controller) (taken, wrote time.Duration, err error) {
	var takenAt, wroteAt int64
	if err := c.db.QueryRow("SELECT taken_at FROM owners WHERE key = $1", key).Scan(&takenAt); err != nil {
		return 0, 0, err
	}
	err = c.db.QueryRow("SELECT COALESCE(MIN(at), 0) FROM test_writes WHERE at > $1 AND app <> $2 AND $3 = ANY(keys)", takenAt, not.addr, key).Scan(&wroteAt)
	if err == nil && wroteAt == 0 {
		err = fmt.Errorf("nobody has written under %s", key)
	}
	return time.Duration(takenAt-since) * time.Microsecond, time.Duration(wroteAt-since) * time.Microsecond, err
}

// report prints a line of JSON for docs/benchmarks.md.
func (c *cluster) report(how, key string, since int64, not *controller) {
	c.t.Helper()
	taken, wrote, err := c.firstWrite(since, key, not)
	if err != nil {
		c.t.Error(err)
		return
	}
	if wrote > resumeTime {
		c.t.Errorf("work of %s rested for %s", key, wrote)
	}
	kind, _, _ := strings.Cut(key, "/")
	fmt.Fprintf(c.t.Output(), `{"benchmark":"failover","event":%q,"work":%q,"owned_s":%.2f,"working_s":%.2f}`+"\n", how, kind, taken.Seconds(), wrote.Seconds())
}
