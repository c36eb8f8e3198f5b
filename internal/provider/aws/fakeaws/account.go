package fakeaws

import (
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"
)

// Account is what one access key sees.
type Account struct {
	ID     string
	server *Server

	instances map[string]*instance
	volumes   map[string]*object
	nics      map[string]*object
	spots     map[string]*object
	tokens    map[string]*launch // by client token and zone
	images    []map[string]any
	events    map[string][]any // scheduled events by instance
	roles     map[string]string
	zones     []*hostedZone

	calls   int64
	byName  map[string]int
	faults  []Fault
	expired bool
	lacking map[string]bool // actions
	limit   int             // instances
	soldOut map[string]string
	minted  int // credentials of roles

	lag    time.Duration // until a new instance is shown
	boot   time.Duration
	vanish time.Duration
}

// object is a volume, an interface or a spot request, as the API shows it.
type object map[string]any

type instance struct {
	id    string
	show  map[string]any
	asked map[string]any
	keep  map[string]bool // volumes and interfaces that outlive it

	shown, runs, gone, forgotten time.Time

	password, console string
}

// launch is what the service remembers of a client token.
type launch struct {
	asked string // the parameters
	id    string // empty: the launch failed
}

// Fault spoils one call.
type Fault struct {
	Name    string // operation; empty: any
	Status  int    // answered instead
	Code    string
	Message string
	Text    string // answered instead, as a proxy would
	Header  map[string]string
	Lose    bool            // the call takes effect, and its answer is a broken connection
	Hang    <-chan struct{} // the call waits for it, without an effect
	After   int             // calls that fit are let through before it
}

func newAccount(s *Server, id string) *Account {
	return &Account{
		ID: id, server: s, instances: map[string]*instance{}, volumes: map[string]*object{}, nics: map[string]*object{}, spots: map[string]*object{},
		tokens: map[string]*launch{}, images: publicImages(id), events: map[string][]any{}, roles: map[string]string{}, byName: map[string]int{}, lacking: map[string]bool{}, soldOut: map[string]string{},
		limit: 1000, boot: 30 * time.Millisecond, vanish: 20 * time.Millisecond, zones: []*hostedZone{newZone("Z0EXAMPLECOM", "example.com.", false)},
	}
}

// fault takes the next fault that fits a call.
func (a *Account) fault(c *call) (Fault, bool) {
	a.byName[c.name]++
	for i := range a.faults {
		f := &a.faults[i]
		if f.Name != "" && f.Name != c.name {
			continue
		}
		if f.After > 0 {
			f.After--
			continue
		}
		out := *f
		a.faults = append(a.faults[:i], a.faults[i+1:]...)
		return out, true
	}
	return Fault{}, false
}

