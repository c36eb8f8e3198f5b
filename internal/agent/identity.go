package agent

import (
	"context"
	"fmt"
	"net/http"

	"github.com/headroom-dev/headroom/internal/fleet"
)

// register brings the agent to a registered state. A credential that is stored
// already is used again, unless the token file holds another token since.
func (a *agent) register(ctx context.Context) error {
	if a.state.Registered && !a.newToken() {
		return nil
	}
	token, err := a.cfg.readToken()
	if err != nil {
		return err
	}
	if a.state.Credential == "" || a.state.TokenHash != hashOf(token) {
		a.state = state{Credential: newCredential(), TokenHash: hashOf(token)}
		if err := a.state.save(a.cfg.StateDir); err != nil {
			return err
		}
	}
	for {
		identity, err := a.client.Register(ctx, fleet.AgentRegistration{
			Token: token, Credential: a.state.Credential, Hostname: a.hostname(),
			Addresses: a.addresses(), Capacity: a.capacity, Version: a.cfg.Version,
		})
		switch {
		case err == nil:
			a.calm()
			a.registered(identity)
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case says(err, http.StatusGone):
			return errGone
		case says(err, http.StatusUnauthorized, http.StatusForbidden):
			// An earlier call may have used up the token and its answer got
			// lost; then the credential is good.
			if _, reportErr := a.client.Report(ctx, a.state.Credential, a.signOfLife()); reportErr == nil {
				a.registered(fleet.AgentIdentity{})
				return nil
			} else if !says(reportErr, http.StatusUnauthorized, http.StatusForbidden, http.StatusGone) {
				break // not an answer to the question: ask again
			}
			return &fleet.Error{Code: fleet.CodeUnauthenticated, Cause: err, Message: fmt.Sprintf(
				"the controller at %s refuses the registration token of this machine: %v; the token may have been used, may have expired or may belong to another controller: make a new one and put it into %s",
				a.cfg.URL, err, a.cfg.TokenFile)}
		case says(err, http.StatusBadRequest, http.StatusUnprocessableEntity):
			return fmt.Errorf("registering: %w", err)
		}
		if err := a.wait(ctx, a.failed("registering", err)); err != nil {
			return err
		}
	}
}

// newToken says whether the token file holds another token than the one that
// this agent registered with: somebody wants the machine registered anew.
func (a *agent) newToken() bool {
	if a.cfg.TokenFile == "" || a.state.TokenHash == "" {
		return false
	}
	token, err := a.cfg.readToken()
	return err == nil && hashOf(token) != a.state.TokenHash
}

func (a *agent) registered(identity fleet.AgentIdentity) {
	a.state.Registered, a.state.Identity = true, identity
	a.remember()
	a.log.Info("registered", "server", identity.Server, "pool", identity.Pool)
}

// remember stores the state. Once a credential is stored, the agent can live
// on when it fails, for example because the disk is full: what is in the file
// then is a step behind, and the step can be repeated after a restart.
func (a *agent) remember() bool {
	err := a.state.save(a.cfg.StateDir)
	if err != nil {
		a.log.Warn("the agent's state could not be stored", "error", err.Error())
	}
	return err == nil
}

// rotate replaces the credential. A rotation that fails is taken up again
// after the next report, with the same next credential.
func (a *agent) rotate(ctx context.Context) {
	if a.state.Next == "" {
		a.state.Next = newCredential()
		if !a.remember() { // what is not stored is not sent
			a.state.Next = ""
			return
		}
	}
	if err := a.client.Rotate(ctx, a.state.Credential, a.state.Next); err != nil {
		if ctx.Err() == nil {
			a.log.Warn("the credential could not be rotated; it is tried again", "error", err.Error())
		}
		return
	}
	a.state.Credential, a.state.Next = a.state.Next, ""
	a.remember()
	a.log.Info("credential rotated")
}
