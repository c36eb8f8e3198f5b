package provider

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

// TransportError tells what hindered a call that got no answer from the cloud,
// so that a wrong host or certificate reads differently from an outage. It
// answers nil for errors that are none of a connection; drivers look at the
// cloud's own errors first.
//
// A certificate that cannot be verified is Unauthenticated: nothing was sent,
// and nothing will be until the settings change. All else is Unavailable.
func TransportError(err error) *Error {
	fault := func(class Class, text string) *Error {
		return &Error{Class: class, Message: text, Cause: err}
	}
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		verify    *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		dns       *net.DNSError
		op        *net.OpError
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &authority):
		return fault(Unauthenticated, "the service's certificate is signed by an authority that is not trusted: put the authority's certificate into ca_bundle")
	case errors.As(err, &name):
		return fault(Unauthenticated, "the service's certificate is made for another name ("+name.Error()+"): use the name that it was made for")
	case errors.As(err, &invalid):
		return fault(Unauthenticated, "the service's certificate is not valid ("+invalid.Error()+"): renew it")
	case errors.As(err, &verify):
		return fault(Unauthenticated, "the service's certificate cannot be verified: "+verify.Err.Error())
	case errors.As(err, &record):
		return fault(Unauthenticated, "the service does not speak TLS at this address: check the port, and whether the URL must begin with http://")
	case errors.Is(err, http.ErrSchemeMismatch):
		return fault(Unauthenticated, "the service speaks plain HTTP at this address, not HTTPS: check the port and the URL")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return fault(Unavailable, "the service did not answer in time")
	case errors.As(err, &dns) && dns.IsNotFound:
		return fault(Unavailable, "the host name "+dns.Name+" is not known: check its spelling, or the name service")
	case errors.As(err, &dns):
		return fault(Unavailable, "the host name "+dns.Name+" could not be looked up: "+dns.Err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fault(Unavailable, "nothing listens at the service's address: check host and port, or the service is down")
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return fault(Unavailable, "there is no way to the service's address: check host, routes and firewall")
	case errors.As(err, &op), isTimeout(err):
		return fault(Unavailable, "the connection to the service failed")
	}
	return nil
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// StatusClass is the class that an HTTP status has where the cloud says nothing
// more exact.
func StatusClass(status int) Class {
	switch status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return Invalid
	case http.StatusUnauthorized:
		return Unauthenticated
	case http.StatusForbidden:
		return Forbidden
	case http.StatusNotFound, http.StatusGone:
		return NotFound
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return Unsupported
	case http.StatusConflict, http.StatusPreconditionFailed, http.StatusLocked:
		return Conflict
	case http.StatusTooManyRequests:
		return RateLimited
	case http.StatusRequestTimeout:
		return Unavailable
	}
	if status >= http.StatusInternalServerError {
		return Unavailable
	}
	return Unknown
}

// RetryAfterHeader reads how long an answer asks to wait, in seconds or as a
// date (RFC 9110, section 10.2.3); 0 when it does not say.
func RetryAfterHeader(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if s, err := strconv.ParseInt(text, 10, 32); err == nil {
		return max(time.Duration(s)*time.Second, 0)
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}
