package startup

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"mime/multipart"
	"net/textproto"
	"strings"
)

// Parcel is what is to be packed for a machine.
type Parcel struct {
	Channel Channel
	Server  string // id; names the mark of a script that has run
	Script  string // rendered; may be empty
	Agent   *Agent // to be installed besides; nil: none
	Fetch   *Fetch // where the machine finds a script that its channel cannot carry; nil: nowhere
}

// Agent is what the installation of the agent needs.
type Agent struct {
	URL          string // of the program
	SHA256       string // of the program, in hexadecimal
	Controller   string // base URL
	Token        string // registration
	CheckinToken string // with which a failed installation is reported
}

// Fetch is where a machine gets a script that is too large for its channel.
type Fetch struct {
	URL   string
	Token string // sent as bearer
}

// Packed is a script that is ready for its channel.
type Packed struct {
	Data  []byte // for the driver
	Whole []byte // what the machine fetches; nil when Data holds everything
	How   string // for people: how it was packed
}

// Pack makes a script ready for its channel: it adds what the channel demands,
// compresses what is too large where the machine's side can undo it, and
// otherwise sends a small script that fetches the large one. The same parcel
// always packs to the same bytes.
func Pack(p Parcel) (Packed, error) {
	if !p.Channel.Runs() || strings.TrimSpace(p.Script) == "" && p.Agent == nil {
		return Packed{}, nil
	}
	whole, err := compose(p)
	if err != nil {
		return Packed{}, err
	}
	data, err := mark(p, whole)
	if err != nil {
		return Packed{}, err
	}
	if data, err = once(p, data); err != nil {
		return Packed{}, err
	}
	limit := p.Channel.Limit
	fits := func(b []byte) bool { return limit == 0 || len(b) <= limit }
	if fits(data) {
		return Packed{Data: data, How: fmt.Sprintf("%d bytes as they are", len(data))}, nil
	}
	if p.Channel.Form == FormCloudInit {
		small, err := compress(data)
		if err != nil {
			return Packed{}, err
		}
		if fits(small) {
			return Packed{Data: small, How: fmt.Sprintf("%d bytes, compressed to %d", len(data), len(small))}, nil
		}
	}
	tooLarge := func(remedy string) error {
		return fmt.Errorf("the script takes %d bytes and its channel carries %d: %s", len(data), limit, remedy)
	}
	if l := LanguageOf(p.Script, p.Channel.System); l == CloudConfig || l == Multipart {
		return Packed{}, tooLarge("shorten it, or let it fetch what is large")
	}
	if p.Fetch == nil {
		return Packed{}, tooLarge("shorten it")
	}
	small, err := fetcher(p, whole)
	if err != nil {
		return Packed{}, err
	}
	if small, err = once(p, small); err != nil {
		return Packed{}, err
	}
	if !fits(small) {
		return Packed{}, tooLarge("even the script that would fetch it does not fit")
	}
	return Packed{Data: small, Whole: whole, How: fmt.Sprintf("%d bytes, fetched by the machine with a script of %d", len(data), len(small))}, nil
}

// compose joins the script and the installation of the agent to the one text
// that the machine runs, whatever brings it there.
func compose(p Parcel) ([]byte, error) {
	l := LanguageOf(p.Script, p.Channel.System)
	script := bare(p.Script, l)
	if p.Channel.System == Windows {
		if p.Agent != nil {
			return nil, errors.New("the agent cannot be installed on Windows by Headroom: put it into the image, or install it in the startup script by {agent_url}")
		}
		return []byte(strings.ReplaceAll(strings.ReplaceAll(script, "\r\n", "\n"), "\n", "\r\n")), nil
	}
	if l == Shell && !strings.HasPrefix(strings.TrimSpace(script), "#!") && strings.TrimSpace(script) != "" {
		script = "#!/bin/bash\n" + script
	}
	// What comes before the first line would hide it from whoever reads it.
	script = strings.TrimLeft(strings.TrimPrefix(script, "\ufeff"), " \t\r\n")
	if p.Agent == nil {
		return []byte(script), nil
	}
	agent, err := installer(*p.Agent)
	if err != nil {
		return nil, err
	}
	switch {
	case script == "":
		return agent, nil
	case p.Channel.Form == FormCloudInit && (l == CloudConfig || fitsMultipart(p, script, agent)):
		return envelope(script, l, agent)
	case l == CloudConfig || l == Multipart:
		return nil, fmt.Errorf("%s cannot be joined with the installation of the agent on these machines: write a script, or set install_agent: false", article(l))
	}
	return both([]byte(script), agent)
}

