package gcp

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// reference is an image, a network or a subnetwork.
type reference struct {
	project, region, name string
	family                bool // the name is that of a family of images
}

const (
	projectPart = `((?:[-a-z0-9.]+:)?[a-z][-a-z0-9]{4,28}[a-z0-9])`
	namePart    = `([a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)`
)

var (
	urlPrefix  = regexp.MustCompile(`^https://(www|compute)\.googleapis\.com/compute/(v1|beta|alpha)/`)
	bareRule   = regexp.MustCompile(`^` + namePart + `$`)
	pairRule   = regexp.MustCompile(`^` + projectPart + `/` + namePart + `$`)
	imageRule  = regexp.MustCompile(`^(?:projects/` + projectPart + `/)?global/images/(family/)?` + namePart + `$`)
	netRule    = regexp.MustCompile(`^(?:projects/` + projectPart + `/)?global/networks/` + namePart + `$`)
	subnetRule = regexp.MustCompile(`^(?:projects/` + projectPart + `/)?regions/([a-z][-a-z0-9]*)/subnetworks/` + namePart + `$`)
)

// reference reads the setting of the given name.
func (s *Settings) reference(setting, text string) (reference, error) {
	path := urlPrefix.ReplaceAllString(text, "")
	ours := func(project string) string {
		if project == "" {
			return s.Project
		}
		return project
	}
	if bareRule.MatchString(path) {
		return reference{project: s.Project, region: s.region(), name: path}, nil
	}
	switch setting {
	case "image":
		if m := imageRule.FindStringSubmatch(path); m != nil {
			return reference{project: ours(m[1]), name: m[3], family: m[2] != ""}, nil
		}
		if m := pairRule.FindStringSubmatch(path); m != nil {
			return reference{project: m[1], name: m[2], family: true}, nil
		}
		return reference{}, errors.New("is no image: write projects/PROJECT/global/images/NAME, projects/PROJECT/global/images/family/FAMILY, PROJECT/FAMILY, or the name of an image of the project")
	case "network":
		if m := netRule.FindStringSubmatch(path); m != nil {
			return reference{project: ours(m[1]), name: m[2]}, nil
		}
		return reference{}, errors.New("is no network: write its name, or projects/PROJECT/global/networks/NAME")
	case "subnetwork":
		if m := subnetRule.FindStringSubmatch(path); m != nil {
			return reference{project: ours(m[1]), region: m[2], name: m[3]}, nil
		}
		return reference{}, errors.New("is no subnetwork: write its name, or projects/PROJECT/regions/REGION/subnetworks/NAME")
	}
	return reference{}, fmt.Errorf("%s is no reference", setting)
}

// imagePath is the image as instances.insert takes it.
func (r reference) imagePath() string {
	if r.family {
		return fmt.Sprintf("projects/%s/global/images/family/%s", r.project, r.name)
	}
	return fmt.Sprintf("projects/%s/global/images/%s", r.project, r.name)
}

func (r reference) networkPath() string {
	return fmt.Sprintf("projects/%s/global/networks/%s", r.project, r.name)
}

func (r reference) subnetworkPath() string {
	return fmt.Sprintf("projects/%s/regions/%s/subnetworks/%s", r.project, r.region, r.name)
}

// tail is the last part of a URL.
func tail(link string) string { return link[strings.LastIndex(link, "/")+1:] }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