func state(name string) map[string]any {
	code := map[string]int{"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}[name]
	return map[string]any{"Code": code, "Name": name}
}

func (i *instance) state() string {
	s, _ := i.show["State"].(map[string]any)
	return textOf(s, "Name")
}

// tick lets time pass: instances boot, end, and are forgotten.
func (a *Account) tick() {
	now := time.Now()
	for id, i := range a.instances {
		if i.state() == "pending" && now.After(i.runs) {
			i.show["State"] = state("running")
		}
		if i.state() == "shutting-down" && now.After(i.gone) {
			a.end(i)
		}
		if !i.forgotten.IsZero() && now.After(i.forgotten) {
			delete(a.instances, id)
		}
	}
}

// end removes what an instance takes with it.
func (a *Account) end(i *instance) {
	i.show["State"] = state("terminated")
	i.forgotten = time.Now().Add(time.Hour)
	for id, v := range a.volumes {
		for _, at := range listOf(*v, "Attachments") {
			if textOf(at, "InstanceId") == i.id && at["DeleteOnTermination"] == true {
				delete(a.volumes, id)
			} else if textOf(at, "InstanceId") == i.id {
				(*v)["Attachments"], (*v)["State"] = []any{}, "available"
			}
		}
	}
	for id, n := range a.nics {
		at, _ := (*n)["Attachment"].(map[string]any)
		if textOf(at, "InstanceId") != i.id {
			continue
		}
		if at["DeleteOnTermination"] == true {
			delete(a.nics, id)
			continue
		}
		delete(*n, "Attachment")
		(*n)["Status"] = "available"
	}
	for _, s := range a.spots {
		if textOf(*s, "InstanceId") == i.id {
			(*s)["State"] = "closed"
		}
	}
	i.show["NetworkInterfaces"], i.show["BlockDeviceMappings"] = []any{}, []any{}
	for _, key := range []string{"PrivateIpAddress", "PublicIpAddress", "SubnetId", "VpcId"} {
		delete(i.show, key)
	}
}

// need refuses when the key lacks an action.
func (a *Account) need(actions ...string) *refusal {
	for _, name := range actions {
		if a.lacking[name] {
			code, status := "UnauthorizedOperation", http.StatusForbidden
			if !strings.HasPrefix(name, "ec2:") && !strings.HasPrefix(name, "iam:") {
				code = "AccessDenied"
			}
			return refuse(status, code, "You are not authorized to perform this operation. User: arn:aws:iam::%s:user/headroom is not authorized to perform: %s on resource: arn:aws:ec2:eu-central-1:%s:instance/* because no identity-based policy allows the %s action. Encoded authorization failure message: %s", a.ID, name, a.ID, name, strings.Repeat("Xy9-_", 200))
		}
	}
	return nil
}

// route answers one call. The server is locked.
func (a *Account) route(c *call) (map[string]any, *refusal) {
	switch c.service {
	case "sts":
		return a.sts(c)
	case "route53":
		return a.route53(c)
	}
	actions := []string{"ec2:" + c.name}
	if c.name == "RunInstances" {
		if _, tagged := c.in["TagSpecifications"]; tagged {
			actions = append(actions, "ec2:CreateTags")
		}
		if _, profile := c.in["IamInstanceProfile"]; profile {
			actions = append(actions, "iam:PassRole")
		}
		if strings.HasPrefix(textOf(c.in, "ImageId"), "resolve:ssm:") {
			actions = append(actions, "ssm:GetParameters")
		}
	}
	if no := a.need(actions...); no != nil {
		return nil, no
	}
	handler := map[string]func(map[string]any) (map[string]any, *refusal){
		"RunInstances": a.run, "TerminateInstances": a.terminate, "DescribeInstances": a.describe, "DescribeInstanceStatus": a.status,
		"DescribeSpotInstanceRequests": a.describeSpots, "DescribeVolumes": a.describeVolumes, "DescribeNetworkInterfaces": a.describeNICs,
		"DeleteVolume": a.deleteVolume, "DeleteNetworkInterface": a.deleteNIC, "GetConsoleOutput": a.console, "GetPasswordData": a.passwordData,
		"DescribeImages": a.describeImages, "DescribeSubnets": a.describeSubnets, "DescribeSecurityGroups": a.describeGroups, "DescribeKeyPairs": a.describeKeys,
		"DescribeInstanceTypes": a.describeTypes, "DescribeInstanceTypeOfferings": a.describeOfferings, "DescribeRegions": a.describeRegions,
	}[c.name]
	if handler == nil {
		return nil, refuse(http.StatusBadRequest, "InvalidAction", "The action %s is not valid for this web service.", c.name)
	}
	if c.in["DryRun"] == true && c.name != "RunInstances" && !strings.HasPrefix(c.name, "D") {
		if _, no := handler(c.in); no != nil {
			return nil, no
		}
	}
	out, no := handler(c.in)
	if no == nil && c.in["DryRun"] == true {
		return nil, dryRun()
	}
	return out, no
}

func dryRun() *refusal {
	return refuse(http.StatusPreconditionFailed, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
}

func textOf(m map[string]any, key string) string { s, _ := m[key].(string); return s }

func listOf(m map[string]any, key string) []map[string]any {
	items, _ := m[key].([]any)
	var out []map[string]any
	for _, i := range items {
		if o, ok := i.(map[string]any); ok {
			out = append(out, o)
		}
	}
	return out
}

func textsOf(m map[string]any, key string) []string {
	items, _ := m[key].([]any)
	var out []string
	for _, i := range items {
		if s, ok := i.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// fits says that an object passes the filters of a call; get gives the values
// that a filter looks at. A filter that the fake does not know is an error, as
// the service's is.
func fits(in map[string]any, tags []map[string]any, get map[string][]string) (bool, *refusal) {
	for _, f := range listOf(in, "Filters") {
		name := textOf(f, "Name")
		have, known := get[name]
		switch {
		case strings.HasPrefix(name, "tag:"):
			have = nil
			for _, t := range tags {
				if "tag:"+textOf(t, "Key") == name {
					have = append(have, textOf(t, "Value"))
				}
			}
		case name == "tag-key":
			for _, t := range tags {
				have = append(have, textOf(t, "Key"))
			}
		case !known:
			return false, refuse(http.StatusBadRequest, "InvalidParameterValue", "The filter '%s' is invalid", name)
		}
		if !slices.ContainsFunc(textsOf(f, "Values"), func(want string) bool {
			return slices.ContainsFunc(have, func(got string) bool { return wildcard(want, got) })
		}) {
			return false, nil
		}
	}
	return true, nil
}

// wildcard matches * and ?, which a backslash makes plain.
func wildcard(pattern, text string) bool {
	ok, err := path.Match(strings.NewReplacer("[", "\\[").Replace(strings.ReplaceAll(pattern, "/", "\x00")), strings.ReplaceAll(text, "/", "\x00"))
	return err == nil && ok
}

// pageSize is less than what callers ask for, which the API may do.
const pageSize = 50

func paged[T any](in map[string]any, items []T) (out []T, next string, no *refusal) {
	size := pageSize
	if n, ok := in["MaxResults"].(int64); ok {
		if n < 5 {
			return nil, "", refuse(http.StatusBadRequest, "InvalidParameterValue", "Value ( %d ) for parameter maxResults is invalid. Expecting a value greater than 5.", n)
		}
		size = min(size, int(n))
	}
	at := 0
	if token := textOf(in, "NextToken"); token != "" {
		if _, err := fmt.Sscanf(token, "page-%d", &at); err != nil || at > len(items) {
			return nil, "", refuse(http.StatusBadRequest, "InvalidNextToken", "The token is not valid.")
		}
	}
	end := min(at+size, len(items))
	if end < len(items) {
		next = fmt.Sprintf("page-%d", end)
	}
	return items[at:end], next, nil
}

func listing(member string, items []any, next string) map[string]any {
	out := map[string]any{member: items}
	if next != "" {
		out["NextToken"] = next
	}
	return out
}
