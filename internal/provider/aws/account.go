package aws

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

// Account is how AWS is reached, for machines and for DNS alike.
type Account struct {
	AccessKeyID     string `json:"access_key_id,omitempty" secret:"true" maxLength:"128" group:"Account" title:"Access key ID" doc:"Access key of an IAM user, or a temporary one. Empty: what the surroundings of the controller give (instance role, web identity, AWS_PROFILE, AWS_ACCESS_KEY_ID)."`
	SecretAccessKey string `json:"secret_access_key,omitempty" secret:"true" maxLength:"128" group:"Account" title:"Secret access key" doc:"Belongs to access_key_id."`
	SessionToken    string `json:"session_token,omitempty" secret:"true" maxLength:"8192" group:"Account" doc:"Belongs to a temporary access key (ASIA…). It ends after some hours; assume_role_arn renews by itself."`
	AssumeRoleARN   string `json:"assume_role_arn,omitempty" maxLength:"2048" pattern:"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[\\w+=,.@/-]+$" patternDescription:"the ARN of a role, arn:aws:iam::ACCOUNT:role/NAME" group:"Account" title:"Role" doc:"Role that is assumed with the credentials above, in this or another account." example:"arn:aws:iam::123456789012:role/headroom"`
	ExternalID      string `json:"external_id,omitempty" maxLength:"1224" pattern:"^[\\w+=,.@:/-]{2,}$" patternDescription:"at least two letters, digits or any of +=,.@:/-" access:"true" group:"Account" title:"External ID" doc:"What the trust policy of the role demands as sts:ExternalId."`
	Endpoint        string `json:"endpoint,omitempty" maxLength:"255" advanced:"true" group:"Connection" doc:"Base URL that is called in place of the service's own in the region, such as that of a VPC endpoint." example:"https://vpce-0a1b2c3d-ec2.eu-central-1.vpce.amazonaws.com"`
	STSEndpoint     string `json:"sts_endpoint,omitempty" maxLength:"255" advanced:"true" group:"Connection" title:"STS endpoint" doc:"Base URL of the token service, in place of that of the region."`
	provider.Connection
}

var longTermKey = regexp.MustCompile(`^AKIA`)

// Validate implements settings.Validator.
func (a Account) Validate() []fleet.FieldError {
	problems := a.Connection.Validate()
	say := func(path, text string) {
		problems = append(problems, fleet.FieldError{Path: path, Message: text})
	}
	switch {
	case a.AccessKeyID != "" && a.SecretAccessKey == "":
		say("secret_access_key", "is missing: an access key consists of both parts; to use the credentials of the surroundings, leave both out")
	case a.AccessKeyID == "" && a.SecretAccessKey != "":
		say("access_key_id", "is missing: an access key consists of both parts; to use the credentials of the surroundings, leave both out")
	case a.SessionToken != "" && a.AccessKeyID == "":
		say("session_token", "belongs to an access key: give access_key_id and secret_access_key as well, or leave it out")
	case strings.HasPrefix(a.AccessKeyID, "ASIA") && a.SessionToken == "":
		say("session_token", "is missing: an access key that begins with ASIA is a temporary one and works with its session token only")
	case a.SessionToken != "" && longTermKey.MatchString(a.AccessKeyID):
		say("session_token", "does not belong to an access key that begins with AKIA: leave it out")
	}
	for path, text := range map[string]string{"access_key_id": a.AccessKeyID, "secret_access_key": a.SecretAccessKey, "session_token": a.SessionToken} {
		if strings.ContainsAny(text, " \t\r\n\"'") {
			say(path, "holds a space, a line break or a quotation mark: copy it anew, without what stands around it")
		}
	}
	if a.ExternalID != "" && a.AssumeRoleARN == "" {
		say("external_id", "is used to assume a role only: give assume_role_arn, or leave it out")
	}
	for path, text := range map[string]string{"endpoint": a.Endpoint, "sts_endpoint": a.STSEndpoint} {
		if u, err := url.Parse(text); text != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
			problems = append(problems, fleet.FieldError{Path: path, Value: text, Message: "is not a base URL: write for example https://ec2.eu-central-1.amazonaws.com"})
		}
	}
	return problems
}

// clients are what a config speaks to AWS with. Nothing in them comes from the
// environment: the SDK's own way of loading a configuration is used for
// credentials of the surroundings alone.
type clients struct {
	region string
	http   *http.Client
	keys   *renewed
	tokens *sts.Client
}

func (a Account) open(region string) (*clients, error) {
	h, err := a.HTTPClient()
	if err != nil {
		return nil, err
	}
	h.Transport = plain{h.Transport}
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c := &clients{region: region, http: h}
	c.keys = newRenewed(ambient(region, a.Connection))
	if a.AccessKeyID != "" {
		c.keys = newRenewed(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: a.AccessKeyID, SecretAccessKey: a.SecretAccessKey, SessionToken: a.SessionToken, Source: "settings"}, nil
		})
	}
	options := sts.Options{
		Region: region, HTTPClient: h, Credentials: c.keys, Retryer: aws.NopRetryer{}, BaseEndpoint: base(a.STSEndpoint),
		Logger: logging.Nop{}, DisableClockSkewCorrection: true,
	}
	if a.AssumeRoleARN != "" {
		below := c.keys
		c.keys = newRenewed(assume(sts.New(options), a.AssumeRoleARN, a.ExternalID))
		c.keys.below = below
		options.Credentials = c.keys
	}
	c.tokens = sts.New(options)
	return c, nil
}

// ec2 is a client for machines.
func (c *clients) ec2(endpoint string) *ec2.Client {
	return ec2.New(ec2.Options{
		Region: c.region, HTTPClient: c.http, Credentials: c.keys, Retryer: aws.NopRetryer{}, BaseEndpoint: base(endpoint),
		Logger: logging.Nop{}, DisableClockSkewCorrection: true,
	})
}

func base(url string) *string {
	if url == "" {
		return nil
	}
	return aws.String(strings.TrimSuffix(url, "/"))
}

// plain takes off what the SDK tells of the process that it runs in; neither
// header is part of the signature. And it refuses answers that are none of AWS's:
// the SDK reads whatever it does not know as an empty answer, so that the page of
// a proxy would pass for a listing without machines.
type plain struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (p plain) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", "headroom")
	r.Header.Del("X-Amzn-Trace-Id")
	resp, err := p.next.RoundTrip(r)
	if err != nil || resp.StatusCode >= http.StatusMultipleChoices {
		return resp, err
	}
	body := bufio.NewReaderSize(resp.Body, 1<<10)
	if head, err := body.Peek(body.Size()); !answerRule.Match(head) {
		_ = resp.Body.Close()
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		return nil, provider.Errorf(provider.Unavailable, "the answer, with status %d, is none of AWS's: check endpoint, and the proxies in between", resp.StatusCode)
	}
	resp.Body = peeked{body, resp.Body}
	return resp, nil
}

// answerRule fits the beginning of every answer of the three services: an XML
// document whose root is named after the operation.
var answerRule = regexp.MustCompile(`^\s*(?:<\?xml[^>]*\?>)?\s*<[A-Za-z0-9]+Response[\s>]`)

type peeked struct {
	io.Reader
	io.Closer
}

// CloseIdleConnections lets http.Client.CloseIdleConnections reach the
// transport.
func (p plain) CloseIdleConnections() {
	if c, ok := p.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
