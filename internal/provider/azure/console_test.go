package azure_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/azure/fakeazure"
)

// TestConsole: the end of the log, and its address in no error.
func TestConsole(t *testing.T) {
	t.Parallel()
	s, p := subscription(t)
	d := opened(t, s)
	c, ok := d.(provider.ConsoleReader)
	if !ok {
		t.Fatal("reads no console")
	}
	i, err := d.Create(t.Context(), request("a"))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := c.Console(t.Context(), i.ID, 100); err != nil || len(text) > 0 {
		t.Errorf("before it says anything: %q, %v", text, err)
	}
	p.Say(i.ID, strings.Repeat("boot\n", 100000)+"Kernel panic")
	if text, err := c.Console(t.Context(), i.ID, 12); err != nil || string(text) != "Kernel panic" {
		t.Errorf("%q, %v", text, err)
	}
	// A machine whose trust ends after the first call: the storage service cannot be
	// reached then.
	for _, address := range []string{"https://127.0.0.1:1/blob?sig=c29tZSBzaWduYXR1cmU%3D", "http://127.0.0.1/blob?sig=c29tZSBzaWduYXR1cmU%3D", "::?sig=c29tZSBzaWduYXR1cmU%3D", theCloud().url + "/blob/x/y?sig=c29tZSBzaWduYXR1cmU%3D"} {
		p.Spoil(fakeazure.Fault{Path: "/retrieveBootDiagnosticsData", Status: http.StatusOK, Text: `{"serialConsoleLogBlobUri": "` + address + `"}`})
		_, err := c.Console(t.Context(), i.ID, 100)
		if err == nil || strings.Contains(strings.Join(texts(err), " "), "c29t") {
			t.Errorf("%s: %v", address, err)
		}
	}
	if _, err := c.Console(t.Context(), "hr-nothing", 100); provider.ClassOf(err) != provider.NotFound {
		t.Errorf("no machine: %v", err)
	}
}
