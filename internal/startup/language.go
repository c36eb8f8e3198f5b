package startup

import "strings"

// Language is what a script is written in.
type Language string

// The languages.
const (
	Shell       Language = "shell" // sh or Bash
	PowerShell  Language = "powershell"
	Batch       Language = "batch"
	CloudConfig Language = "cloud-config"
	Interpreted Language = "interpreted" // by what its first line names, such as Python
	Multipart   Language = "multipart"   // MIME, for cloud-init
)

// LanguageOf tells a script's language by its first line that is not empty. One
// that does not say is Shell on Linux and PowerShell on Windows.
func LanguageOf(script string, system System) Language {
	first := strings.ToLower(strings.TrimSpace(firstLine(script)))
	has := func(prefixes ...string) bool {
		for _, p := range prefixes {
			if strings.HasPrefix(first, p) {
				return true
			}
		}
		return false
	}
	switch {
	case has("#cloud-config"):
		return CloudConfig
	case has("content-type: multipart/", "mime-version:"):
		return Multipart
	case has("#ps1", "<powershell>"):
		return PowerShell
	case has("<script>", "@echo off", "rem ", "rem\t", "::") || first == "rem":
		return Batch
	case has("#!") && has("#!/bin/sh", "#!/bin/bash", "#!/usr/bin/bash", "#!/usr/bin/sh", "#!/usr/bin/env bash", "#!/usr/bin/env sh"):
		return Shell
	case has("#!") && strings.Contains(first, "pwsh"):
		return PowerShell
	case has("#!"):
		return Interpreted
	case system == Windows:
		return PowerShell
	}
	return Shell
}

func firstLine(script string) string {
	for line := range strings.Lines(strings.TrimPrefix(script, "\ufeff")) {
		if strings.TrimSpace(line) != "" {
			return line
		}
	}
	return ""
}

// bare takes off what an operator wrote around a script for one channel, so
// that it fits every channel: tags of EC2Launch, markers of Cloudbase-Init.
func bare(script string, l Language) string {
	text := strings.TrimSpace(strings.TrimPrefix(script, "\ufeff"))
	tag := map[Language]string{PowerShell: "powershell", Batch: "script"}[l]
	lower := strings.ToLower(text)
	if tag != "" && strings.HasPrefix(lower, "<"+tag+">") {
		text = text[len(tag)+2:]
		if end := strings.LastIndex(strings.ToLower(text), "</"+tag+">"); end >= 0 {
			text = text[:end]
		}
		return strings.TrimSpace(text) + "\n"
	}
	if l == PowerShell && strings.HasPrefix(lower, "#ps1") {
		_, text, _ = strings.Cut(text, "\n")
		return strings.TrimSpace(text) + "\n"
	}
	return script
}
