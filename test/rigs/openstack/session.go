package openstack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Session speaks to the services as one user in one project: plain requests, so
// that what it shows owes nothing to the SDK that is being tested.
type Session struct {
	rig     *Rig
	auth    map[string]any
	token   string
	UserID  string
	Project string // id
}

// StatusError is an answer that is no success.
type StatusError struct {
	Status int
	Call   string
	Body   string
}

func (e *StatusError) Error() string { return fmt.Sprintf("%s: %d: %.500s", e.Call, e.Status, e.Body) }

// Login opens a session with a password.
func (r *Rig) Login(ctx context.Context, user, password, project string) (*Session, error) {
	domain := map[string]any{"id": "default"}
	return r.login(ctx, map[string]any{
		"identity": map[string]any{"methods": []string{"password"}, "password": map[string]any{
			"user": map[string]any{"name": user, "domain": domain, "password": password},
		}},
		"scope": map[string]any{"project": map[string]any{"name": project, "domain": domain}},
	})
}

// Admin opens a session of the administrator.
func (r *Rig) Admin(ctx context.Context) (*Session, error) {
	return r.Login(ctx, "admin", r.Secrets.Admin, "admin")
}

func (r *Rig) login(ctx context.Context, auth map[string]any) (*Session, error) {
	s := &Session{rig: r, auth: auth}
	return s, s.renew(ctx)
}

func (s *Session) renew(ctx context.Context) error {
	var answer struct {
		Token struct {
			User    struct{ ID string }
			Project struct{ ID string }
		}
	}
	s.token = ""
	header, err := s.send(ctx, http.MethodPost, s.rig.IdentityURL()+"/auth/tokens", map[string]any{"auth": s.auth}, &answer)
	if err != nil {
		return err
	}
	s.token, s.UserID, s.Project = header.Get("X-Subject-Token"), answer.Token.User.ID, answer.Token.Project.ID
	return nil
}

// Do makes one request to a service ("identity", "compute", …); path begins
// after the version and, for volumes, after the project. out may be nil.
func (s *Session) Do(ctx context.Context, method, service, path string, body, out any) error {
	version := map[string]string{
		"identity": "/v3", "compute": "/v2.1", "image": "/v2", "network": "/v2.0", "volume": "/v3/" + s.Project,
	}[service]
	_, err := s.send(ctx, method, s.rig.ServiceURLs()[service]+version+path, body, out)
	return err
}

// RevokeToken ends a token of whomever.
func (s *Session) RevokeToken(ctx context.Context, token string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, s.rig.IdentityURL()+"/auth/tokens", nil)
	if err != nil {
		return err
	}
	req.Header.Set("X-Auth-Token", s.token)
	req.Header.Set("X-Subject-Token", token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		return &StatusError{Status: resp.StatusCode, Call: "DELETE /v3/auth/tokens"}
	}
	return nil
}

func (s *Session) send(ctx context.Context, method, url string, body, out any) (http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var content io.Reader
	kind := "application/json"
	switch b := body.(type) {
	case nil:
	case []byte:
		content, kind = bytes.NewReader(b), "application/octet-stream"
	default:
		text, err := json.Marshal(b)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, content)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("X-Auth-Token", s.token)
	if strings.HasPrefix(url, s.rig.ServiceURLs()["compute"]) {
		req.Header.Set("OpenStack-API-Version", "compute 2.90") // cinder refuses a version of another service
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		return nil, &StatusError{Status: resp.StatusCode, Call: method + " " + url, Body: string(text)}
	}
	if out != nil && len(text) > 0 {
		return resp.Header, json.Unmarshal(text, out)
	}
	return resp.Header, nil
}
