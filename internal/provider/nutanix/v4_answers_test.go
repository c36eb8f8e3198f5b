package nutanix

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/headroom-dev/headroom/internal/provider"
	fake4 "github.com/headroom-dev/headroom/internal/provider/nutanix/fakenutanixv4"
)

// Machines that were made through v3 are seen and removed; v3 does not touch
// those of v4, whose marks it would take for remnants.
func TestV4AfterV3(t *testing.T) {
	t.Parallel()
	s := centralV4(t, fake4.Options{})
	d := driverV4(t, settingsV4(s))
	old := s.AddVM("hr-old")
	tags := wish("old").Tags
	s.Category(markKey, old, markText(t, tags, time.Now().Add(-time.Hour)))
	i := untilV4(t, d, old, is(provider.StateRunning))
	if i.Tags != tags || len(listedV4(t, d)) != 1 {
		t.Errorf("a machine of v3 is %+v", i)
	}
	goneV4(t, s, d, old)

	m := newMark(wish("new"), time.Now())
	m.API = v4Name
	value, err := m.value(uuid.NewString())
	if err != nil {
		t.Fatal(err)
	}
	if id, _, ok := readMark(asStatus(value)); ok {
		t.Errorf("v3 reads the mark %s of v4", id)
	}
}

func TestV4AnswersThatAreNoneOfTheAPI(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status int
		text   string
		want   provider.Class
		says   string
	}{
		"a gateway":               {http.StatusBadGateway, "<html>bad gateway</html>", provider.Unavailable, "502"},
		"not Prism Central":       {http.StatusNotFound, "<html>404</html>", provider.Unsupported, "host and port"},
		"success that is no JSON": {http.StatusOK, "<html>welcome</html>", provider.Unknown, "v4 API"},
		"success without data":    {http.StatusOK, `{"data":7}`, provider.Unknown, "v4 API"},
		"a redirect to a login":   {http.StatusFound, "x", provider.Unknown, "302"},
		"a fault of the schema": {
			http.StatusBadRequest, `{"data":{"error":{"error":"Bad Request","validationErrorMessages":[{"message":"too long","attributePath":"/name"}]}}}`,
			provider.Invalid, "too long (/name)",
		},
	} {
		s := centralV4(t, fake4.Options{})
		s.RefuseRaw(fake4.ListCategories, 1, tt.status, nil, tt.text)
		_, err := driverV4(t, settingsV4(s)).Get(t.Context(), uuid.NewString())
		if provider.ClassOf(err) != tt.want || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, expected %s and %q", name, err, tt.want, tt.says)
		}
	}
}