// fitsMultipart says that the two parts can travel as such. Two parts that are
// fetched must be one script, since no cloud-init looks at what is fetched.
func fitsMultipart(p Parcel, script string, agent []byte) bool {
	if p.Channel.Limit == 0 {
		return true
	}
	e, err := envelope(script, LanguageOf(p.Script, p.Channel.System), agent)
	if err != nil {
		return false
	}
	small, err := compress(e)
	return err == nil && len(small) <= p.Channel.Limit
}

// envelope is the MIME form of both parts for cloud-init.
func envelope(script string, l Language, agent []byte) ([]byte, error) {
	if l == Multipart {
		return nil, errors.New("a script that is MIME multipart cannot be joined with the installation of the agent: add it as a part of your own, or set install_agent: false")
	}
	kind := "text/x-shellscript"
	if l == CloudConfig {
		kind = "text/cloud-config"
	}
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	sum := sha256.Sum256(append([]byte(script), agent...))
	if err := w.SetBoundary("headroom-" + hex.EncodeToString(sum[:12])); err != nil {
		return nil, err
	}
	for _, part := range []struct {
		kind, name string
		text       []byte
	}{{kind, "startup-script", []byte(script)}, {"text/x-shellscript", "zz-headroom-agent", agent}} {
		h := textproto.MIMEHeader{}
		h.Set("Content-Type", part.kind+`; charset="utf-8"`)
		h.Set("MIME-Version", "1.0")
		h.Set("Content-Transfer-Encoding", "8bit")
		h.Set("Content-Disposition", `attachment; filename="`+part.name+`"`)
		out, err := w.CreatePart(h)
		if err != nil {
			return nil, err
		}
		if _, err := out.Write(part.text); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	head := "Content-Type: multipart/mixed; boundary=\"" + w.Boundary() + "\"\nMIME-Version: 1.0\n\n"
	return append([]byte(head), body.Bytes()...), nil
}

// mark adds what tells the machine's side how to run the text.
func mark(p Parcel, text []byte) ([]byte, error) {
	l := LanguageOf(p.Script, p.Channel.System)
	switch p.Channel.Form {
	case FormEC2Launch:
		switch l {
		case PowerShell:
			return wrap("<powershell>\r\n", text, "</powershell>\r\n"), nil
		case Batch:
			return wrap("<script>\r\n", text, "</script>\r\n"), nil
		default:
		}
		return nil, fmt.Errorf("EC2Launch cannot run %s: write PowerShell or batch", article(l))
	case FormCloudbase:
		switch l {
		case PowerShell:
			return wrap("#ps1_sysnative\r\n", text, ""), nil
		case Batch:
			return wrap("rem cmd\r\n", text, ""), nil
		case CloudConfig:
			return text, nil
		default:
		}
		return nil, fmt.Errorf("Cloudbase-Init cannot run %s: write PowerShell or batch", article(l)) //nolint:staticcheck // the name of a product
	case FormPlain, FormCloudInit:
	}
	return text, nil
}

func wrap(before string, text []byte, after string) []byte {
	out := append([]byte(before), text...)
	if after != "" && !bytes.HasSuffix(out, []byte("\n")) {
		out = append(out, "\r\n"...)
	}
	return append(out, after...)
}

func compress(b []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
