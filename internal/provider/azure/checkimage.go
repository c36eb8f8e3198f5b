package azure

import (
	"context"
	"fmt"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"

	"github.com/headroom-dev/headroom/internal/provider"
)

// seen is what is known of an image.
type seen struct {
	system     string // Linux or Windows
	generation string // V1 or V2
	plan       *armcompute.PurchasePlan
}

func (d *driver) checkImage(ctx context.Context, r *report) error {
	s := &d.settings
	subject := "image " + s.Image
	ref, err := s.imageReference()
	if err != nil {
		return provider.Errorf(provider.Invalid, "image %w", err)
	}
	var i *seen
	switch {
	case ref.Publisher != nil:
		i, err = d.marketImage(ctx, r, subject, ref)
	case ref.ID != nil:
		i, err = d.ownImage(ctx, r, subject, *ref.ID)
	default:
		r.add(provider.VerdictWarning, subject, "images of other people's galleries are not looked at", "the first machine tells whether it exists")
		return nil
	}
	if i == nil {
		return err
	}
	switch windows := strings.EqualFold(i.system, "Windows"); {
	case i.system != "" && windows != s.Windows:
		r.failed("windows", fmt.Sprintf("is %t, and the image is one of %s", s.Windows, i.system), "correct windows or image")
	case i.generation == "V1" && (s.SecurityType == "TrustedLaunch" || s.SecurityType == "ConfidentialVM"):
		r.failed("security_type", "is "+s.SecurityType+", which needs an image of generation 2; this one is of generation 1", "take an image of generation 2 (often gen2 in its SKU), or leave security_type out")
	case i.plan != nil && s.Plan == (Plan{}):
		r.failed("plan", "is missing, and the image is sold by one", fmt.Sprintf("set plan: {name: %s, product: %s, publisher: %s}", val(i.plan.Name), val(i.plan.Product), val(i.plan.Publisher)))
	case i.plan != nil && (s.Plan != Plan{Name: val(i.plan.Name), Product: val(i.plan.Product), Publisher: val(i.plan.Publisher)}):
		r.failed("plan", "is not that of the image", fmt.Sprintf("set plan: {name: %s, product: %s, publisher: %s}", val(i.plan.Name), val(i.plan.Product), val(i.plan.Publisher)))
	case i.plan == nil && ref.Publisher != nil && s.Plan != (Plan{}):
		r.failed("plan", "is set, and the image has none", "leave plan out")
	default:
		r.ok(subject, "%s", strings.TrimSpace(i.system+" "+i.generation))
	}
	if s.Plan != (Plan{}) {
		return d.checkTerms(ctx, r)
	}
	return nil
}

// marketImage looks at an image of the marketplace, at its newest version for
// latest.
func (d *driver) marketImage(ctx context.Context, r *report, subject string, ref *armcompute.ImageReference) (*seen, error) {
	s := &d.settings
	const remedy = "correct image: `headroom provider catalog --setting image` and `az vm image list --all --publisher …` name some"
	scope := "/subscriptions/" + s.SubscriptionID
	version := *ref.Version
	if version == "latest" {
		list, err := d.images.List(ctx, s.Region, *ref.Publisher, *ref.Offer, *ref.SKU, &armcompute.VirtualMachineImagesClientListOptions{Top: to.Ptr[int32](1), Orderby: to.Ptr("name desc")})
		found, fatal := r.look(subject, "Microsoft.Compute/locations/publishers/artifacttypes/offers/skus/versions/read", scope, err, remedy)
		if !found {
			return nil, fatal
		}
		if len(list.VirtualMachineImageResourceArray) == 0 {
			r.failed(subject, "has no version in "+s.Region, remedy)
			return nil, nil
		}
		version = val(list.VirtualMachineImageResourceArray[0].Name)
	}
	i, err := d.images.Get(ctx, s.Region, *ref.Publisher, *ref.Offer, *ref.SKU, version, nil)
	found, fatal := r.look(subject, "Microsoft.Compute/locations/publishers/artifacttypes/offers/skus/versions/read", scope, err, remedy)
	if !found {
		return nil, fatal
	}
	out := &seen{}
	if p := i.Properties; p != nil {
		out.generation, out.plan = string(val(p.HyperVGeneration)), p.Plan
		if p.OSDiskImage != nil {
			out.system = string(val(p.OSDiskImage.OperatingSystem))
		}
	}
	return out, nil
}

