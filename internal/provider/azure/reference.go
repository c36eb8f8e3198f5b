package azure

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
)

const (
	idPart  = `^/subscriptions/([0-9a-fA-F-]{36})/resourceGroups/([-\w._()]{1,90})/providers/`
	namePat = `([\w][-\w._]{0,79})`
)

var (
	urnRule      = regexp.MustCompile(`^([^:/\s]+):([^:/\s]+):([^:/\s]+):(latest|[0-9]+(?:\.[0-9]+)*)$`)
	imageRule    = regexp.MustCompile(`(?i)` + idPart + `Microsoft\.Compute/images/` + namePat + `$`)
	galleryRule  = regexp.MustCompile(`(?i)` + idPart + `Microsoft\.Compute/galleries/` + namePat + `/images/` + namePat + `(?:/versions/([0-9.]+|latest))?$`)
	publicRule   = regexp.MustCompile(`(?i)^/(CommunityGalleries|SharedGalleries)/([^/\s]+)/images/` + namePat + `/versions/([0-9.]+|latest)$`)
	firewallRule = regexp.MustCompile(`(?i)` + idPart + `Microsoft\.Network/networkSecurityGroups/` + namePat + `$`)
	subnetRule   = regexp.MustCompile(`(?i)` + idPart + `Microsoft\.Network/virtualNetworks/` + namePat + `/subnets/` + namePat + `$`)
	nameRule     = regexp.MustCompile(`^` + namePat + `$`)
	pairRule     = regexp.MustCompile(`^` + namePat + `/` + namePat + `$`)
)

// checkReference says what is wrong with a setting that names something.
func (s *Settings) checkReference(setting, text string) error {
	var err error
	switch setting {
	case "image":
		_, err = s.imageReference()
	case "network_security_group":
		_, err = s.firewall()
	case "subnet":
		_, err = s.subnet()
	}
	if text == "" {
		return nil // that it is missing is said elsewhere
	}
	return err
}

// imageReference is the image as the API takes it.
func (s *Settings) imageReference() (*armcompute.ImageReference, error) {
	text := s.Image
	if m := urnRule.FindStringSubmatch(text); m != nil {
		return &armcompute.ImageReference{Publisher: &m[1], Offer: &m[2], SKU: &m[3], Version: &m[4]}, nil
	}
	if imageRule.MatchString(text) || galleryRule.MatchString(text) {
		return &armcompute.ImageReference{ID: &text}, nil
	}
	if m := publicRule.FindStringSubmatch(text); m != nil {
		if strings.EqualFold(m[1], "SharedGalleries") {
			return &armcompute.ImageReference{SharedGalleryImageID: &text}, nil
		}
		return &armcompute.ImageReference{CommunityGalleryImageID: &text}, nil
	}
	return nil, errors.New("is no image: write PUBLISHER:OFFER:SKU:latest, the id of an image or of an image in a gallery (/subscriptions/…), or /CommunityGalleries/…/images/…/versions/… or /SharedGalleries/…")
}

// located is something in a resource group.
type located struct {
	subscription, group string
	names               []string // of what contains it, then its own
}

func (s *Settings) firewall() (located, error) {
	text := s.NetworkSecurityGroup
	if nameRule.MatchString(text) {
		return located{s.SubscriptionID, s.ResourceGroup, []string{text}}, nil
	}
	if m := firewallRule.FindStringSubmatch(text); m != nil {
		return located{m[1], m[2], m[3:]}, nil
	}
	return located{}, errors.New("is no network security group: write its name, or its id /subscriptions/…/networkSecurityGroups/NAME")
}

func (l located) firewallID() string {
	return fmt.Sprintf("/subscriptions/%s/resourceGroups/%s/providers/Microsoft.Network/networkSecurityGroups/%s", l.subscription, l.group, l.names[0])
}

func (s *Settings) subnet() (located, error) {
	text := s.Subnet
	if m := pairRule.FindStringSubmatch(text); m != nil {
		return located{s.SubscriptionID, s.ResourceGroup, m[1:]}, nil
	}
	if m := subnetRule.FindStringSubmatch(text); m != nil {
		return located{m[1], m[2], m[3:]}, nil
	}
	return located{}, errors.New("is no subnet: write VNET/SUBNET, or its id /subscriptions/…/virtualNetworks/VNET/subnets/SUBNET")
}

func (l located) subnetID() string {
	return fmt.Sprintf("/subscriptions/%s/resourceGroups/%s/providers/Microsoft.Network/virtualNetworks/%s/subnets/%s", l.subscription, l.group, l.names[0], l.names[1])
}

// tail is the last part of an id.
func tail(id string) string { return id[strings.LastIndex(id, "/")+1:] }

// groupOf is the resource group in an id.
func groupOf(id string) string {
	parts := strings.Split(id, "/")
	for i, p := range parts {
		if strings.EqualFold(p, "resourceGroups") && i+1 < len(parts) {
			return parts[i+1]
		}
	}
	return ""
}

// val is what a pointer of the SDK points to, zero where it points nowhere.
func val[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func pointers(m map[string]string) map[string]*string {
	out := make(map[string]*string, len(m))
	for key, value := range m {
		out[key] = to.Ptr(value)
	}
	return out
}
