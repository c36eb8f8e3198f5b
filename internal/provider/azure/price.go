package azure

import (
	"fmt"
	"strings"

	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/price"
)

// diskSizes are the sizes in GiB in which managed disks are sold, with the number
// in the name of each: a disk costs as much as the next larger one.
// https://learn.microsoft.com/azure/virtual-machines/disks-types#billing
var diskSizes = [...]struct{ size, number int64 }{
	{4, 1}, {8, 2}, {16, 3}, {32, 4}, {64, 6}, {128, 10}, {256, 15}, {512, 20}, {1024, 30}, {2048, 40}, {4096, 50},
}

// PriceItems implements provider.Priced: the size, a disk that is sold whole, and
// the public address. Lists have the prices with Linux, and what Windows costs
// besides for each size.
// https://azure.microsoft.com/pricing/details/virtual-machines/linux/
func (s *Settings) PriceItems(offer string) []price.Item {
	size, _, _ := strings.Cut(offer, "@")
	if size == "" && len(s.VMSize) > 0 {
		size = s.VMSize[0]
	}
	if size == "" {
		return nil
	}
	machine := price.Item{Part: price.Machine, Name: size, Region: s.Region, OS: "linux"}
	if s.Windows && !s.ownLicense() {
		machine = price.WithWindows(machine)
	}
	if s.Spot {
		machine.Market, machine.Of = price.Spot, nil
	}
	items := []price.Item{machine, s.diskItem()}
	if s.PublicIP {
		items = append(items, price.Item{Part: price.Address, Region: s.Region})
	}
	return items
}

// ownLicense says that the override brings a licence for Windows along, which
// leaves what the machine costs with Linux.
// https://learn.microsoft.com/azure/virtual-machines/windows/hybrid-use-benefit-licensing
func (s *Settings) ownLicense() bool {
	p, _ := s.ConfigOverride["properties"].(map[string]any)
	kind, _ := p["licenseType"].(string)
	return kind == "Windows_Server" || kind == "Windows_Client"
}

// diskItem is the disk, by the name under which it is sold: P10 LRS.
func (s *Settings) diskItem() price.Item {
	family, redundancy, _ := strings.Cut(fleet.Or(s.OSDiskType, "Premium_LRS"), "_")
	i := price.Item{Part: price.Disk, Name: family + " " + redundancy, Region: s.Region, Quantity: price.Unsaid}
	letter := map[string]string{"Premium": "P", "StandardSSD": "E", "Standard": "S"}[family]
	for _, d := range diskSizes {
		if s.OSDiskSize == 0 || letter == "S" && d.number < 4 { // hard disks begin at 32 GiB
			continue
		}
		if s.OSDiskSize <= d.size {
			i.Name, i.Quantity = fmt.Sprintf("%s%d %s", letter, d.number, redundancy), 1
			break
		}
	}
	return i
}
