package pools_test

import (
	"encoding/pem"
	"errors"
	"io/fs"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider/aws"
	"github.com/headroom-dev/headroom/internal/provider/aws/fakeaws"
	"github.com/headroom-dev/headroom/test/pools"
)

func TestAWS(t *testing.T) {
	t.Parallel()
	model, err := fakeaws.LoadModel(fakeaws.DebianDir)
	if errors.Is(err, fs.ErrNotExist) && os.Getenv("CI") != "true" {
		t.Skipf("SKIPPED: the service models of EC2, STS and Route 53 are missing (%v): install the Debian package %s, which puts them into %s", err, fakeaws.Debian, fakeaws.DebianDir)
	}
	if err != nil {
		t.Fatal(err)
	}
	fake := fakeaws.New(model)
	srv := httptest.NewTLSServer(fake)
	t.Cleanup(srv.Close)
	keys, account := fake.NewAccount()
	account.Lag(300 * time.Millisecond) // new instances are shown late
	account.Role("arn:aws:iam::123456789012:role/headroom", "desk")
	// The spot market has nothing in either zone: the pool must come to life on demand.
	for _, subnet := range []string{"subnet-0000000000000000a", "subnet-0000000000000000b"} {
		account.SellOut("m6i.large@"+subnet+"/spot", "InsufficientInstanceCapacity")
	}
	pools.Run(t, pools.Pool{
		Kind:   aws.KindName,
		Script: "#!/bin/sh\necho {server_hostname}\n",
		Settings: map[string]any{
			"access_key_id": keys.ID, "secret_access_key": keys.Secret, "assume_role_arn": "arn:aws:iam::123456789012:role/headroom", "external_id": "desk",
			"region": "eu-central-1", "endpoint": srv.URL, "sts_endpoint": srv.URL,
			"ami_id": "ubuntu/images/*noble-24.04-amd64-server-*", "ami_owner": "099720109477", "instance_types": []string{"m6i.large"},
			"subnet_ids": []string{"subnet-0000000000000000a", "subnet-0000000000000000b"}, "security_group_ids": []string{"sg-0000000000000000a"},
			"spot": true, "on_demand_fallback": true, "tags": map[string]string{"team": "desk"},
			"ca_bundle": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})),
		},
		Env:       []string{"AWS_PROFILE=no-such-profile", "AWS_ENDPOINT_URL=http://127.0.0.1:1", "AWS_CA_BUNDLE=/no/such/file", "AWS_REGION=us-east-1"},
		Machines:  func(*testing.T) int { return account.Instances() },
		Leftovers: func(*testing.T) []string { return account.Objects() },
	})
	for _, v := range fake.Violations() {
		t.Error("against botocore's service models:", v)
	}
}
