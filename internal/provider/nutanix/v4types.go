package nutanix

import (
	"slices"
	"time"
)

// The parts of the v4 API's objects that the driver reads and writes. The tests
// hold what is written, and what their fake answers, against the vendor's
// models.

// kind4 is the type of an object, which requests must name.
type kind4 struct {
	Type string `json:"$objectType,omitempty"`
}

func ahv(name string) kind4 { return kind4{"vmm.v4.ahv.config." + name} }

// id4 is a reference to an object in an answer.
type id4 struct {
	ExtID string `json:"extId"`
}

type reference4 struct {
	kind4
	ExtID string `json:"extId"`
}

type category4 struct {
	kind4
	ExtID       string `json:"extId,omitempty"`
	Key         string `json:"key"`
	Value       string `json:"value"`
	Description string `json:"description,omitempty"`
}

type address4 struct {
	Value string `json:"value"`
}

type vm4 struct {
	ExtID       string    `json:"extId"`
	Name        string    `json:"name"`
	Power       string    `json:"powerState"`
	Categories  []id4     `json:"categories"`
	Cluster     id4       `json:"cluster"`
	Created     time.Time `json:"createTime"`
	Sockets     int64     `json:"numSockets"`
	PerSocket   int64     `json:"numCoresPerSocket"`
	Threads     int64     `json:"numThreadsPerCore"`
	MemoryBytes int64     `json:"memorySizeBytes"`
	NICs        []struct {
		Network network4 `json:"networkInfo"`    // of v4.0
		Newer   network4 `json:"nicNetworkInfo"` // of later versions
	} `json:"nics"`
}

type network4 struct {
	Config struct {
		Address address4 `json:"ipAddress"`
	} `json:"ipv4Config"`
	IPv4 struct {
		Learned []address4 `json:"learnedIpAddresses"`
	} `json:"ipv4Info"`
	IPv6 struct {
		Learned []address4 `json:"learnedIpv6Addresses"`
	} `json:"ipv6Info"`
}

type template4 struct {
	ExtID string `json:"extId"`
	Name  string `json:"templateName"`
}

type cluster4 struct {
	ExtID  string `json:"extId"`
	Name   string `json:"name"`
	Config struct {
		Functions []string `json:"clusterFunction"`
		Build     struct {
			Version string `json:"version"`
		} `json:"buildInfo"`
	} `json:"config"`
}

type subnet4 struct {
	ExtID    string   `json:"extId"`
	Name     string   `json:"name"`
	Cluster  string   `json:"clusterReference"`
	Clusters []string `json:"clusterReferenceList"`
}

// on says whether the subnet can be used on a cluster. One without clusters is
// an overlay, which is everywhere.
func (s subnet4) on(cluster string) bool {
	if cluster == "" || s.Cluster == "" && len(s.Clusters) == 0 || s.Cluster == cluster {
		return true
	}
	return slices.Contains(s.Clusters, cluster)
}

type appMessage4 struct {
	Message string `json:"message"`
	Code    string `json:"code"`
	Group   string `json:"errorGroup"`
}

type task4 struct {
	Status   string `json:"status"`
	Affected []struct {
		ExtID string `json:"extId"`
		Rel   string `json:"rel"`
	} `json:"entitiesAffected"`
	Errors []appMessage4 `json:"errorMessages"`
	Legacy string        `json:"legacyErrorMessage"`
}

// failed says that the task will do nothing any more.
func (t task4) failed() bool { return t.Status == "FAILED" || t.Status == "CANCELED" }

func (t task4) done() bool { return t.Status == "SUCCEEDED" }

// vms are the virtual machines that the task is about, the last named first: a
// clone names its source too.
func (t task4) vms() (ids []string) {
	for _, e := range slices.Backward(t.Affected) {
		if e.Rel == "vmm:ahv:config:vm" || e.Rel == "vmm:ahv:vm" {
			ids = append(ids, e.ExtID)
		}
	}
	return ids
}

func (t task4) messages() []message {
	all := messagesOf4(t.Errors)
	if len(all) == 0 && t.Legacy != "" {
		all = []message{{Message: t.Legacy}}
	}
	if len(all) == 0 {
		all = []message{{Message: "Prism gives no reason"}}
	}
	return all
}

// clone4 is what a clone, and a deployed template, get of their own.
type clone4 struct {
	kind4
	Name      string  `json:"name"`
	Sockets   int64   `json:"numSockets,omitempty"`
	PerSocket int64   `json:"numCoresPerSocket,omitempty"`
	Threads   int64   `json:"numThreadsPerCore,omitempty"`
	Memory    int64   `json:"memorySizeBytes,omitempty"`
	NICs      []nic4  `json:"nics,omitempty"`
	Guest     *guest4 `json:"guestCustomization,omitempty"`
}

type nic4 struct {
	kind4
	Backing backing4    `json:"backingInfo"`
	Network newNetwork4 `json:"networkInfo"`
}

type backing4 struct {
	kind4
	Connected bool `json:"isConnected"`
}

type newNetwork4 struct {
	kind4
	NICType string     `json:"nicType"`
	Subnet  reference4 `json:"subnet"`
}

type guest4 struct {
	kind4
	Discriminator string `json:"$configItemDiscriminator"`
	Config        any    `json:"config"` // cloudInit4 or sysprep4
}

type value4 struct {
	kind4
	Value string `json:"value"`
}

type cloudInit4 struct {
	kind4
	Source        string `json:"datasourceType"`
	Metadata      string `json:"metadata"`
	Discriminator string `json:"$cloudInitScriptItemDiscriminator"`
	Script        value4 `json:"cloudInitScript"`
}

type sysprep4 struct {
	kind4
	InstallType   string `json:"installType"`
	Discriminator string `json:"$sysprepScriptItemDiscriminator"`
	Script        value4 `json:"sysprepScript"`
}

type deployment4 struct {
	kind4
	Cluster   string            `json:"clusterReference"`
	VMs       int               `json:"numberOfVms"`
	Overrides map[string]clone4 `json:"overrideVmConfigMap"`
}

type associate4 struct {
	kind4
	Categories []reference4 `json:"categories"`
}
