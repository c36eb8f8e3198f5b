package startup

import (
	"errors"
	"fmt"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// MaxScript is the largest script that is kept, in bytes.
const MaxScript = 512 << 10

// Check finds what is wrong with a script before a machine is made with it:
// braces and variables, a language that the machines cannot run; as warnings,
// Bash that cannot be parsed, since what is written into a file by the script may
// be meant so, and variables that no machine has a value for.
func Check(script string, ch Channel) []Problem {
	if strings.TrimSpace(script) == "" {
		return nil
	}
	if !ch.Runs() {
		return []Problem{{Message: "machines of this provider run no startup script: remove it"}}
	}
	if len(script) > MaxScript {
		return []Problem{{Message: fmt.Sprintf("the script has %d bytes, %d are the most: let it fetch what is large", len(script), MaxScript)}}
	}
	rendered, problems := Render(script, Samples())
	if strings.ContainsRune(script, 0) {
		problems = append(problems, Problem{Message: "the script holds a zero byte: it is no text"})
	}
	if p, wrong := checkLanguage(script, ch); wrong {
		problems = append(problems, p)
	}
	if len(problems) > 0 {
		return problems
	}
	if LanguageOf(script, ch.System) == Shell {
		problems = checkShell(rendered)
	}
	return append(problems, neverFilled(script)...)
}

func checkLanguage(script string, ch Channel) (Problem, bool) {
	l := LanguageOf(script, ch.System)
	windows := l == PowerShell || l == Batch
	switch {
	case ch.System == Windows && (l == Shell || l == Interpreted || l == Multipart):
		return Problem{Line: 1, Message: fmt.Sprintf("the script is %s by its first line, but the machines run Windows: write PowerShell or batch", article(l))}, true
	case ch.System != Windows && l == Batch, ch.System != Windows && windows && !strings.Contains(firstLine(script), "pwsh"):
		return Problem{Line: 1, Message: fmt.Sprintf("the script is %s by its first line, but the machines run Linux: write a shell script with #!/bin/bash in its first line", article(l))}, true
	case l == CloudConfig && ch.Form != FormCloudInit && ch.Form != FormCloudbase:
		return Problem{Line: 1, Message: "the script is a cloud-config, but no cloud-init reads it on these machines: write a script"}, true
	case l == Multipart && ch.Form != FormCloudInit:
		return Problem{Line: 1, Message: "the script is MIME multipart, but no cloud-init reads it on these machines: write a script"}, true
	}
	return Problem{}, false
}

func article(l Language) string {
	switch l {
	case Shell:
		return "a shell script"
	case Interpreted:
		return "a script for the interpreter that its first line names"
	case Multipart:
		return "MIME multipart"
	case CloudConfig:
		return "a cloud-config"
	case Batch:
		return "a batch file"
	case PowerShell:
	}
	return "PowerShell"
}

// checkShell parses the script as Bash, of which sh is a part.
func checkShell(rendered string) []Problem {
	_, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(rendered), "")
	var parse syntax.ParseError
	var language syntax.LangError
	switch {
	case errors.As(err, &parse):
		return []Problem{{Line: int(parse.Pos.Line()), Column: int(parse.Pos.Col()), Message: "Bash cannot read this: " + parse.Text, Warning: true}}
	case errors.As(err, &language):
		return []Problem{{Line: int(language.Pos.Line()), Column: int(language.Pos.Col()), Message: "Bash cannot read this: " + language.Error(), Warning: true}}
	case err != nil:
		return []Problem{{Message: "Bash cannot read the script: " + err.Error(), Warning: true}}
	}
	return nil
}
