package proxmox

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/headroom-dev/headroom/internal/provider"
)

func TestTagsRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String()
		want := tagged{
			identity: identity{rapid.IntRange(minVMID, maxVMID).Draw(t, "vmid"), fmt.Sprintf("%016x", rapid.Uint64().Draw(t, "mark"))},
			tags: provider.Tags{
				Installation: text.Draw(t, "installation"), Server: text.Draw(t, "server"),
				AutoscaleConfig: text.Draw(t, "autoscale"), Provider: text.Draw(t, "provider"),
			},
			addresses: []string{"10.0.0.1", "2001:db8::1"}, fresh: rapid.Bool().Draw(t, "fresh"),
		}
		encoded := want.encode([]string{"mine"})
		got, others, ok := decodeTags(strings.ToLower(encoded), want.vmid)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(tagged{}, identity{})); !ok || diff != "" || !slices.Equal(others, []string{"mine"}) {
			t.Fatalf("%s\n%v %v:\n%s", encoded, ok, others, diff)
		}
		for tag := range strings.SplitSeq(encoded, ";") {
			if !tagRule.MatchString(tag) {
				t.Fatalf("Proxmox VE has no tag %q", tag)
			}
		}
		if _, _, ok := decodeTags(encoded, want.vmid+1); ok {
			t.Fatal("the tags of another VMID were taken")
		}
	})
}

func FuzzMarks(f *testing.F) {
	f.Add("headroom-machine.100-0123456789abcdef;headroom-created.x+", "headroom: {\"v\":1,\"vmid\":100}")
	f.Fuzz(func(_ *testing.T, tags, notes string) {
		decodeTags(tags, 100)
		parseNotes(notes, 100)
		netDevice(tags, "vmbr0", 7)
		withAgent(tags)
	})
}
