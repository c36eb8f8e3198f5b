package control

import "testing"

func TestReasonsAreNotRepeated(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ done, reason, want string }{
		{"deleted", "deleted by token/admin", "deleted by token/admin"},
		{"deleted", "deleted: it was idle", "deleted: it was idle"},
		{"deleted", after("drained", "drained by token/admin"), "deleted: drained by token/admin"},
		{"drained", "older than rotate_after 1h", "drained: older than rotate_after 1h"},
	} {
		if got := after(c.done, c.reason); got != c.want {
			t.Errorf("after(%q, %q) is %q, want %q", c.done, c.reason, got, c.want)
		}
	}
}
