package nutanix

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"regexp"
	"strings"
	"text/template"

	"github.com/headroom-dev/headroom/internal/startup"
)

// answerFile is what Sysprep reads at the first boot of a clone. A script that
// is an answer file itself is handed on as it is.
//
// The script is kept in the file, in an element that Windows Setup does not
// know and passes over. Setup leaves the file in Windows\Panther, from where a
// command of the pass after that, of at most 259 characters, takes the script,
// writes it down and runs it as the system. Its output is in
// C:\Windows\Temp\headroom-startup.log.
func answerFile(name string, script []byte) ([]byte, error) {
	if isAnswerFile(script) {
		return script, nil
	}
	var escaped bytes.Buffer
	if err := xml.EscapeText(&escaped, []byte(name)); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err := answerTemplate.Execute(&out, map[string]any{
		"Name": escaped.String(), "Script": base64.StdEncoding.EncodeToString(script), "Run": len(bytes.TrimSpace(script)) > 0,
		"Pass": pass, "Extract": extract, "Command": command(startup.LanguageOf(string(script), startup.Windows)),
	})
	return out.Bytes(), err
}

var answerStart = regexp.MustCompile(`(?is)^\s*(<\?xml[^>]*\?>\s*)?(<!--.*?-->\s*)*<unattend[\s>]`)

func isAnswerFile(script []byte) bool {
	return answerStart.Match(bytes.TrimPrefix(script, []byte("\xef\xbb\xbf")))
}

const pass = "specialize" //nolint:misspell // its name

// The commands stay below 259 characters, which is what Setup takes.
const extract = `powershell -NoProfile -Command "$x=[xml](gc -Raw C:\Windows\Panther\unattend.xml);[IO.File]::WriteAllBytes('C:\Windows\Temp\headroom-startup.bin',[Convert]::FromBase64String($x.unattend.headroom.'#text'))"`

func command(language startup.Language) string {
	const base = `C:\Windows\Temp\headroom-startup.`
	if language == startup.Batch {
		return `cmd /c "move /y ` + base + `bin ` + base + `cmd & ` + base + `cmd > ` + base + `log 2>&1"`
	}
	return `cmd /c "move /y ` + base + `bin ` + base + `ps1 & powershell -NoProfile -ExecutionPolicy Bypass -File ` + base + `ps1 > ` + base + `log 2>&1"`
}

var answerTemplate = template.Must(template.New("answer file").Funcs(template.FuncMap{"xml": func(s string) (string, error) {
	var b strings.Builder
	err := xml.EscapeText(&b, []byte(s))
	return b.String(), err
}}).Parse(`<?xml version="1.0" encoding="utf-8"?>
<unattend xmlns="urn:schemas-microsoft-com:unattend" xmlns:wcm="http://schemas.microsoft.com/WMIConfig/2002/State">
 <settings pass="{{.Pass}}">
  <component name="Microsoft-Windows-Shell-Setup" processorArchitecture="amd64" publicKeyToken="31bf3856ad364e35" language="neutral" versionScope="nonSxS">
   <ComputerName>{{.Name}}</ComputerName>
  </component>
{{- if .Run}}
  <component name="Microsoft-Windows-Deployment" processorArchitecture="amd64" publicKeyToken="31bf3856ad364e35" language="neutral" versionScope="nonSxS">
   <RunSynchronous>
    <RunSynchronousCommand wcm:action="add"><Order>1</Order><Path>{{xml .Extract}}</Path></RunSynchronousCommand>
    <RunSynchronousCommand wcm:action="add"><Order>2</Order><Path>{{xml .Command}}</Path></RunSynchronousCommand>
   </RunSynchronous>
  </component>
{{- end}}
 </settings>
 <settings pass="oobeSystem">
  <component name="Microsoft-Windows-Shell-Setup" processorArchitecture="amd64" publicKeyToken="31bf3856ad364e35" language="neutral" versionScope="nonSxS">
   <OOBE>
    <HideEULAPage>true</HideEULAPage>
    <HideOEMRegistrationScreen>true</HideOEMRegistrationScreen>
    <HideOnlineAccountScreens>true</HideOnlineAccountScreens>
    <HideWirelessSetupInOOBE>true</HideWirelessSetupInOOBE>
    <ProtectYourPC>3</ProtectYourPC>
   </OOBE>
  </component>
 </settings>
{{- if .Run}}
 <headroom xmlns="https://headroom.dev/startup">{{.Script}}</headroom>
{{- end}}
</unattend>
`))
