package oci

import (
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/provider"
)

// pages calls list for each page, the first of which has no name, until it names
// no next one. An error ends it.
func pages(list func(page *string) (next *string, err error)) error {
	var page *string
	for {
		next, err := list(page)
		if err != nil {
			return inCompartment(err)
		}
		switch to := fleet.Value(next, ""); {
		case to == "":
			return nil
		case page != nil && to == *page:
			return provider.Errorf(provider.Unavailable, "the listing does not get on: a page names itself as the next one")
		}
		page = next
	}
}
