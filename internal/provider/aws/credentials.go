package aws

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"

	"github.com/headroom-dev/headroom/internal/provider"
)

// early is how long before their end credentials are renewed, so that none ends
// on the way.
const early = 5 * time.Minute

// renewed keeps credentials until shortly before their end. They are fetched when
// they are needed, within the deadline of the call that needs them.
type renewed struct {
	fetch func(context.Context) (aws.Credentials, error)
	below *renewed // whose credentials fetch uses

	turn  chan struct{} // holds one entry while somebody looks at value
	value *aws.Credentials
}

func newRenewed(fetch func(context.Context) (aws.Credentials, error)) *renewed {
	return &renewed{fetch: fetch, turn: make(chan struct{}, 1)}
}

// Retrieve implements aws.CredentialsProvider.
func (r *renewed) Retrieve(ctx context.Context) (aws.Credentials, error) {
	select {
	case r.turn <- struct{}{}:
	case <-ctx.Done():
		return aws.Credentials{}, ctx.Err()
	}
	defer func() { <-r.turn }()
	if r.value != nil && !r.value.Expired() {
		return *r.value, nil
	}
	got, err := r.fetch(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	got.Expires = got.Expires.Add(-early)
	r.value = &got
	return got, nil
}

// forget drops credentials that were refused: the next call fetches new ones.
func (r *renewed) forget(ctx context.Context) {
	select {
	case r.turn <- struct{}{}:
		r.value = nil
		<-r.turn
	case <-ctx.Done():
	}
	if r.below != nil {
		r.below.forget(ctx)
	}
}

// assume exchanges credentials for those of a role.
func assume(client *sts.Client, arn, externalID string) func(context.Context) (aws.Credentials, error) {
	return func(ctx context.Context) (aws.Credentials, error) {
		in := &sts.AssumeRoleInput{RoleArn: aws.String(arn), RoleSessionName: aws.String("headroom")}
		if externalID != "" {
			in.ExternalId = aws.String(externalID)
		}
		out, err := client.AssumeRole(ctx, in)
		if err != nil {
			return aws.Credentials{}, roleFault(err, arn)
		}
		k := out.Credentials
		if k == nil || k.AccessKeyId == nil || k.SecretAccessKey == nil || k.SessionToken == nil || k.Expiration == nil {
			return aws.Credentials{}, provider.Errorf(provider.Unknown, "the token service answered no credentials for role %s: check sts_endpoint", arn)
		}
		return aws.Credentials{
			AccessKeyID: *k.AccessKeyId, SecretAccessKey: *k.SecretAccessKey, SessionToken: *k.SessionToken,
			CanExpire: true, Expires: *k.Expiration, Source: "role",
		}, nil
	}
}

func roleFault(err error, arn string) error {
	e := classify(err)
	if e.Class == provider.Forbidden {
		e.Message = "role " + arn + " may not be assumed (" + e.Message + "): the credentials need sts:AssumeRole on it, and its trust policy must name them, with the same external_id where it has the condition sts:ExternalId"
		return e
	}
	e.Message = "assuming role " + arn + ": " + e.Message
	return e
}

// ambient finds the credentials that the surroundings of the controller give, by
// the SDK's own rules: environment, profile, web identity, container, instance
// role. It looks anew at each fetch, so that changed files are noticed.
func ambient(region string, connection provider.Connection) func(context.Context) (aws.Credentials, error) {
	return func(ctx context.Context) (aws.Credentials, error) {
		tls, err := connection.TLSConfig()
		if err != nil {
			return aws.Credentials{}, err
		}
		// This type of client alone takes AWS_CA_BUNDLE, which is as ambient as the rest.
		client := awshttp.NewBuildableClient().WithTimeout(provider.MaxCallTimeout).WithTransportOptions(func(t *http.Transport) {
			t.TLSClientConfig.RootCAs = tls.RootCAs
			if t.TLSClientConfig.RootCAs == nil {
				if t.TLSClientConfig.RootCAs, err = x509.SystemCertPool(); err != nil {
					t.TLSClientConfig.RootCAs = nil // the platform's own verifier then
				}
			}
		})
		c, err := config.LoadDefaultConfig(
			ctx, config.WithRegion(region), config.WithHTTPClient(client), config.WithLogger(logging.Nop{}),
			config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
		)
		if err != nil {
			return aws.Credentials{}, provider.Errorf(provider.Unauthenticated, "the credentials of the controller's surroundings cannot be read: %w", err)
		}
		got, err := c.Credentials.Retrieve(ctx)
		if err == nil {
			return got, nil
		}
		if ctx.Err() != nil {
			return aws.Credentials{}, provider.TransportError(ctx.Err())
		}
		var ours *provider.Error
		if errors.As(err, &ours) {
			return aws.Credentials{}, ours
		}
		return aws.Credentials{}, &provider.Error{
			Class: provider.Unauthenticated, Cause: err,
			Message: "there are no credentials: put access_key_id and secret_access_key into the settings, run the controller with an instance role or a web identity, or name a profile in AWS_PROFILE",
		}
	}
}
