package startup

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/headroom-dev/headroom/internal/settings"
)

// Problem is something that is wrong with a script, or may be.
type Problem struct {
	Line    int    `json:"line" doc:"Counted from 1; 0: of the whole script."`
	Column  int    `json:"column,omitempty" doc:"In characters, counted from 1; 0: of the whole line."`
	Message string `json:"message"`
	Warning bool   `json:"warning,omitempty" doc:"The script can be saved all the same."`
}

// String is "line 3, column 14: message".
func (p Problem) String() string {
	switch {
	case p.Line == 0:
		return p.Message
	case p.Column == 0:
		return fmt.Sprintf("line %d: %s", p.Line, p.Message)
	}
	return fmt.Sprintf("line %d, column %d: %s", p.Line, p.Column, p.Message)
}

// segment is a part of a script: text as it is, or the name of a variable.
type segment struct {
	text         string
	variable     string
	line, column int // of a variable
}

// split takes a script apart. "{name}" stands for a variable, "{{" and "}}" for
// braces; any other brace is a problem.
func split(script string) (segments []segment, problems []Problem) {
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			segments = append(segments, segment{text: text.String()})
			text.Reset()
		}
	}
	line, column := 1, 1
	for rest := script; rest != ""; {
		r, size := utf8.DecodeRuneInString(rest)
		wrong := func(format string, args ...any) {
			problems = append(problems, Problem{Line: line, Column: column, Message: fmt.Sprintf(format, args...)})
		}
		taken := rest[:size]
		switch {
		case strings.HasPrefix(rest, "{{"):
			taken = "{{"
			text.WriteByte('{')
		case strings.HasPrefix(rest, "}}"):
			taken = "}}"
			text.WriteByte('}')
		case r == '{':
			name, ok := variableName(rest[1:])
			if !ok {
				wrong("this { begins no variable: write {{ for a brace, or one of the variables such as {server_id}")
				break
			}
			taken = rest[:len(name)+2]
			if !known(name) {
				hint := ""
				if near := settings.Nearest(name, names()); near != "" {
					hint = "did you mean {" + near + "}? "
				}
				wrong("there is no variable {%s}: %swrite {{%s}} if the braces are part of the script", name, hint, name)
				break
			}
			flush()
			segments = append(segments, segment{variable: name, line: line, column: column})
		case r == '}':
			wrong("this } ends no variable: write }} for a brace")
		default:
			text.WriteString(taken)
		}
		for _, r := range taken {
			if column++; r == '\n' {
				line, column = line+1, 1
			}
		}
		rest = rest[len(taken):]
	}
	flush()
	return segments, problems
}

// variableName reads "name}" as names are written.
func variableName(s string) (name string, ok bool) {
	end := strings.IndexFunc(s, func(r rune) bool {
		return r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	})
	if end <= 0 || s[end] != '}' {
		return "", false
	}
	return s[:end], true
}

func known(name string) bool {
	for _, v := range Variables() {
		if v.Name == name {
			return true
		}
	}
	return false
}

// Render fills the variables of a script. Those without a value render as
// nothing. A script with problems is not rendered.
func Render(script string, values map[string]string) (string, []Problem) {
	segments, problems := split(script)
	if len(problems) > 0 {
		return "", problems
	}
	var out strings.Builder
	for _, s := range segments {
		if s.variable != "" {
			out.WriteString(values[s.variable])
			continue
		}
		out.WriteString(s.text)
	}
	return out.String(), nil
}

// Uses says that the script names the variable.
func Uses(script, variable string) bool {
	segments, _ := split(script)
	for _, s := range segments {
		if s.variable == variable {
			return true
		}
	}
	return false
}
