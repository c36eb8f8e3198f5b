package proxmox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
)

// refusal is an answer of Proxmox VE that is no success. The text of its
// errors is in the reason phrase of the status line, newer versions repeat it
// in the body.
type refusal struct {
	status int
	text   string            // the reason
	fields map[string]string // of parameters that were refused
	after  time.Duration     // Retry-After
}

func (r *refusal) Error() string {
	text := fmt.Sprintf("%d %s", r.status, r.text)
	for _, name := range slices.Sorted(maps.Keys(r.fields)) {
		text += fmt.Sprintf("; %s: %s", name, strings.TrimSpace(r.fields[name]))
	}
	return text
}

// says tells whether the text of a refusal holds one of the phrases.
func says(err error, phrases ...string) bool {
	var r *refusal
	if !errors.As(err, &r) {
		return false
	}
	text := strings.ToLower(r.Error())
	for _, p := range phrases {
		if strings.Contains(text, p) {
			return true
		}
	}
	return false
}

// Phrases of Proxmox VE by which refusals are told apart; it has one status,
// 500, for nearly all of them.
var (
	saysTaken      = []string{"config file already exists", "already exists on node"}
	saysGone       = []string{"configuration file", "no such vm", "vm does not exist"}
	saysLocked     = []string{"is locked", "got timeout", "can't lock file", "unable to acquire lock"}
	saysAgentDown  = []string{"guest agent is not running", "qga command", "guest-ping", "guest agent not responding"}
	saysNoAgent    = []string{"no qemu guest agent configured", "guest agent not configured"}
	saysNotRunning = []string{"not running"}
	saysNoFile     = []string{"no such file", "failed to open file", "cannot find the"}
	// Of LVM, thin LVM, ZFS, files and Ceph, in this order, and of quotas of NFS.
	saysFull  = []string{"not enough", "insufficient", "reached threshold", "out of space", "no space", "quota exceeded"}
	saysLocal = []string{"uses local storage"}
)

var permissionText = regexp.MustCompile(`\((/[^,()]*), ([^()]+)\)`)

// failure classifies an error. what says what was being done.
func failure(what string, err error) error {
	if err == nil {
		return nil
	}
	var known *provider.Error
	if errors.As(err, &known) {
		return known
	}
	var r *refusal
	if errors.As(err, &r) {
		class, text := classify(r)
		return &provider.Error{Class: class, Message: what + ": " + text, After: r.after, Cause: err}
	}
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch e := provider.TransportError(err); {
	case e != nil:
		e.Message = what + ": " + e.Message
		return e
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &provider.Error{Class: provider.Unavailable, Message: what + ": Proxmox VE did not answer in time", Cause: err}
	case errors.As(err, &syntax), errors.As(err, &kind):
		return &provider.Error{Class: provider.Unknown, Message: what + ": the answer is not that of Proxmox VE: check host and port", Cause: err}
	}
	return &provider.Error{Class: provider.Unknown, Message: what + ": " + err.Error(), Cause: err}
}

// classify gives the class of a refusal and the words for people.
func classify(r *refusal) (provider.Class, string) {
	text := strings.TrimSuffix(strings.TrimSpace(r.Error()), ".")
	switch {
	case r.status == http.StatusUnauthorized:
		return provider.Unauthenticated, "Proxmox VE does not accept the API token (" + text + "): check token_id and token_secret, and that neither the token nor its user has expired or is disabled"
	case r.status == http.StatusForbidden:
		if m := permissionText.FindStringSubmatch(r.text); m != nil {
			return provider.Forbidden, fmt.Sprintf("the API token lacks the privilege %s on %s: give it to the token, or to its user and the token (%s)", strings.ReplaceAll(m[2], "|", " or "), m[1], text)
		}
		return provider.Forbidden, "the API token may not do this (" + text + ")"
	case r.status == http.StatusTooManyRequests:
		return provider.RateLimited, "too many requests (" + text + ")"
	case r.status == http.StatusBadRequest:
		return provider.Invalid, "Proxmox VE refuses the request (" + text + ")"
	case r.status == http.StatusNotFound:
		return provider.Invalid, "there is no API of Proxmox VE at this address (" + text + "): check host and port"
	case r.status >= 595 && r.status <= 599:
		return provider.Unavailable, "the node is down or cannot be reached by the others (" + text + ")"
	case r.status == http.StatusNotImplemented || r.status == http.StatusMethodNotAllowed:
		return provider.Unsupported, "this version of Proxmox VE does not have the call (" + text + "); versions 8 and 9 are supported"
	case r.status == http.StatusBadGateway || r.status == http.StatusServiceUnavailable || r.status == http.StatusGatewayTimeout:
		return provider.Unavailable, "Proxmox VE is not available (" + text + ")"
	}
	class := classOfText(r)
	if says(r, "protection mode") {
		text += "; somebody protects it: qm set VMID --protection 0 lets it be removed"
	}
	return class, text
}

// classOfText reads the reason of a 500.
func classOfText(r *refusal) provider.Class {
	switch {
	case says(r, saysGone...) && says(r, "does not exist", "no such"):
		return provider.NotFound
	case says(r, saysTaken...), says(r, saysLocked...), says(r, "is running - destroy failed", "detected modified configuration"):
		return provider.Conflict
	case says(r, "protection mode"):
		return provider.Conflict
	case says(r, saysNoAgent...):
		return provider.Invalid
	case says(r, saysAgentDown...), says(r, saysNotRunning...):
		return provider.Unavailable
	case says(r, "no quorum", "cluster not ready", "permission denied - invalid pve ticket", "no route to host", "connection refused", "connection timed out"):
		return provider.Unavailable
	case says(r, saysFull...):
		return provider.NoCapacity
	case says(r, saysLocal...), says(r, "does not exist", "no such", "not allowed", "is not available", "unable to parse", "invalid format", "does not support", "not supported", "only root can"):
		return provider.Invalid
	case r.status > http.StatusInternalServerError:
		return provider.StatusClass(r.status)
	}
	return provider.Unknown
}

// isNode says that the error tells of one node that is down, not of the whole
// cluster.
func isNode(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.status >= 595 && r.status <= 599
}

func notFound(id string) error {
	return provider.Errorf(provider.NotFound, "there is no machine %q", id)
}
