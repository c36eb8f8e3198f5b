package vsphere

import (
	"bytes"
	"fmt"
	"strings"
)

// guest is how the script is laid out and run in an operating system.
type guest struct {
	dir     string // of this machine's script
	script  string // file that holds it
	wrapper string // file that runs it
	text    []byte // of wrapper
	program string
	args    string
}

// Names of files beside the script. The wrapper makes them; see linuxWrapper.
const (
	fileStarted = "started" // a directory: making one succeeds once only
	fileExit    = "exit"    // the exit code, written when all is over
	fileOutput  = "output"  // the end of the output
)

// linuxWrapper runs the script once, whatever is repeated: of all that try, one
// makes the directory. The exit code appears in one piece, after everything
// else is in its place.
const linuxWrapper = `#!/bin/sh
dir=$(dirname "$0")
cd "$dir" || exit 1
mkdir started 2>/dev/null || exit 0
umask 077
case $(head -c 2 script) in
'#!') chmod 700 script; ./script >output.all 2>&1 </dev/null ;;
*) sh ./script >output.all 2>&1 </dev/null ;;
esac
code=$?
tail -c 65536 output.all >output
rm -f script output.all
echo "$code" >exit.new
mv exit.new exit
`

// windowsWrapper does the same in PowerShell 5.1. cmd.exe does the redirection,
// since PowerShell's own writes UTF-16 and turns what is written to standard
// error into records.
const windowsWrapper = `$ErrorActionPreference = 'Stop'
$dir = Split-Path -Parent $MyInvocation.MyCommand.Path
Set-Location -LiteralPath $dir
try { $null = New-Item -ItemType Directory -Path (Join-Path $dir 'started') } catch { exit 0 }
$code = 1
try {
  & "$env:SystemRoot\System32\cmd.exe" /d /c "%s > output.all 2>&1 < nul"
  $code = $LASTEXITCODE
  $all = [IO.File]::Open((Join-Path $dir 'output.all'), 'Open', 'Read')
  $skip = [Math]::Max(0, $all.Length - 65536)
  $null = $all.Seek($skip, 'Begin')
  $rest = New-Object byte[] ($all.Length - $skip)
  $null = $all.Read($rest, 0, $rest.Length)
  $all.Close()
  [IO.File]::WriteAllBytes((Join-Path $dir 'output'), $rest)
  Remove-Item -Force -Path '%s', 'output.all'
} catch {
  [IO.File]::WriteAllText((Join-Path $dir 'output'), "the script could not be run: $_")
}
[IO.File]::WriteAllText((Join-Path $dir 'exit.new'), "$code")
Move-Item -Path (Join-Path $dir 'exit.new') -Destination (Join-Path $dir 'exit')
`

// guestOf lays a script out. Each machine has a directory of its own, so that
// what its source has run does not count.
func guestOf(os OSType, name string, script []byte) guest {
	if os != Windows {
		dir := "/var/lib/headroom-startup/" + name
		return guest{
			dir: dir, script: dir + "/script", wrapper: dir + "/run", text: []byte(linuxWrapper),
			program: "/bin/sh", args: dir + "/run",
		}
	}
	dir := `C:\ProgramData\headroom-startup\` + name
	file, run := "script.ps1", `powershell.exe -NoProfile -NonInteractive -ExecutionPolicy Bypass -File script.ps1`
	if isBatch(script) {
		file, run = "script.cmd", "call script.cmd"
	}
	return guest{
		dir: dir, script: dir + `\` + file, wrapper: dir + `\run.ps1`, text: fmt.Appendf(nil, windowsWrapper, run, file),
		program: `C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe`,
		args:    `-NoProfile -NonInteractive -ExecutionPolicy Bypass -File "` + dir + `\run.ps1"`,
	}
}

// isBatch tells a batch file by its first line that says something.
func isBatch(script []byte) bool {
	for line := range bytes.Lines(script) {
		text := strings.ToLower(strings.TrimSpace(string(line)))
		if text == "" {
			continue
		}
		return strings.HasPrefix(text, "@") || strings.HasPrefix(text, "rem ") || strings.HasPrefix(text, "::")
	}
	return false
}

func (g guest) file(name string) string {
	if strings.Contains(g.dir, `\`) {
		return g.dir + `\` + name
	}
	return g.dir + "/" + name
}

// base is the last part of a path in the guest.
func base(path string) string { return path[strings.LastIndexAny(path, `/\`)+1:] }
