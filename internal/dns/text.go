package dns

import "strings"

// maxText is how long a piece of a TXT record may be (RFC 1035, section 3.3).
const maxText = 255

// Quote writes the text of a TXT record as zone files and most services have
// it: in quotes, in pieces of at most 255 bytes (RFC 1035, sections 3.3 and 5.1).
func Quote(text string) string {
	var pieces []string
	for first := true; first || text != ""; first = false {
		n := min(len(text), maxText)
		pieces = append(pieces, `"`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text[:n])+`"`)
		text = text[n:]
	}
	return strings.Join(pieces, " ")
}

// Unquote reads what Quote or a service wrote. A byte may come as three digits
// after a backslash, and a text without quotes stands for itself.
func Unquote(data string) string {
	var out strings.Builder
	inside, quotes := false, strings.Contains(data, `"`)
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case c == '\\' && i+3 < len(data) && isByte(data[i+1:i+4]):
			out.WriteByte((data[i+1]-'0')*100 + (data[i+2]-'0')*10 + data[i+3] - '0')
			i += 3
		case c == '\\' && i+1 < len(data):
			i++
			out.WriteByte(data[i])
		case c == '"':
			inside = !inside
		case c == ' ' && !inside && quotes:
		default:
			out.WriteByte(c)
		}
	}
	return out.String()
}

// isByte says that three characters are the number of a byte.
func isByte(s string) bool { return strings.Trim(s, "0123456789") == "" && s <= "255" }
