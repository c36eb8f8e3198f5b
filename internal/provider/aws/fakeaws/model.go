package fakeaws

import (
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Model is what AWS publishes of its APIs: the service models that come with
// botocore. Every request to the fake and every answer of it is held against
// them.
type Model struct {
	services map[string]*service // ec2, sts, route53
}

type service struct {
	Metadata struct {
		Protocol   string `json:"protocol"`
		APIVersion string `json:"apiVersion"`
		Namespace  string `json:"xmlNamespace"`
	} `json:"metadata"`
	Operations map[string]*operation `json:"operations"`
	Shapes     map[string]*shape     `json:"shapes"`
}

type operation struct {
	Name string `json:"name"`
	HTTP struct {
		Method string `json:"method"`
		URI    string `json:"requestUri"`
	} `json:"http"`
	Input  *reference `json:"input"`
	Output *reference `json:"output"`
}

type reference struct {
	Shape         string `json:"shape"`
	LocationName  string `json:"locationName"`
	QueryName     string `json:"queryName"`
	Location      string `json:"location"`
	ResultWrapper string `json:"resultWrapper"`
	Flattened     bool   `json:"flattened"`
}

type shape struct {
	Type      string                `json:"type"`
	Members   map[string]*reference `json:"members"`
	Member    *reference            `json:"member"`
	Required  []string              `json:"required"`
	Enum      []string              `json:"enum"`
	Pattern   string                `json:"pattern"`
	Min       *float64              `json:"min"`
	Max       *float64              `json:"max"`
	Flattened bool                  `json:"flattened"`
}

// Debian is the package that has the models, and where it puts them.
const (
	Debian    = "python3-botocore"
	DebianDir = "/usr/lib/python3/dist-packages/botocore/data"
)

// LoadModel reads the models below botocore's folder of data; fs.ErrNotExist when
// they are not there.
func LoadModel(dir string) (*Model, error) {
	m := &Model{services: map[string]*service{}}
	for _, name := range []string{"ec2", "sts", "route53"} {
		versions, err := os.ReadDir(filepath.Join(dir, name))
		if err != nil {
			return nil, fmt.Errorf("the service model of %s, which the Debian package "+Debian+" brings: %w", name, err)
		}
		if len(versions) == 0 {
			return nil, fmt.Errorf("the service model of %s, which the Debian package "+Debian+" brings: %w", name, fs.ErrNotExist)
		}
		text, err := readModel(filepath.Join(dir, name, versions[len(versions)-1].Name(), "service-2.json"))
		if err != nil {
			return nil, fmt.Errorf("the service model of %s, which the Debian package "+Debian+" brings: %w", name, err)
		}
		s := &service{}
		if err := json.Unmarshal(text, s); err != nil {
			return nil, fmt.Errorf("the service model of %s, which the Debian package "+Debian+" brings: %w", name, err)
		}
		for _, n := range newer {
			if sh := s.Shapes[n.shape]; n.service == name && sh != nil && sh.Members[n.member] == nil {
				sh.Members[n.member] = &reference{Shape: n.as, LocationName: n.location}
			}
		}
		m.services[name] = s
	}
	return m, nil
}

// newer are members that the services have and botocore 1.29, the oldest version
// that is in use here, does not.
var newer = []struct{ service, shape, member, as, location string }{
	{"ec2", "DescribeImagesRequest", "MaxResults", "Integer", ""}, // since May 2023
	{"ec2", "DescribeImagesRequest", "NextToken", "String", ""},
	{"ec2", "DescribeImagesResult", "NextToken", "String", "nextToken"},
}

// readModel reads a model that may be compressed, as later versions have it.
func readModel(path string) ([]byte, error) {
	text, err := os.ReadFile(path) //nolint:gosec // a folder that the test names
	if !errors.Is(err, fs.ErrNotExist) {
		return text, err
	}
	f, err := os.Open(path + ".gz") //nolint:gosec // a folder that the test names
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// Lacks lists the members below an input that the model does not have, of those
// that are given as paths such as RunInstancesInput's Placement.GroupName.
func (m *Model) Lacks(service, operation string, paths []string) []string {
	s := m.services[service]
	var out []string
	for _, p := range paths {
		ref := s.Operations[operation].Input
		for _, name := range strings.Split(p, ".") {
			sh := s.Shapes[ref.Shape]
			for sh.Type == "list" {
				sh = s.Shapes[sh.Member.Shape]
			}
			if ref = sh.Members[name]; ref == nil {
				out = append(out, p)
				break
			}
		}
	}
	return out
}

// form is a request of one of the query protocols.
type form struct {
	values map[string]string
	used   map[string]bool
}

func (f *form) has(prefix string) bool {
	if _, ok := f.values[prefix]; ok {
		return true
	}
	for key := range f.values {
		if strings.HasPrefix(key, prefix+".") {
			return true
		}
	}
	return false
}

// query reads a request of the protocols "ec2" and "query" and says what is
// wrong with it.
func (s *service) query(op *operation, values map[string]string) (map[string]any, []string) {
	f := &form{values: values, used: map[string]bool{"Action": true, "Version": true}}
	var wrong []string
	if v := values["Version"]; v != s.Metadata.APIVersion {
		wrong = append(wrong, fmt.Sprintf("Version is %q, expected %s", v, s.Metadata.APIVersion))
	}
	out := map[string]any{}
	if op.Input != nil {
		got, faults := s.readQuery(op.Input, "", f, op.Name)
		wrong = append(wrong, faults...)
		if m, ok := got.(map[string]any); ok {
			out = m
		}
	}
	for key := range values {
		if !f.used[key] {
			wrong = append(wrong, op.Name+": unknown parameter "+key)
		}
	}
	slices.Sort(wrong)
	return out, wrong
}

func (s *service) queryName(member string, ref *reference) string {
	switch {
	case s.Metadata.Protocol == "ec2" && ref.QueryName != "":
		return ref.QueryName
	case s.Metadata.Protocol == "ec2" && ref.LocationName != "":
		return strings.ToUpper(ref.LocationName[:1]) + ref.LocationName[1:]
	case ref.LocationName != "":
		return ref.LocationName
	}
	return member
}

func (s *service) readQuery(ref *reference, prefix string, f *form, at string) (any, []string) {
	sh := s.Shapes[ref.Shape]
	switch sh.Type {
	case "structure":
		out := map[string]any{}
		var wrong []string
		for name, member := range sh.Members {
			p := s.queryName(name, member)
			if prefix != "" {
				p = prefix + "." + p
			}
			if !f.has(p) {
				continue
			}
			value, faults := s.readQuery(member, p, f, at+"."+name)
			out[name], wrong = value, append(wrong, faults...)
		}
		return out, append(wrong, sh.missing(out, at)...)
	case "list":
		p := prefix
		if s.Metadata.Protocol != "ec2" && !sh.Flattened {
			p += ".member"
		}
		out := []any{}
		var wrong []string
		for n := 1; f.has(p + "." + strconv.Itoa(n)); n++ {
			value, faults := s.readQuery(sh.Member, p+"."+strconv.Itoa(n), f, fmt.Sprintf("%s[%d]", at, n-1))
			out, wrong = append(out, value), append(wrong, faults...)
		}
		return out, append(wrong, sh.size(len(out), at, "entries")...)
	}
	f.used[prefix] = true
	text, ok := f.values[prefix]
	if !ok {
		return nil, []string{at + " is no " + sh.Type}
	}
	return sh.scalar(text, at)
}

func (sh *shape) missing(have map[string]any, at string) []string {
	var out []string
	for _, name := range sh.Required {
		if _, ok := have[name]; !ok {
			out = append(out, at+"."+name+" is missing")
		}
	}
	return out
}

func (sh *shape) size(n int, at, unit string) []string {
	if sh.Min != nil && float64(n) < *sh.Min || sh.Max != nil && float64(n) > *sh.Max {
		return []string{fmt.Sprintf("%s has %d %s, which is out of range", at, n, unit)}
	}
	return nil
}

// scalar reads a value that is written as text.
func (sh *shape) scalar(text, at string) (any, []string) {
	wrong := func(want string) (any, []string) {
		return nil, []string{fmt.Sprintf("%s is %q, expected %s", at, text, want)}
	}
	switch sh.Type {
	case "string":
		if len(sh.Enum) > 0 && !slices.Contains(sh.Enum, text) {
			return wrong("one of " + strings.Join(sh.Enum[:min(len(sh.Enum), 12)], ", "))
		}
		if sh.Pattern != "" {
			if rule, err := regexp.Compile("^(?:" + sh.Pattern + ")$"); err == nil && !rule.MatchString(text) {
				return wrong("what matches " + sh.Pattern)
			}
		}
		return text, sh.size(len([]rune(text)), at, "characters")
	case "boolean":
		if text != "true" && text != "false" {
			return wrong("true or false")
		}
		return text == "true", nil
	case "integer", "long":
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || sh.Type == "integer" && int64(int32(n)) != n {
			return wrong("a whole number")
		}
		return n, sh.size(int(n), at, "as its value")
	case "double", "float":
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return wrong("a number")
		}
		return n, nil
	case "timestamp":
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return wrong("a moment")
		}
		return at, nil
	case "blob":
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return wrong("base64")
		}
		return string(b), nil
	}
	return wrong("a value of type " + sh.Type)
}
