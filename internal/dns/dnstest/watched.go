package dnstest

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/dns"
	"github.com/headroom-dev/headroom/internal/provider"
)

// watched looks at everything that a service answers: errors have a class and
// hold no secret, an incomplete list is no list, and a report is of use.
type watched struct {
	t       *testing.T
	secrets []string
	dns.Service
}

func (w watched) err(what string, err error) {
	w.t.Helper()
	if err == nil {
		return
	}
	var ours *provider.Error
	if !errors.As(err, &ours) && !errors.Is(err, context.Canceled) {
		w.t.Errorf("%s answered an error without a class: %v", what, err)
	}
	w.quiet(what, err)
}

// quiet looks for secrets in an error and in all of its causes.
func (w watched) quiet(what string, err error) {
	w.t.Helper()
	for _, secret := range w.secrets {
		if strings.Contains(err.Error(), secret) {
			w.t.Errorf("%s shows a secret in its error: %v", what, err)
		}
	}
	switch e := err.(type) { //nolint:errorlint // each error of the chain is looked at by itself
	case interface{ Unwrap() error }:
		if cause := e.Unwrap(); cause != nil {
			w.quiet(what, cause)
		}
	case interface{ Unwrap() []error }:
		for _, cause := range e.Unwrap() {
			w.quiet(what, cause)
		}
	}
}

func (w watched) Check(ctx context.Context, zone string) (provider.Report, error) {
	w.t.Helper()
	r, err := w.Service.Check(ctx, zone)
	w.err("check", err)
	if err == nil && len(r.Findings) == 0 {
		w.t.Error("check found nothing at all")
	}
	for _, f := range r.Findings {
		if f.Subject == "" || f.Verdict != provider.VerdictOK && (f.Message == "" || f.Remedy == "") {
			w.t.Errorf("check does not say what is wrong and what to do: %+v", f)
		}
		for _, secret := range w.secrets {
			if strings.Contains(f.Subject+f.Message+f.Remedy, secret) {
				w.t.Errorf("check shows a secret: %+v", f)
			}
		}
	}
	return r, err
}

func (w watched) Records(ctx context.Context, zone string) ([]dns.Record, error) {
	w.t.Helper()
	records, err := w.Service.Records(ctx, zone)
	w.err("records", err)
	if err != nil && records != nil {
		w.t.Errorf("records answered %d records with an error, as if they were of use: %v", len(records), err)
	}
	return records, err
}

func (w watched) Set(ctx context.Context, zone string, records []dns.Record) error {
	w.t.Helper()
	err := w.Service.Set(ctx, zone, records)
	w.err("set", err)
	return err
}

func (w watched) Delete(ctx context.Context, zone string, keys []dns.Key) error {
	w.t.Helper()
	err := w.Service.Delete(ctx, zone, keys)
	w.err("delete", err)
	return err
}
