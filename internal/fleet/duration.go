package fleet

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time that JSON and YAML write as text ("90s",
// "10m", "1h30m"); a bare number means seconds.
type Duration time.Duration

// ParseDuration reads "90s", "10m", "1h30m", "7d" or a bare number of seconds.
func ParseDuration(s string) (Duration, error) {
	text := strings.TrimSpace(s)
	bad := func() (Duration, error) {
		return 0, fmt.Errorf("%q is not a duration: write for example 90s, 10m, 1h30m or 7d", s)
	}
	var d time.Duration
	switch n, err := strconv.ParseInt(text, 10, 64); {
	case err == nil:
		if n < 0 || n > 10*366*86400 {
			return bad()
		}
		d = time.Duration(n) * time.Second
	case strings.HasSuffix(text, "d"):
		days, err := strconv.ParseInt(strings.TrimSuffix(text, "d"), 10, 64)
		if err != nil || days < 0 || days > 3660 {
			return bad()
		}
		d = time.Duration(days) * 24 * time.Hour
	default:
		if d, err = time.ParseDuration(text); err != nil {
			return bad()
		}
	}
	if d < 0 {
		return 0, fmt.Errorf("duration %q is negative", s)
	}
	return Duration(d), nil
}

// D is the value as a time.Duration.
func (d Duration) D() time.Duration { return time.Duration(d) }

// String drops zero units: "10m", not "10m0s".
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// MarshalJSON writes the text form.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON reads the text form or a number of seconds.
func (d *Duration) UnmarshalJSON(b []byte) error {
	s := string(b)
	if len(b) > 0 && b[0] == '"' {
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
	}
	v, err := ParseDuration(s)
	if err != nil {
		return err
	}
	*d = v
	return nil
}
