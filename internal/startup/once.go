package startup

import (
	"bytes"
	"regexp"
	"strings"
	"text/template"
)

const guardShell = `# Made by Headroom: this cloud runs the script at every boot, it is meant to run once.
if [ -e {{sh .Mark}} ]; then exit 0; fi; mkdir -p /var/lib/headroom && : >{{sh .Mark}} || exit 1
`

// Guards for channels that run a script at every boot. The mark is made before
// the script begins, so that a script which restarts the machine does not begin
// again; it bears the server's id, so that an image made of the machine does not
// bring it along.
var (
	onceShell = template.Must(template.New("once").Funcs(functions).Parse(guardShell))
	// onceProgram runs what is not written in shell as the file that it is.
	onceProgram = template.Must(template.New("once").Funcs(functions).Parse("#!/bin/sh\n" + guardShell + `umask 077
file=$(mktemp) || exit 1
trap 'rm -f "$file"' EXIT
base64 -d >"$file" <<'SCRIPT'
{{.Script}}SCRIPT
chmod 0700 "$file"
"$file"
`))
	oncePowerShell = template.Must(template.New("once").Funcs(functions).Parse(`# Made by Headroom: this cloud runs the script at every boot, it is meant to run once.
$headroomMark = Join-Path $env:ProgramData {{ps .Mark}}
if (Test-Path -LiteralPath $headroomMark) { exit 0 }
New-Item -ItemType File -Force -Path $headroomMark | Out-Null
`))
	onceBatch = template.Must(template.New("once").Parse(`rem Made by Headroom: this cloud runs the script at every boot, it is meant to run once.
@if exist "%ProgramData%\{{.Mark}}" exit /b 0
@if not exist "%ProgramData%\headroom" mkdir "%ProgramData%\headroom"
@type nul >"%ProgramData%\{{.Mark}}"
`))
)

// mustComeFirst are beginnings of PowerShell scripts before which no statement
// may stand.
var mustComeFirst = regexp.MustCompile(`(?i)^(\s|#[^\n]*\n|<#(?s:.*?)#>)*(param\b|using\s|\[CmdletBinding)`)

// once lets a script run at the first boot of the server only.
func once(p Parcel, text []byte) ([]byte, error) {
	if !p.Channel.EveryBoot || p.Server == "" || len(text) == 0 {
		return text, nil
	}
	windows := map[string]string{"Mark": `headroom\` + p.Server}
	v := map[string]string{"Mark": "/var/lib/headroom/" + p.Server}
	switch LanguageOf(string(text), p.Channel.System) {
	case Shell:
		guard, err := execute(onceShell, v)
		if err != nil {
			return nil, err
		}
		first, rest, _ := bytes.Cut(text, []byte("\n"))
		return bytes.Join([][]byte{first, append(guard, rest...)}, []byte("\n")), nil
	case Interpreted:
		v["Script"] = encode(text)
		return execute(onceProgram, v)
	case PowerShell:
		if mustComeFirst.Match(text) {
			return text, nil
		}
		return before(oncePowerShell, windows, text)
	case Batch:
		return before(onceBatch, windows, text)
	case CloudConfig, Multipart: // cloud-init knows by itself what has run
	}
	return text, nil
}

func before(t *template.Template, v map[string]string, text []byte) ([]byte, error) {
	guard, err := execute(t, v)
	if err != nil {
		return nil, err
	}
	return []byte(strings.ReplaceAll(string(guard), "\n", "\r\n") + string(text)), nil
}
