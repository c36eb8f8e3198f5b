package openstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/headroom-dev/headroom/internal/provider"
)

// classify turns what a call of a service answered into our classes.
func classify(err error, which service) error {
	if err == nil {
		return nil
	}
	var (
		ours      *provider.Error
		unsigned  *gophercloud.ErrUnableToReauthenticate
		again     *gophercloud.ErrErrorAfterReauthentication
		answer    gophercloud.ErrUnexpectedResponseCode
		syntax    *json.SyntaxError
		malformed *json.UnmarshalTypeError
	)
	switch {
	case errors.As(err, &ours):
		return ours
	case errors.As(err, &unsigned):
		return classifySignIn(unsigned.ErrReauth)
	case errors.As(err, &again):
		if errors.As(again.ErrOriginal, &answer) && answer.Actual == http.StatusUnauthorized {
			return outsideRules(answer, which)
		}
		return classify(again.ErrOriginal, which)
	case errors.As(err, &answer):
		return classifyAnswer(answer, which)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &provider.Error{Class: provider.Unavailable, Message: which.name() + " did not answer in time", Cause: err}
	}
	if t := provider.TransportError(err); t != nil {
		t.Message = which.name() + ": " + t.Message
		return t
	}
	if errors.As(err, &syntax) || errors.As(err, &malformed) || strings.Contains(err.Error(), "EOF") {
		return &provider.Error{Class: provider.Unavailable, Message: which.name() + " answered something that cannot be read, or broke off its answer", Cause: err}
	}
	return &provider.Error{Class: provider.Unknown, Message: which.name() + ": " + err.Error(), Cause: err}
}

// classifySignIn is about keystone: there, 401 speaks of the credential itself.
func classifySignIn(err error) error {
	var answer gophercloud.ErrUnexpectedResponseCode
	if !errors.As(err, &answer) {
		return classify(err, identity)
	}
	// Keystone answers 404 for an application credential or a user that is gone.
	lost := answer.Actual == http.StatusNotFound && strings.Contains(messageOf(answer.Body), "Could not find")
	switch {
	case answer.Actual == http.StatusUnauthorized, lost:
		return &provider.Error{
			Class: provider.Unauthenticated, Cause: redacted(answer),
			Message: "keystone does not accept the credential: check that it is spelled right, was not revoked and has not expired, that its user is enabled, " +
				"and with a password also the domains and the project",
		}
	case answer.Actual == http.StatusNotFound, answer.Actual == http.StatusMethodNotAllowed, answer.Actual/100 == 3:
		return &provider.Error{
			Class: provider.Invalid, Cause: redacted(answer),
			Message: "there is no identity API, version 3, at auth_url: take OS_AUTH_URL from the RC file that the dashboard offers",
		}
	}
	return classifyAnswer(answer, identity)
}

// outsideRules is a 401 for a token that keystone has just given: the
// credential is good, but the service does not let it make this call. Keystone
// has no other way to refuse what the access rules leave out.
func outsideRules(answer gophercloud.ErrUnexpectedResponseCode, which service) error {
	return &provider.Error{
		Class: provider.Forbidden, Cause: redacted(answer),
		Message: fmt.Sprintf("the credential is good, but %s does not accept it for %s %s: if the application credential has access rules, make a new one with the rule "+
			"{service: %s, method: %s, path: %s} besides the others; otherwise the service cannot check tokens",
			which.name(), answer.Method, pathOf(answer.URL), which.ruleName(), answer.Method, rulePath(answer.URL)),
	}
}

func (s service) name() string {
	return map[service]string{identity: "keystone", nova: "nova", glance: "glance", cinder: "cinder", neutron: "neutron"}[s]
}

// redacted is what may be kept of an answer: nothing of the request.
func redacted(answer gophercloud.ErrUnexpectedResponseCode) error {
	return fmt.Errorf("%s %s answered %d: %.500s", answer.Method, pathOf(answer.URL), answer.Actual, answer.Body)
}

func pathOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "?"
	}
	return u.Path
}

// versioned finds where the path of an access rule begins, whatever a gateway
// puts before it; idSegment what is written as * in it.
var (
	versioned = regexp.MustCompile(`/v[0-9](\.[0-9]+)?/.*$`)
	idSegment = regexp.MustCompile(`/[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}`)
)