// ownImage looks at an image, or at one in a gallery of one's own.
func (d *driver) ownImage(ctx context.Context, r *report, subject, id string) (*seen, error) {
	if !strings.HasPrefix(strings.ToLower(id), strings.ToLower("/subscriptions/"+d.settings.SubscriptionID+"/")) {
		r.add(provider.VerdictWarning, subject, "is in another subscription and is not looked at", "see that the app has the role Reader on it; the first machine tells")
		return nil, nil
	}
	const remedy = "correct image; it must be in the machines' region, or be replicated there"
	if m := imageRule.FindStringSubmatch(id); m != nil {
		i, err := d.ownImages.Get(ctx, m[2], m[3], nil)
		found, fatal := r.look(subject, "Microsoft.Compute/images/read", id, err, remedy)
		if !found {
			return nil, fatal
		}
		if !strings.EqualFold(val(i.Location), d.settings.Region) {
			r.failed(subject, "is in "+val(i.Location)+", machines are made in "+d.settings.Region, "copy it into the region, or put it into a gallery that replicates it")
			return nil, nil
		}
		out := &seen{}
		if p := i.Properties; p != nil {
			out.generation = string(val(p.HyperVGeneration))
			if p.StorageProfile != nil && p.StorageProfile.OSDisk != nil {
				out.system = string(val(p.StorageProfile.OSDisk.OSType))
			}
		}
		return out, nil
	}
	m := galleryRule.FindStringSubmatch(id)
	definition := fmt.Sprintf("/subscriptions/%s/resourceGroups/%s/providers/Microsoft.Compute/galleries/%s/images/%s", m[1], m[2], m[3], m[4])
	var i struct {
		Properties struct {
			OSType     string `json:"osType"`
			Generation string `json:"hyperVGeneration"`
			Plan       *struct {
				Name      string `json:"name"`
				Product   string `json:"product"`
				Publisher string `json:"publisher"`
			} `json:"purchasePlan"`
		} `json:"properties"`
	}
	err := d.get(ctx, definition, galleriesVersion, &i)
	found, fatal := r.look(subject, "Microsoft.Compute/galleries/images/read", definition, err, remedy)
	if !found {
		return nil, fatal
	}
	if m[5] != "" && m[5] != "latest" {
		var any struct{}
		err := d.get(ctx, definition+"/versions/"+m[5], galleriesVersion, &any)
		if found, fatal := r.look(subject, "Microsoft.Compute/galleries/images/versions/read", definition, err, remedy); !found {
			return nil, fatal
		}
	}
	out := &seen{system: i.Properties.OSType, generation: i.Properties.Generation}
	if p := i.Properties.Plan; p != nil {
		out.plan = &armcompute.PurchasePlan{Name: &p.Name, Product: &p.Product, Publisher: &p.Publisher}
	}
	return out, nil
}

// checkTerms looks whether the terms of the plan have been accepted.
func (d *driver) checkTerms(ctx context.Context, r *report) error {
	p := d.settings.Plan
	subject := "terms of plan " + p.Name
	var terms struct {
		Properties struct {
			Accepted bool `json:"accepted"`
		} `json:"properties"`
	}
	path := fmt.Sprintf("/subscriptions/%s/providers/Microsoft.MarketplaceOrdering/offerTypes/virtualmachine/publishers/%s/offers/%s/plans/%s/agreements/current", d.settings.SubscriptionID, p.Publisher, p.Product, p.Name)
	remedy := fmt.Sprintf("az vm image terms accept --publisher %s --offer %s --plan %s", p.Publisher, p.Product, p.Name)
	err := d.get(ctx, path, termsVersion, &terms)
	switch fault := classify(err, d.now()); {
	case err == nil && !terms.Properties.Accepted:
		r.failed(subject, "have not been accepted in the subscription", remedy)
	case err == nil:
		r.ok(subject, "accepted")
	case provider.ClassOf(fault) == provider.Forbidden:
		r.add(provider.VerdictWarning, subject, "cannot be asked for without Microsoft.MarketplaceOrdering/offerTypes/publishers/offers/plans/agreements/read", remedy+"; the first machine tells")
	case provider.ClassOf(fault) == provider.NotFound, provider.ClassOf(fault) == provider.Invalid:
		r.failed(subject, "there is no such plan", "correct plan: `az vm image show --urn …` names it")
	default:
		return fault
	}
	return nil
}
