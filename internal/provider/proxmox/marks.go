package proxmox

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
)

// Tags of Proxmox VE are letters, digits and _-+. without case, in any order
// that the cluster likes. A mark is "headroom-key.value", where bytes of the
// value that a tag cannot have are written as + and two hexadecimal digits.
const (
	tagOurs    = "headroom"         // for people and filters
	tagMark    = "headroom-machine" // VMID and mark: valid only at that VMID
	tagCreated = "headroom-created" // seconds since 1970
	tagAddress = "headroom-address"
	tagNew     = "headroom-new" // not yet seen running, or its addresses are not known yet

	maxNotes     = 8192 // characters of a description
	maxOverride  = 3 << 10
	notesPrefix  = "headroom: "
	notesVersion = 1
)

// identity tells a machine from whatever else gets its VMID.
type identity struct {
	vmid int
	mark string
}

func (i identity) String() string { return strconv.Itoa(i.vmid) + "-" + i.mark }

// parseID reads what identity.String wrote.
func parseID(id string) (identity, bool) {
	number, mark, ok := strings.Cut(id, "-")
	vmid, err := strconv.Atoi(number)
	if !ok || err != nil || vmid < minVMID || vmid > maxVMID || len(mark) != markLength || strings.Trim(mark, "0123456789abcdef") != "" {
		return identity{}, false
	}
	i := identity{vmid, mark}
	return i, i.String() == id
}

const markLength = 16

// markOf derives the mark of a request, and a number that its VMID begins at.
func markOf(req provider.Request) (mark string, start uint64) {
	sum := sha256.Sum256([]byte("headroom machine\x00" + req.Tags.Installation + "\x00" + req.Tags.Provider + "\x00" + req.Token))
	return hex.EncodeToString(sum[:markLength/2]), binary.BigEndian.Uint64(sum[8:16])
}

// notes are kept in the description of a machine. They are written by the
// clone call, before tags can be, and hold everything that is needed to finish
// the machine, whichever settings the driver has by then.
type notes struct {
	Version   int               `json:"v"`
	VMID      int               `json:"vmid"`
	Mark      string            `json:"mark"`
	Created   int64             `json:"created"`
	Tags      map[string]string `json:"tags"`
	More      []string          `json:"more_tags,omitempty"`
	Configure map[string]any    `json:"configure,omitempty"` // options to set; gone once they are
	Bridge    string            `json:"bridge,omitempty"`
	VLAN      int64             `json:"vlan,omitempty"`
	Agent     bool              `json:"agent,omitempty"` // the guest agent is to be enabled
}

func (n notes) identity() identity { return identity{n.VMID, n.Mark} }

func (n notes) owned() provider.Tags {
	return provider.Tags{
		Installation: n.Tags[provider.TagInstallation], Server: n.Tags[provider.TagServer],
		AutoscaleConfig: n.Tags[provider.TagAutoscale], Provider: n.Tags[provider.TagProvider],
	}
}

// text is what the description holds.
func (n notes) text() (string, error) {
	line, err := json.Marshal(n)
	if err != nil {
		return "", fmt.Errorf("writing the notes of a machine: %w", err)
	}
	text := "Made by Headroom, which also removes it. The next line and the tags say whose it is: do not change them.\n\n" + notesPrefix + string(line)
	if len(text) > maxNotes {
		return "", provider.Errorf(provider.Invalid, "the notes of a machine would take %d characters, Proxmox VE has room for %d: shorten config_override or ssh_public_key", len(text), maxNotes)
	}
	return text, nil
}

// parseNotes finds the notes in a description. Those that were copied from
// another VMID are none.
func parseNotes(description string, vmid int) (notes, bool) {
	for line := range strings.Lines(description) {
		text, ok := strings.CutPrefix(strings.TrimSpace(line), notesPrefix)
		if !ok {
			continue
		}
		var n notes
		if json.Unmarshal([]byte(text), &n) != nil || n.Version != notesVersion || n.VMID != vmid || n.Mark == "" {
			return notes{}, false
		}
		return n, true
	}
	return notes{}, false
}

// tagged is what the tags of a machine say.
type tagged struct {
	identity
	tags      provider.Tags
	created   time.Time
	addresses []string
	fresh     bool // bears tagNew
}

// encodeTags writes the marks, in the order that Proxmox VE sorts them into.
func (t tagged) encode(more []string) string {
	all := []string{tagOurs, tagMark + "." + t.identity.String()}
	for _, kv := range ownerPairs(t.tags) {
		all = append(all, kv[0]+"."+escape(kv[1]))
	}
	if !t.created.IsZero() {
		all = append(all, tagCreated+"."+strconv.FormatInt(t.created.Unix(), 10))
	}
	for _, a := range t.addresses {
		all = append(all, tagAddress+"."+escape(a))
	}
	if t.fresh {
		all = append(all, tagNew)
	}
	for _, m := range more {
		if !strings.HasPrefix(strings.ToLower(m), tagOurs) {
			all = append(all, m)
		}
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ";")
}

func ownerPairs(t provider.Tags) [][2]string {
	return [][2]string{
		{provider.TagInstallation, t.Installation},
		{provider.TagServer, t.Server},
		{provider.TagAutoscale, t.AutoscaleConfig},
		{provider.TagProvider, t.Provider},
	}
}

// decodeTags reads the tags of the machine with the VMID. ok is false for
// machines that are not ours, copies of ours included. others are the tags
// that are not ours.
func decodeTags(text string, vmid int) (t tagged, others []string, ok bool) {
	for _, tag := range strings.FieldsFunc(text, func(r rune) bool { return r == ';' || r == ',' || r == ' ' }) {
		if !strings.HasPrefix(strings.ToLower(tag), tagOurs) {
			others = append(others, tag)
			continue
		}
		key, raw, _ := strings.Cut(strings.ToLower(tag), ".")
		value := unescape(raw)
		switch key {
		case tagMark:
			if id, valid := parseID(value); valid && id.vmid == vmid {
				t.identity, ok = id, true
			}
		case tagCreated:
			if s, err := strconv.ParseInt(value, 10, 64); err == nil {
				t.created = time.Unix(s, 0).UTC()
			}
		case tagAddress:
			t.addresses = append(t.addresses, value)
		case tagNew:
			t.fresh = true
		case provider.TagInstallation:
			t.tags.Installation = value
		case provider.TagServer:
			t.tags.Server = value
		case provider.TagAutoscale:
			t.tags.AutoscaleConfig = value
		case provider.TagProvider:
			t.tags.Provider = value
		}
	}
	if !ok {
		return tagged{}, others, false
	}
	return t, others, true
}

const plainTagBytes = "abcdefghijklmnopqrstuvwxyz0123456789-._"

func escape(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if strings.IndexByte(plainTagBytes, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "+%02x", c)
		}
	}
	return b.String()
}

func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '+' && i+2 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
