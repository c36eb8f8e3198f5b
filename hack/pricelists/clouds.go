package main

import (
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// licence stands before the size in the name of a licence's price.
const licence = "windows "

// machine is a size in a file of ec2instances.info.
type machine struct {
	InstanceType string                                `json:"instance_type"`
	AzureName    string                                `json:"pretty_name_azure"`
	Pricing      map[string]map[string]json.RawMessage `json:"pricing"` // by region and operating system
}

// onDemand is a price in what a file holds of a system: a number in the file of
// Azure, and text in that of EC2. It is 0 where there is none, and of things that
// are no system, such as EMR, which stand beside them in other forms.
func onDemand(raw json.RawMessage) float64 {
	var in struct {
		OnDemand json.RawMessage `json:"ondemand"`
	}
	if json.Unmarshal(raw, &in) != nil {
		return 0
	}
	f, err := strconv.ParseFloat(strings.Trim(string(in.OnDemand), `"`), 64)
	if err != nil || math.IsNaN(f) {
		return 0
	}
	return f
}

// A region, not a local zone or a zone at a telephone company.
var awsRegion = regexp.MustCompile(`^[a-z]{2}(-gov)?-[a-z]+-[0-9]$`)

// readAWS reads the prices of Linux, and what Windows costs besides.
func readAWS(machines []machine) (linux, windows table) {
	return read(machines, "mswin", func(m machine) string { return m.InstanceType }, func(region string) string {
		if !awsRegion.MatchString(region) {
			return ""
		}
		return region
	})
}

// readAzure reads the prices of Linux, and what Windows costs besides.
func readAzure(machines []machine) (linux, windows table) {
	return read(machines, "windows", machine.azureName, func(region string) string { return azureRegions[region] })
}

func read(machines []machine, windowsKey string, name func(machine) string, region func(string) string) (linux, windows table) {
	linux, windows = table{}, table{}
	for _, m := range machines {
		size := name(m)
		if size == "" {
			continue
		}
		for place, systems := range m.Pricing {
			at := region(place)
			l, w := onDemand(systems["linux"]), onDemand(systems[windowsKey])
			if at == "" || l <= 0 {
				continue
			}
			linux.set(size, at, l)
			if w > l {
				windows.set(licence+size, at, round(w-l))
			}
		}
	}
	windows.common(func(name string) map[string]float64 { return linux[strings.TrimPrefix(name, licence)] })
	return linux, windows
}

func round(f float64) float64 { return math.Round(f*1e6) / 1e6 }

// digit is what the rounding of prices of a size may make in the difference of
// two: they are given with three digits behind the point and small ones with
// four.
func digit(p float64) float64 {
	if p < 0.1 {
		return 0.000101
	}
	return 0.00101
}

// azureSizes are the families that are listed: those that are still sold, with
// names that the API understands.
var azureSizes = regexp.MustCompile(`^(?:Standard )?((?:A|B|D|DS|DC|E|EC|F|FX|L|M|NC|ND|NV|NG|NP)[0-9]+[a-z]*)((?: [A-Z][A-Z0-9]+| v710)?)( v[0-9])?$`)

// notSold are names of the first generation that the API does not know: it says
// DS1 where the file has D1s besides.
var notSold = regexp.MustCompile(`^D[0-9]+s$`)

// azureName is the name of a size as the API spells it, of the name that people
// read: Standard_NC4as_T4_v3. The file has slips in the generation, which stands
// at the end of its own name as well; a size with one is left out.
func (m machine) azureName() string {
	part := azureSizes.FindStringSubmatch(m.AzureName)
	if part == nil || part[3] == "" && notSold.MatchString(part[1]) {
		return ""
	}
	if own := generation.FindString(m.InstanceType); own != "" && own != strings.TrimSpace(part[3]) {
		return ""
	}
	return "Standard_" + strings.ReplaceAll(part[1]+strings.ToUpper(part[2])+part[3], " ", "_")
}

var generation = regexp.MustCompile(`v[0-9]$`)

// azureRegions are the regions as the API spells them.
var azureRegions = map[string]string{
	"asia-pacific-east": "eastasia", "asia-pacific-southeast": "southeastasia", "australia-central": "australiacentral",
	"australia-central-2": "australiacentral2", "australia-east": "australiaeast", "australia-southeast": "australiasoutheast",
	"brazil-south": "brazilsouth", "brazil-southeast": "brazilsoutheast", "canada-central": "canadacentral", "canada-east": "canadaeast",
	"central-india": "centralindia", "europe-north": "northeurope", "europe-west": "westeurope", "france-central": "francecentral",
	"france-south": "francesouth", "germany-north": "germanynorth", "germany-west-central": "germanywestcentral", "japan-east": "japaneast",
	"japan-west": "japanwest", "korea-central": "koreacentral", "korea-south": "koreasouth", "norway-east": "norwayeast",
	"norway-west": "norwaywest", "qatar-central": "qatarcentral", "south-africa-north": "southafricanorth",
	"south-africa-west": "southafricawest", "south-india": "southindia", "sweden-central": "swedencentral", "sweden-south": "swedensouth",
	"switzerland-north": "switzerlandnorth", "switzerland-west": "switzerlandwest", "uae-central": "uaecentral", "uae-north": "uaenorth",
	"united-kingdom-south": "uksouth", "united-kingdom-west": "ukwest", "us-central": "centralus", "us-east": "eastus",
	"us-east-2": "eastus2", "us-north-central": "northcentralus", "us-south-central": "southcentralus", "us-west": "westus",
	"us-west-2": "westus2", "us-west-3": "westus3", "us-west-central": "westcentralus", "usgov-arizona": "usgovarizona",
	"usgov-texas": "usgovtexas", "usgov-virginia": "usgovvirginia", "west-india": "westindia",
}
