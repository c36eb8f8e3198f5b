package api

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// encodeCursor hides where a list goes on, so that nobody builds on it.
func encodeCursor(after string) string {
	if after == "" {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString([]byte(after))
}

func decodeCursor(cursor string) (string, error) {
	after, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || strings.ContainsFunc(string(after), func(r rune) bool { return r <= ' ' || r > '~' }) { // names and ids have none such
		return "", fleet.Invalid("query", []fleet.FieldError{{Path: "cursor", Value: cursor, Message: "is not a cursor: pass the next of the page before, or leave it out"}})
	}
	return string(after), nil
}

func etag(version int64) string { return strconv.Quote(strconv.FormatInt(version, 10)) }

// versionOf reads an If-Match header: one ETag, or * for any; 0 without one.
func versionOf(ifMatch string) (int64, error) {
	text := strings.TrimPrefix(strings.TrimSpace(ifMatch), "W/")
	if text == "" || text == "*" {
		return 0, nil
	}
	version, err := strconv.ParseInt(strings.Trim(text, `"`), 10, 64)
	if err != nil || version <= 0 {
		return 0, fleet.Invalid("headers", []fleet.FieldError{{Path: "If-Match", Value: ifMatch, Message: "is not the ETag of an object: write for example \"7\""}})
	}
	return version, nil
}
