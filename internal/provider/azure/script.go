package azure

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/startup"
)

const (
	// extensionName is what the extension is called on each machine.
	extensionName = "headroom-startup"

	// commandLimit is how large a script may be to fit into a command line of
	// Windows, which has at most longestCommand characters, with what is around it.
	// https://learn.microsoft.com/troubleshoot/windows-client/shell-experience/command-line-string-limitation
	commandLimit   = 5 << 10
	longestCommand = 8191

	progressAsked = "asked"
)

// once is the command that the extension runs. The directory is made once: whoever
// makes it runs the script, everybody else waits for its end. No character in it
// means anything to cmd between double quotes. The directory bears the machine's
// name, so that an image that is made of the machine does not bring it along. %s are
// that name, the extension of the script's file, the script, and what runs it.
const once = `powershell.exe -NoProfile -NonInteractive -ExecutionPolicy Bypass -Command "` +
	`$ErrorActionPreference='Stop';$r='C:\ProgramData\Headroom';$d=$r+'\startup-%s';$x=$d+'\exit';$o=$d+'\output';` +
	`[void](New-Item -ItemType Directory -Force -Path $r);` +
	`[void](icacls $r /inheritance:r /grant '*S-1-5-18:(OI)(CI)F' '*S-1-5-32-544:(OI)(CI)F');` +
	`try{[void](New-Item -ItemType Directory -Path $d);$m=$true}catch{if(-not(Test-Path $d)){throw};$m=$false};` +
	`if($m){$f=$d+'\script.%s';[IO.File]::WriteAllBytes($f,[Convert]::FromBase64String('%s'));` +
	`$ErrorActionPreference='Continue';%s *>$o;$c=$LASTEXITCODE;if($null -eq $c){$c=0};[IO.File]::WriteAllText($x,[string]$c)}` +
	`else{for($i=0;$i -lt 960 -and -not(Test-Path $x);$i++){Start-Sleep 5}};` +
	`if(Test-Path $o){Get-Content $o -Tail 200};exit [int](Get-Content $x)"`

// command is the command line that runs a script once.
func command(name string, script []byte) string {
	suffix, run := "ps1", "& powershell.exe -NoProfile -ExecutionPolicy Bypass -File $f"
	if startup.LanguageOf(string(script), startup.Windows) == startup.Batch {
		suffix, run = "cmd", "& cmd.exe /c $f"
	} else {
		script = append([]byte("\xef\xbb\xbf"), script...) // Windows PowerShell reads other files in the system's own code page
	}
	return fmt.Sprintf(once, name, suffix, base64.StdEncoding.EncodeToString(script), run)
}

func (s *Settings) extension(name string, script []byte) armcompute.VirtualMachineExtension {
	return armcompute.VirtualMachineExtension{
		Location: to.Ptr(s.Region),
		Properties: &armcompute.VirtualMachineExtensionProperties{
			Publisher: to.Ptr("Microsoft.Compute"), Type: to.Ptr("CustomScriptExtension"), TypeHandlerVersion: to.Ptr("1.10"), AutoUpgradeMinorVersion: to.Ptr(true),
			Settings: map[string]any{}, ProtectedSettings: map[string]any{"commandToExecute": command(name, script)},
		},
	}
}

// RunScript implements provider.ScriptRunner: it puts the extension on the machine
// when it is not there, and reads how the command ended when it is. Each step costs
// one call, the first two.
func (d *driver) RunScript(ctx context.Context, id string, script []byte, progress string) (provider.ScriptRun, error) {
	switch err := checkID(id); {
	case err != nil:
		return provider.ScriptRun{}, err
	case !d.settings.Windows:
		return provider.ScriptRun{}, provider.Errorf(provider.Unsupported, "scripts of machines with Linux travel in their custom data")
	case len(script) > commandLimit:
		return provider.ScriptRun{}, provider.Errorf(provider.Invalid, "the script has %d bytes, a command line of Windows carries %d", len(script), commandLimit)
	}
	got, err := d.extensions.Get(ctx, d.settings.ResourceGroup, id, extensionName, &armcompute.VirtualMachineExtensionsClientGetOptions{Expand: to.Ptr("instanceView")})
	switch {
	case err == nil:
		return outcome(&got.VirtualMachineExtension), nil
	case !isGone(err):
		return provider.ScriptRun{}, onMachine(err, d.now())
	case codeOf(err) == "ParentResourceNotFound":
		return provider.ScriptRun{}, classify(err, d.now())
	case progress == progressAsked:
		// It was there: the machine is being removed, or somebody removed it. The
		// guest knows whether the script ran.
	}
	var resp *http.Response
	_, err = d.extensions.BeginCreateOrUpdate(policy.WithCaptureResponse(ctx, &resp), d.settings.ResourceGroup, id, extensionName, d.settings.extension(id, script), nil)
	fault := onMachine(err, d.now())
	switch {
	case err == nil, resp != nil && resp.StatusCode < http.StatusMultipleChoices:
		return provider.ScriptRun{Progress: progressAsked, Note: "the script is being started by an extension"}, nil
	case provider.ClassOf(fault) == provider.Conflict:
		return provider.ScriptRun{Progress: progress, Note: "the machine does not take an extension yet"}, nil
	}
	return provider.ScriptRun{}, fault
}

// outcome reads what the extension says. It ends its status with the exit code:
// ProvisioningState/failed/3.
func outcome(e *armcompute.VirtualMachineExtension) provider.ScriptRun {
	run := provider.ScriptRun{Progress: progressAsked, Note: "the script has started and has not ended"}
	p := e.Properties
	if p == nil {
		return run
	}
	state := strings.ToLower(val(p.ProvisioningState))
	if state != "succeeded" && state != "failed" && state != "canceled" {
		return run
	}
	run.Done, run.Note = true, ""
	var statuses, parts []*armcompute.InstanceViewStatus
	if p.InstanceView != nil {
		statuses, parts = p.InstanceView.Statuses, p.InstanceView.Substatuses
	}
	var out []string
	for _, s := range parts {
		if text := strings.TrimRight(val(s.Message), "\r\n"); text != "" {
			out = append(out, text)
		}
	}
	if state != "succeeded" {
		code, text := failure(statuses)
		n, err := strconv.ParseInt(code, 10, 32)
		run.ExitCode = n
		if err != nil || n == 0 { // the extension failed, not the script
			run.ExitCode = 1
			out = append(out, strings.TrimSpace("The extension that runs the script ended as "+state+". "+text))
		}
	}
	run.Output = []byte(strings.Join(out, "\n"))
	return run
}

// renderScript shows the call that runs a script.
func (d *driver) renderScript(name string) provider.RenderedCall {
	call := provider.RenderedCall{Call: fmt.Sprintf("PUT %s/providers/Microsoft.Compute/virtualMachines/%s/extensions/%s (when the machine runs)", d.settings.group(d.settings.ResourceGroup), name, extensionName)}
	e := d.settings.extension(name, nil)
	e.Properties.ProtectedSettings = map[string]any{"commandToExecute": "***"}
	if body, err := plain(e); err == nil {
		call.Body = body
	}
	return call
}
