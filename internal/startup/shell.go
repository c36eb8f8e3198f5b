package startup

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"text/template"

	"mvdan.cc/sh/v3/syntax"
)

// The scripts that Headroom adds. Every value is quoted by the functions of its
// language; none is put in as it is.
var (
	fetchShell = template.Must(template.New("fetch").Funcs(functions).Parse(`#!/bin/sh
# Made by Headroom: the startup script is larger than what this channel carries,
# so it is fetched, compared with its digest and run.
set -eu
umask 077
file=$(mktemp)
trap 'rm -f "$file"' EXIT
` + download + `
download {{sh .URL}} "$file" {{sh .Header}}
printf '%s  %s\n' {{sh .SHA256}} "$file" | sha256sum -c - >/dev/null
chmod 0700 "$file"
"$file"
`))

	installShell = template.Must(template.New("install").Funcs(functions).Parse(`#!/bin/sh
# Made by Headroom: installs the agent and keeps it running.
set -eu
umask 077
state=/var/lib/headroom-agent
program=/usr/local/bin/headroom
` + download + `
failed() {
  code=$?
  [ "$code" = 0 ] && return
  echo "the agent could not be installed" >&2
  curl --silent --show-error --max-time 30 -H 'Content-Type: application/json' \
    --data '{"status":"failed","status_message":"the agent could not be installed"}' {{sh .Report}} || true
}
trap failed EXIT
mkdir -p "$state"
download {{sh .URL}} "$state/headroom.new" ''
printf '%s  %s\n' {{sh .SHA256}} "$state/headroom.new" | sha256sum -c - >/dev/null
chmod 0755 "$state/headroom.new"
mv "$state/headroom.new" "$program"
printf '%s\n' {{sh .Token}} >"$state/token"
printf '%s\n' {{sh .Config}} >"$state/agent.json"
if [ -d /run/systemd/system ]; then
  cat >/etc/systemd/system/headroom-agent.service <<'UNIT'
[Unit]
Description=Headroom agent
Wants=network-online.target
After=network-online.target

[Service]
ExecStart=/usr/local/bin/headroom agent --config /var/lib/headroom-agent/agent.json
Restart=always
RestartSec=5

[Install]
WantedBy=multi-user.target
UNIT
  chmod 0644 /etc/systemd/system/headroom-agent.service
  systemctl daemon-reload
  systemctl enable --now headroom-agent.service
else
  setsid "$program" agent --config "$state/agent.json" >>"$state/agent.log" 2>&1 </dev/null &
fi
`))

	// bothShell runs the operator's script as the file that it is, so that its
	// first line, its exit code and its idea of $0 stay its own.
	bothShell = template.Must(template.New("both").Funcs(functions).Parse(`#!/bin/sh
# Made by Headroom: runs the startup script, then what installs the agent.
set -eu
umask 077
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
base64 -d >"$dir/startup-script" <<'SCRIPT'
{{.Script}}SCRIPT
base64 -d >"$dir/headroom-agent" <<'SCRIPT'
{{.Agent}}SCRIPT
chmod 0700 "$dir/startup-script" "$dir/headroom-agent"
"$dir/startup-script"
"$dir/headroom-agent"
`))

	fetchPowerShell = template.Must(template.New("fetch").Funcs(functions).Parse(`# Made by Headroom: the startup script is larger than what this channel carries,
# so it is fetched, compared with its digest and run.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
[Net.ServicePointManager]::SecurityProtocol = [Net.SecurityProtocolType]::Tls12
$file = Join-Path $env:TEMP ('headroom-' + [guid]::NewGuid() + {{ps .Suffix}})
for ($try = 1; ; $try++) {
  try {
    Invoke-WebRequest -UseBasicParsing -TimeoutSec 120 -Uri {{ps .URL}} -Headers @{ Authorization = {{ps .Bearer}} } -OutFile $file
    break
  } catch {
    if ($try -ge 20) { throw }
    Start-Sleep -Seconds 5
  }
}
try {
  if ((Get-FileHash -Algorithm SHA256 -LiteralPath $file).Hash -ne {{ps .SHA256}}) { throw 'the startup script that was fetched is not the one that was meant' }
  {{.Run}}
  $code = $LASTEXITCODE
} finally {
  Remove-Item -Force -LiteralPath $file
}
exit $code
`))

	functions = map[string]any{"sh": quoteShell, "ps": quotePowerShell}
)

