package fakeaws

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// element is a node of an XML document.
type element struct {
	name  string
	text  string
	below []*element
}

func parseXML(r io.Reader) (*element, error) {
	d := xml.NewDecoder(r)
	root := &element{}
	stack := []*element{root}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			if len(root.below) != 1 {
				return nil, fmt.Errorf("the document has %d roots", len(root.below))
			}
			return root.below[0], nil
		}
		if err != nil {
			return nil, err
		}
		top := stack[len(stack)-1]
		switch t := token.(type) {
		case xml.StartElement:
			e := &element{name: t.Name.Local}
			top.below = append(top.below, e)
			stack = append(stack, e)
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		case xml.CharData:
			top.text += string(t)
		}
	}
}

// readXML reads a value of the protocol "rest-xml" and says what is wrong.
func (s *service) readXML(ref *reference, e *element, at string) (any, []string) {
	sh := s.Shapes[ref.Shape]
	switch sh.Type {
	case "structure":
		out := map[string]any{}
		var wrong []string
		known := map[string]bool{}
		for name, member := range sh.Members {
			if member.Location != "" {
				continue
			}
			tag := name
			if member.LocationName != "" {
				tag = member.LocationName
			}
			known[tag] = true
			for _, child := range e.below {
				if child.name == tag {
					value, faults := s.readXML(member, child, at+"."+name)
					out[name], wrong = value, append(wrong, faults...)
				}
			}
		}
		for _, child := range e.below {
			if !known[child.name] {
				wrong = append(wrong, at+": unknown element "+child.name)
			}
		}
		return out, append(wrong, sh.missing(out, at)...)
	case "list":
		out := []any{}
		var wrong []string
		tag := "member"
		if sh.Member.LocationName != "" {
			tag = sh.Member.LocationName
		}
		for n, child := range e.below {
			if child.name != tag {
				wrong = append(wrong, fmt.Sprintf("%s[%d] is called %s, expected %s", at, n, child.name, tag))
			}
			value, faults := s.readXML(sh.Member, child, fmt.Sprintf("%s[%d]", at, n))
			out, wrong = append(out, value), append(wrong, faults...)
		}
		return out, append(wrong, sh.size(len(out), at, "entries")...)
	}
	return sh.scalar(e.text, at)
}

// writeXML writes the members of a structure, and says what the model does not
// have.
func (s *service) writeXML(b *strings.Builder, ref *reference, value any, at string) []string {
	sh := s.Shapes[ref.Shape]
	wrong := func(want string) []string {
		return []string{fmt.Sprintf("answer: %s is %v, expected %s", at, value, want)}
	}
	switch sh.Type {
	case "structure":
		fields, ok := value.(map[string]any)
		if !ok {
			return wrong("a structure")
		}
		var out []string
		for _, name := range sorted(fields) {
			member := sh.Members[name]
			if member == nil {
				out = append(out, "answer: "+at+" has no member "+name)
				continue
			}
			if member.Location != "" || fields[name] == nil {
				continue
			}
			tag := name
			if member.LocationName != "" {
				tag = member.LocationName
			}
			fmt.Fprintf(b, "<%s>", tag)
			out = append(out, s.writeXML(b, member, fields[name], at+"."+name)...)
			fmt.Fprintf(b, "</%s>", tag)
		}
		return out
	case "list":
		items, ok := value.([]any)
		if !ok {
			return wrong("a list")
		}
		tag := "member"
		if sh.Member.LocationName != "" {
			tag = sh.Member.LocationName
		}
		var out []string
		for n, item := range items {
			fmt.Fprintf(b, "<%s>", tag)
			out = append(out, s.writeXML(b, sh.Member, item, fmt.Sprintf("%s[%d]", at, n))...)
			fmt.Fprintf(b, "</%s>", tag)
		}
		return out
	}
	var text string
	switch v := value.(type) {
	case string:
		text = v
	case bool:
		text = strconv.FormatBool(v)
	case int:
		text = strconv.Itoa(v)
	case int64:
		text = strconv.FormatInt(v, 10)
	case time.Time:
		text = v.UTC().Format("2006-01-02T15:04:05.000Z")
	default:
		return wrong("a " + sh.Type)
	}
	if _, faults := sh.scalar(text, at); len(faults) > 0 && !deviates[at[strings.LastIndex(at, ".")+1:]+"="+text] {
		return faults
	}
	return escape(b, text)
}

// deviates are values that the service answers and its own model does not have.
var deviates = map[string]bool{
	"Platform=windows": true, // the model has Windows; the service and its reference write it small
}

func escape(b *strings.Builder, text string) []string {
	if err := xml.EscapeText(b, []byte(text)); err != nil {
		return []string{err.Error()}
	}
	return nil
}
