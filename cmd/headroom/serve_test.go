package main

import "testing"

// TestFirstUse: the greeting names only a pool that exists.
func TestFirstUse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pools []string
		want  string
	}{
		{nil, "apply -f FILE"},
		{[]string{"builders", "desks"}, "session create --pool builders --cores 2 --memory 2Gi"},
		{[]string{"builders", "example"}, "session create --pool example --cores 2 --memory 2Gi"},
	} {
		if got := firstUse(c.pools)[0]; got != c.want {
			t.Errorf("with pools %v: %q, expected %q", c.pools, got, c.want)
		}
	}
}