// download is a shell function that tries for about two minutes: the network of
// a machine that has just booted may not be there yet.
const download = `download() { # URL FILE HEADER
  n=0
  until if command -v curl >/dev/null 2>&1; then
    curl --fail --silent --show-error --location --connect-timeout 10 --max-time 300 ${3:+-H "$3"} -o "$2" "$1"
  else
    wget -q -T 60 -t 1 ${3:+--header="$3"} -O "$2" "$1"
  fi; do
    n=$((n + 1))
    [ "$n" -lt 24 ] || return 1
    sleep 5
  done
}`

func quoteShell(s string) (string, error) { return syntax.Quote(s, syntax.LangPOSIX) }

// quotePowerShell writes a text in single quotes, in which only these are
// special.
func quotePowerShell(s string) (string, error) {
	if strings.ContainsAny(s, "\x00\r\n‘’‚‛") { // PowerShell takes typographic quotes for its own
		return "", fmt.Errorf("the value %q cannot be written in PowerShell", s)
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'", nil
}

// fetcher is a script that fetches the whole one.
func fetcher(p Parcel, whole []byte) ([]byte, error) {
	sum := sha256.Sum256(whole)
	v := map[string]string{
		"URL": p.Fetch.URL, "SHA256": hex.EncodeToString(sum[:]),
		"Header": "Authorization: Bearer " + p.Fetch.Token, "Bearer": "Bearer " + p.Fetch.Token,
	}
	if p.Channel.System != Windows {
		return execute(fetchShell, v)
	}
	v["SHA256"] = strings.ToUpper(v["SHA256"])
	v["Suffix"], v["Run"] = ".ps1", "& powershell.exe -NoProfile -ExecutionPolicy Bypass -File $file"
	if LanguageOf(p.Script, Windows) == Batch {
		v["Suffix"], v["Run"] = ".cmd", "& cmd.exe /c $file"
	}
	text, err := execute(fetchPowerShell, v)
	if err != nil {
		return nil, err
	}
	// The fetching script is PowerShell, whatever it fetches.
	return mark(Parcel{Channel: p.Channel, Script: "#ps1\n"}, bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")))
}

// installer is a script that installs the agent.
func installer(a Agent) ([]byte, error) {
	config, err := json.Marshal(map[string]string{
		"controller_url": a.Controller, "token_file": "/var/lib/headroom-agent/token", "state_dir": "/var/lib/headroom-agent",
	})
	if err != nil {
		return nil, err
	}
	return execute(installShell, map[string]string{
		"URL": a.URL, "SHA256": a.SHA256, "Token": a.Token, "Config": string(config),
		"Report": a.Controller + "/api/set_server_status?token=" + a.CheckinToken,
	})
}

// both is one script that runs two.
func both(script, agent []byte) ([]byte, error) {
	return execute(bothShell, map[string]string{"Script": encode(script), "Agent": encode(agent)})
}

func execute(t *template.Template, v map[string]string) ([]byte, error) {
	var out bytes.Buffer
	if err := t.Execute(&out, v); err != nil {
		return nil, fmt.Errorf("writing the script that Headroom adds: %w", err)
	}
	return out.Bytes(), nil
}

// encode is base64 in lines of 76 characters, each with its end.
func encode(b []byte) string {
	var out strings.Builder
	for text := base64.StdEncoding.EncodeToString(b); text != ""; {
		n := min(76, len(text))
		out.WriteString(text[:n] + "\n")
		text = text[n:]
	}
	return out.String()
}
