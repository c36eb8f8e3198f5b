package vsphere

import (
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // vCenter and ESXi name certificates by it
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/headroom-dev/headroom/internal/provider"
)

const (
	// refusedFor is how long a refused login is not repeated: with vCenter's
	// default policy five failures within three minutes lock an account.
	refusedFor = time.Minute
	// placesFor is how long resolved names are used.
	placesFor = 5 * time.Minute
)

// session is a login at vCenter and what was looked up with it. Everything in
// it can be had again by asking; it saves calls, no more.
type session struct {
	client *vim25.Client
	key    string // of the session, for questions about its privileges
	user   string // as vCenter spells it

	mu       sync.Mutex
	view     *types.ManagedObjectReference // of the machines below the folder
	places   *places
	placesAt time.Time
}

// link keeps one session. Taking it waits for the context, not for a mutex:
// while one caller logs in, the others must still be able to give up.
type link struct {
	settings Settings
	now      func() time.Time
	gate     chan struct{} // capacity 1: whoever has put something in may touch the fields below

	current      *session
	refused      error // of the last login
	refusedUntil time.Time
}

func newLink(s Settings, now func() time.Time) *link {
	return &link{settings: s, now: now, gate: make(chan struct{}, 1)}
}

func (l *link) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case l.gate <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *link) unlock() { <-l.gate }

// get answers the session, after a login where there is none.
func (l *link) get(ctx context.Context) (*session, error) {
	if err := l.lock(ctx); err != nil {
		return nil, err
	}
	defer l.unlock()
	if l.current != nil {
		return l.current, nil
	}
	if l.refused != nil && l.now().Before(l.refusedUntil) {
		return nil, l.refused
	}
	s, err := l.login(ctx)
	l.refused = nil
	if isFault(err, "InvalidLogin", "NoPermission") {
		l.refused, l.refusedUntil = err, l.now().Add(refusedFor)
	}
	if err != nil {
		return nil, err
	}
	l.current = s
	return s, nil
}

// drop forgets a session that vCenter does not know any more, unless another
// caller has replaced it already.
func (l *link) drop(ctx context.Context, s *session) {
	if l.lock(ctx) != nil {
		return
	}
	defer l.unlock()
	if l.current == s {
		l.current = nil
	}
}

// with calls f with a session. A session that has ended is replaced once: the
// refused call did nothing.
func (l *link) with(ctx context.Context, f func(*session) error) error {
	s, err := l.get(ctx)
	if err != nil {
		return err
	}
	err = f(s)
	if !isFault(err, "NotAuthenticated") {
		return err
	}
	l.drop(ctx, s)
	if s, err = l.get(ctx); err != nil {
		return err
	}
	return f(s)
}

// close ends the session at vCenter, so that it does not count against the
// limit until it times out.
func (l *link) close(ctx context.Context) error {
	if err := l.lock(ctx); err != nil {
		return err
	}
	defer l.unlock()
	s := l.current
	l.current = nil
	if s == nil {
		return nil
	}
	_, err := methods.Logout(ctx, s.client, &types.Logout{This: *s.client.ServiceContent.SessionManager})
	s.client.Client.Client.CloseIdleConnections()
	if isFault(err, "NotAuthenticated") {
		return nil
	}
	return err
}

func (l *link) login(ctx context.Context) (*session, error) {
	config, err := l.settings.TLSConfig()
	if err != nil {
		return nil, err
	}
	if pin := l.settings.thumbprint(); pin != nil {
		config = pinned(config, pin, "vCenter server", "the setting thumbprint")
	}
	u := &url.URL{
		Scheme: "https", Path: vim25.Path,
		Host: net.JoinHostPort(l.settings.VCenter, strconv.FormatInt(max(l.settings.Port, 1), 10)),
	}
	sc := soap.NewClient(u, false)
	if sc.Client.Transport, err = l.transport(config); err != nil {
		return nil, err
	}
	sc.UserAgent = "Headroom"
	client, err := vim25.NewClient(ctx, sc)
	if err != nil {
		return nil, err
	}
	if client.ServiceContent.About.ApiType != "VirtualCenter" {
		return nil, provider.Errorf(provider.Invalid, "%s is an ESXi host (%s), which cannot clone: give the name of a vCenter server in vcenter",
			l.settings.VCenter, client.ServiceContent.About.FullName)
	}
	resp, err := methods.Login(ctx, client, &types.Login{
		This: *client.ServiceContent.SessionManager, UserName: l.settings.Username, Password: l.settings.Password, Locale: "en_US",
	})
	if err != nil {
		return nil, err
	}
	return &session{client: client, key: resp.Returnval.Key, user: resp.Returnval.UserName}, nil
}

// transport reaches vCenter or a host with the given verification.
func (l *link) transport(config *tls.Config) (http.RoundTripper, error) {
	t, err := l.settings.Transport()
	if err != nil {
		return nil, err
	}
	t.TLSClientConfig = config
	t.ForceAttemptHTTP2 = false // as govmomi: vCenter's SOAP endpoint is tried with HTTP/1.1
	return classified{provider.LimitAnswers(t), l.now}, nil
}

// pinned accepts exactly the certificate with the fingerprint.
func pinned(config *tls.Config, pin []byte, whose, from string) *tls.Config {
	config = config.Clone()
	config.InsecureSkipVerify = true //nolint:gosec // VerifyConnection below accepts one certificate only
	config.VerifyConnection = func(cs tls.ConnectionState) error {
		if len(cs.PeerCertificates) == 0 {
			return provider.Errorf(provider.Unauthenticated, "the %s shows no certificate", whose)
		}
		raw := cs.PeerCertificates[0].Raw
		long, short := sha256.Sum256(raw), sha1.Sum(raw) //nolint:gosec // vCenter and ESXi name certificates by SHA-1; a second certificate with the same digest as a given one cannot be made
		if bytes.Equal(pin, long[:]) || bytes.Equal(pin, short[:]) {
			return nil
		}
		return provider.Errorf(provider.Unauthenticated,
			"the %s shows a certificate with the SHA-256 fingerprint %s, which is not the one of %s: make sure that it was renewed, and by whom", whose, colons(long[:]), from)
	}
	return config
}

func colons(b []byte) string {
	text := hex.EncodeToString(b)
	out := make([]byte, 0, len(text)*3/2)
	for i := 0; i < len(text); i += 2 {
		if i > 0 {
			out = append(out, ':')
		}
		out = append(out, text[i:i+2]...)
	}
	return string(bytes.ToUpper(out))
}

// find is the object at an inventory path; nil when there is none.
func (s *session) find(ctx context.Context, path string) (*types.ManagedObjectReference, error) {
	resp, err := methods.FindByInventoryPath(ctx, s.client, &types.FindByInventoryPath{
		This: *s.client.ServiceContent.SearchIndex, InventoryPath: path,
	})
	if err != nil {
		return nil, fmt.Errorf("looking up %s: %w", path, err)
	}
	return resp.Returnval, nil
}
