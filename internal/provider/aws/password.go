package aws

import (
	"context"
	"crypto/rsa"
	"encoding/base64"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/headroom-dev/headroom/internal/provider"
)

// Password implements provider.PasswordReader: EC2Launch makes the password at
// the first boot and encrypts it with the key pair (RSA, PKCS #1 v1.5).
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetPasswordData.html
func (d *driver) Password(ctx context.Context, id string) (provider.Login, error) {
	if err := checkID(id); err != nil {
		return provider.Login{}, err
	}
	s := &d.settings
	if !s.RetrieveWindowsPassword {
		return provider.Login{}, provider.Errorf(provider.Unsupported, "retrieve_windows_password is off: switch it on and give key_name and private_key; machines made after that have a password that can be read")
	}
	key, err := rsaKey(s.PrivateKey)
	if err != nil {
		return provider.Login{}, provider.Errorf(provider.Unsupported, "private_key %w", err)
	}
	out, err := d.api.GetPasswordData(ctx, &ec2.GetPasswordDataInput{InstanceId: aws.String(id)})
	if err != nil {
		return provider.Login{}, d.fault(ctx, err)
	}
	text := strings.Join(strings.Fields(aws.ToString(out.PasswordData)), "")
	if text == "" {
		return provider.Login{}, provider.Errorf(provider.Unavailable, "instance %s has made no password yet: Windows takes up to 15 minutes after its first start; an image that was made without Sysprep never does", id)
	}
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return provider.Login{}, provider.Errorf(provider.Unknown, "the password of instance %s is not encoded as EC2 does", id)
	}
	// One answer to one person's question: nobody can try variations on it.
	open, err := rsa.DecryptPKCS1v15(nil, key, sealed) //nolint:staticcheck // it is what EC2 encrypts with
	if err != nil {
		return provider.Login{}, provider.Errorf(provider.Unsupported, "the password of instance %s is encrypted for another key: private_key must be that of key pair %s", id, s.KeyName)
	}
	return provider.Login{User: "Administrator", Password: string(open)}, nil
}
