package aws_test

import (
	"testing"
	"time"

	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/provider/aws"
	"github.com/headroom-dev/headroom/internal/provider/providertest"
)

// TestOverrideValues: requests to RunInstances as programs and pages have them,
// without what the settings choose; and what is wrong with others.
func TestOverrideValues(t *testing.T) {
	t.Parallel()
	s, _ := account(t)
	s.Spot = true
	providertest.CheckOverrides(t, providertest.Overrides{
		Account: providertest.Account{Kind: aws.Kind(), Settings: s, Host: provider.Host{Now: time.Now}},
		With:    func(doc map[string]any) any { o := *s; o.ConfigOverride = doc; return &o },
		Good: map[string]string{
			"ends by itself": `{"InstanceInitiatedShutdownBehavior": "terminate", "Monitoring": {"Enabled": false}, "MinCount": 1, "MaxCount": 1}`,
			"a spot worker": `{"InstanceMarketOptions": {"MarketType": "spot", "SpotOptions": {"InstanceInterruptionBehavior": "terminate", "SpotInstanceType": "one-time", "MaxPrice": "0.30"}},
				"InstanceInitiatedShutdownBehavior": "terminate", "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"DeleteOnTermination": true, "Encrypted": true, "VolumeSize": 80, "VolumeType": "gp3"}}]}`,
			"a worker of a cluster": `{"instance_config": {"BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "VirtualName": "sda1", "Ebs": {"DeleteOnTermination": true, "VolumeSize": 40, "VolumeType": "gp2", "Encrypted": false}}],
				"NetworkInterfaces": [{"AssociatePublicIpAddress": true, "DeleteOnTermination": true, "Description": "public", "DeviceIndex": 0, "Groups": ["sg-0000000000000000a"]}]}}`,
			"the metadata service": `{"MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2, "HttpEndpoint": "enabled", "HttpProtocolIpv6": "disabled", "InstanceMetadataTags": "enabled"}}`,
			"a dedicated host":     `{"Placement": {"Tenancy": "host", "HostResourceGroupArn": "arn:aws:resource-groups:eu-central-1:123456789012:group/hosts"}, "LicenseSpecifications": [{"LicenseConfigurationArn": "arn:aws:license-manager:eu-central-1:123456789012:license-configuration:lic-1"}]}`,
			"a reservation":        `{"CapacityReservationSpecification": {"CapacityReservationPreference": "open"}, "CpuOptions": {"CoreCount": 2, "ThreadsPerCore": 1}}`,
			"bursts without limit": `{"CreditSpecification": {"CpuCredits": "unlimited"}, "EbsOptimized": true, "DisableApiTermination": false, "DryRun": false}`,
			"an enclave, asleep":   `{"EnclaveOptions": {"Enabled": true}, "HibernationOptions": {"Configured": false}, "MaintenanceOptions": {"AutoRecovery": "default"}, "PrivateDnsNameOptions": {"HostnameType": "ip-name", "EnableResourceNameDnsARecord": false}}`,
			"a launch template":    `{"LaunchTemplate": {"LaunchTemplateName": "desktops", "Version": "$Latest"}}`,
		},
		Bad: []providertest.WrongOverride{
			{Doc: `{"InstanceInitiatedShutdownBehavior": "explode"}`, Path: "config_override.InstanceInitiatedShutdownBehavior", Says: `"explode" is not one of its values: write stop or terminate`},
			{Doc: `{"instance_config": {"Placement": {"Tenancy": "shared"}}}`, Path: "config_override.instance_config.Placement.Tenancy", Says: `"shared" is not one of its values: write dedicated, default or host`},
			{Doc: `{"MetadataOptions": {"HttpTokens": "Required"}}`, Path: "config_override.MetadataOptions.HttpTokens", Says: `"Required" is not one of its values: it is spelled required`},
			{Doc: `{"MetadataOptions": {"HttpTokens": ""}}`, Path: "config_override.MetadataOptions.HttpTokens", Says: `"" is not one of its values: write optional or required`},
			{Doc: `{"InstanceMarketOptions": {"MarketType": "preemptible"}}`, Path: "config_override.InstanceMarketOptions.MarketType", Says: `"preemptible" is not one of its values: write capacity-block, interruptible-capacity-reservation, on-demand or spot`},
			{Doc: `{"CapacityReservationSpecification": {"CapacityReservationPreference": "targeted"}}`, Path: "config_override.CapacityReservationSpecification.CapacityReservationPreference", Says: `"targeted" is not one of its values: write capacity-reservations-only, none or open`},
			{Doc: `{"BlockDeviceMappings": [{"DeviceName": "/dev/sdb", "Ebs": {"VolumeType": "GP3"}}]}`, Path: "config_override.BlockDeviceMappings[0].Ebs.VolumeType", Says: `"GP3" is not one of its values: it is spelled gp3`},
			{Doc: `{"MaintenanceOptions": {"AutoRecovery": "enabled"}}`, Path: "config_override.MaintenanceOptions.AutoRecovery", Says: `"enabled" is not one of its values: write default or disabled`},
			{Doc: `{"TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "x"}]}]}`, Path: "config_override.TagSpecifications", Says: `marks the machine as Headroom's: write further tags into tags`},
			{Doc: `{"MaxCount": 2}`, Path: "config_override.MaxCount", Says: `is always 1: leave it out`},
		},
		Unsure: []providertest.WrongOverride{
			{Doc: `{"BlockDeviceMappings": [{"DeviceName": "/dev/sdb", "Ebs": {"VolumeType": "io9"}}]}`, Path: "config_override.BlockDeviceMappings[0].Ebs.VolumeType", Says: `"io9" is none of the values that this version knows, and is sent as it is: did you mean io1?`},
			{Doc: `{"instance_config": {"NetworkPerformanceOptions": {"BandwidthWeighting": "quantum"}}}`, Path: "config_override.instance_config.NetworkPerformanceOptions.BandwidthWeighting", Says: `"quantum" is none of the values that this version knows, and is sent as it is`},
		},
	})
}
