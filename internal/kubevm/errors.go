package kubevm

import (
	"errors"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/headroom-dev/headroom/internal/provider"
)

// failure classifies what the API server, or the way to it, said.
func failure(doing string, err error) error {
	if err == nil {
		return nil
	}
	var known *provider.Error
	if errors.As(err, &known) { // of the guard, or classified already
		return &provider.Error{Class: known.Class, Message: doing + ": " + known.Message, After: known.After, Cause: known.Cause}
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		if t := provider.TransportError(err); t != nil {
			return &provider.Error{Class: t.Class, Message: doing + ": " + t.Message, Cause: err}
		}
		return provider.Errorf(provider.Unknown, "%s: %w", doing, err)
	}
	s := status.Status()
	e := &provider.Error{Class: classOf(&s), Message: doing + ": " + s.Message, Cause: err}
	if e.Class == provider.RateLimited && s.Details != nil {
		e.After = time.Duration(s.Details.RetryAfterSeconds) * time.Second
	}
	switch e.Class {
	case provider.Unauthenticated:
		e.Message = doing + ": the API server does not accept the credentials: make a new token and set it"
	case provider.NotFound:
		if s.Details == nil || s.Details.Name == "" { // no object is missing, the resource itself is
			e.Class = provider.Unsupported
			e.Message = doing + ": the cluster does not know this kind of object: install KubeVirt and CDI, or, if this is no Kubernetes API server, set its right address"
		}
	}
	return e
}

// classOf is the class of an answer of the API server.
func classOf(s *metav1.Status) provider.Class {
	switch s.Reason {
	case metav1.StatusReasonForbidden:
		switch {
		case strings.Contains(s.Message, "exceeded quota"), strings.Contains(s.Message, "failed quota"):
			return provider.Quota
		case strings.Contains(s.Message, "status unknown for quota"):
			return provider.Unavailable // of a quota that has just been made
		case strings.Contains(s.Message, "is being terminated"):
			return provider.Invalid // the namespace is on its way out
		}
		return provider.Forbidden
	case metav1.StatusReasonUnauthorized:
		return provider.Unauthenticated
	case metav1.StatusReasonNotFound, metav1.StatusReasonGone:
		return provider.NotFound
	case metav1.StatusReasonAlreadyExists, metav1.StatusReasonConflict:
		return provider.Conflict
	case metav1.StatusReasonInvalid, metav1.StatusReasonBadRequest, metav1.StatusReasonRequestEntityTooLarge,
		metav1.StatusReasonUnsupportedMediaType, metav1.StatusReasonNotAcceptable:
		return provider.Invalid
	case metav1.StatusReasonMethodNotAllowed:
		return provider.Unsupported
	case metav1.StatusReasonTooManyRequests:
		return provider.RateLimited
	case metav1.StatusReasonServerTimeout, metav1.StatusReasonTimeout, metav1.StatusReasonServiceUnavailable,
		metav1.StatusReasonInternalError, metav1.StatusReasonExpired, metav1.StatusReasonStoreReadError:
		return provider.Unavailable // Expired: the rest of a listing is no longer to be had, the next begins anew
	case metav1.StatusReasonUnknown:
	}
	return provider.StatusClass(int(s.Code))
}

// made turns the class of an error about a machine that has been made into one
// that does not say that nothing was.
func made(err error) error {
	var e *provider.Error
	if errors.As(err, &e) && e.Class.MadeNothing() {
		return &provider.Error{Class: provider.Unknown, Message: e.Message, Cause: e.Cause}
	}
	return err
}

func isClass(err error, class provider.Class) bool {
	return err != nil && provider.ClassOf(err) == class
}
