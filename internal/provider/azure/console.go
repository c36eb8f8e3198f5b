package azure

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"

	"github.com/headroom-dev/headroom/internal/provider"
)

// maxLog is how much of a console's log is read to find its end.
const maxLog = 16 << 20

// Console implements provider.ConsoleReader: the log of the serial console, which
// boot diagnostics keep. It costs one call and a download. The address of the log
// holds its own key, and is shown to nobody.
func (d *driver) Console(ctx context.Context, id string, limit int64) ([]byte, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	got, err := d.vms.RetrieveBootDiagnosticsData(ctx, d.settings.ResourceGroup, id,
		&armcompute.VirtualMachinesClientRetrieveBootDiagnosticsDataOptions{SasURIExpirationTimeInMinutes: to.Ptr[int32](5)})
	if err != nil {
		return nil, onMachine(err, d.now())
	}
	if limit <= 0 || val(got.SerialConsoleLogBlobURI) == "" {
		return nil, nil // not kept yet
	}
	return d.download(ctx, *got.SerialConsoleLogBlobURI, limit)
}

// download reads the end of a log. No error holds the address.
func (d *driver) download(ctx context.Context, address string, limit int64) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, provider.Errorf(provider.Unknown, "the address of the console's log cannot be used")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, provider.Errorf(provider.Unknown, "the address of the console's log cannot be used")
	}
	resp, err := d.plain.Do(req)
	if err != nil {
		return nil, withoutAddress("the console's log", err)
	}
	defer func() { _ = resp.Body.Close() }()
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return nil, nil // the machine has written nothing yet
	case resp.StatusCode != http.StatusOK:
		return nil, provider.Errorf(provider.StatusClass(resp.StatusCode), "the console's log cannot be read: the storage service answers %d", resp.StatusCode)
	}
	end := &tailWriter{limit: int(min(limit, maxLog))}
	if _, err := io.Copy(end, io.LimitReader(resp.Body, maxLog)); err != nil {
		return nil, withoutAddress("the console's log", err)
	}
	return end.bytes(), nil
}

// withoutAddress is an error of a request whose address is a secret.
func withoutAddress(what string, err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if t := provider.TransportError(err); t != nil {
		t.Message = what + ": " + t.Message
		return t
	}
	return provider.Errorf(provider.Unavailable, "%s cannot be read to its end", what)
}

// tailWriter keeps the end of what is written.
type tailWriter struct {
	limit int
	kept  []byte
}

// Write implements io.Writer.
func (t *tailWriter) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if len(t.kept) > 2*t.limit+64<<10 {
		t.kept = append([]byte(nil), t.kept[len(t.kept)-t.limit:]...)
	}
	return len(p), nil
}

func (t *tailWriter) bytes() []byte { return t.kept[max(0, len(t.kept)-t.limit):] }