// rulePath is the path as an access rule spells it.
func rulePath(text string) string {
	path := pathOf(text)
	if p := versioned.FindString(path); p != "" {
		path = p
	}
	return idSegment.ReplaceAllString(path, "/*")
}

// messageOf digs the text for people out of an answer: each service wraps it in
// its own way, and some answer HTML or plain text.
func messageOf(body []byte) string {
	var doc any
	if json.Unmarshal(body, &doc) == nil {
		if m := findMessage(doc); m != "" {
			return m
		}
	}
	text := tags.ReplaceAllString(string(body), " ")
	return strings.Join(strings.Fields(text), " ")
}

var tags = regexp.MustCompile(`(?s)<(style|script|title).*?</(style|script|title)>|<[^>]*>`)

func findMessage(doc any) string {
	object, ok := doc.(map[string]any)
	if !ok {
		return ""
	}
	for _, key := range []string{"message", "detail"} {
		if text, ok := object[key].(string); ok && text != "" {
			return strings.TrimSpace(text)
		}
	}
	for _, key := range sortedKeys(object) {
		if text, ok := object[key].(string); ok && key == "NeutronError" {
			return text
		}
		if m := findMessage(object[key]); m != "" {
			return m
		}
	}
	return ""
}

// Words of the services by which one status means different things.
var (
	quotaWords    = regexp.MustCompile(`(?i)quota|VolumeLimitExceeded|SizeExceedsAvailable|Maximum number of \w+ exceeded|over ?limit`)
	capacityWords = regexp.MustCompile(`(?i)no valid host|No fixed IP addresses available|No more IP addresses available|IpAddressGenerationFailure|max scheduling attempts|No valid (backend|pool)`)
	busyWords     = regexp.MustCompile(`(?i)Volume status must be`)
	settingWords  = regexp.MustCompile(`(?i)Multiple possible networks|Multiple security_group|No suitable endpoint|policy ?does(n't| not)`)
)

func classifyAnswer(answer gophercloud.ErrUnexpectedResponseCode, which service) error {
	said := messageOf(answer.Body)
	class := provider.StatusClass(answer.Actual)
	text := fmt.Sprintf("%s answered %d", which.name(), answer.Actual)
	if said != "" {
		text += ": " + short(said)
	}
	body := string(answer.Body)
	switch {
	case answer.Actual == http.StatusUnauthorized:
		// The SDK could not sign in again; see classify for the case that it could.
		class = provider.Unauthenticated
	case answer.Actual >= http.StatusInternalServerError, answer.Actual == http.StatusTooManyRequests:
		// Whatever the text says of quotas, it is to be tried again.
	case capacityWords.MatchString(body):
		class = provider.NoCapacity
	case (answer.Actual == http.StatusForbidden || answer.Actual == http.StatusConflict || answer.Actual == http.StatusRequestEntityTooLarge) && quotaWords.MatchString(body):
		class = provider.Quota
	case answer.Actual == http.StatusBadRequest && busyWords.MatchString(body):
		class = provider.Conflict // a volume that is still being made cannot be deleted yet
	case answer.Actual == http.StatusConflict && settingWords.MatchString(body):
		class = provider.Invalid
	case answer.Actual == http.StatusForbidden:
		text += "; give the credential's user the role that allows it (member is the usual one)"
	case answer.Actual == http.StatusNotAcceptable:
		class = provider.Invalid
		text += "; lower nova_microversion or cinder_microversion"
	}
	return &provider.Error{
		Class: class, Message: text, Cause: redacted(answer),
		After: provider.RetryAfterHeader(answer.ResponseHeader, time.Now()), //nolint:forbidigo // only for a Retry-After that is a date
	}
}

func short(text string) string {
	if r := []rune(text); len(r) > 400 {
		return string(r[:400]) + "…"
	}
	return text
}

// faultClass is what it means for others that a machine could not be built.
func faultClass(fault string) provider.Class {
	switch {
	case quotaWords.MatchString(fault):
		return provider.Quota
	case capacityWords.MatchString(fault), strings.Contains(fault, "Exceeded maximum number of retries"):
		return provider.NoCapacity
	}
	return ""
}
