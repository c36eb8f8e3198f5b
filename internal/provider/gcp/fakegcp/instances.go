package fakegcp

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000-07:00") }

// operate begins an operation.
func (p *Project) operate(kind, zone, target, request string) *operation {
	p.server.serial++
	o := &operation{
		name: fmt.Sprintf("operation-%d", p.server.serial), kind: kind, zone: zone, target: p.link("zones/%s/%s", zone, target), request: request,
		began: time.Now(), ends: time.Now().Add(p.took),
	}
	p.ops = append(p.ops, o)
	return o
}

func (p *Project) showOperation(o *operation) map[string]any {
	out := map[string]any{
		"kind": "compute#operation", "id": strconv.Itoa(1_000_000 + len(o.name)), "name": o.name, "operationType": o.kind, "zone": p.link("zones/%s", o.zone),
		"targetLink": o.target, "targetId": "4711", "user": "headroom@" + p.ID + ".iam.gserviceaccount.com", "insertTime": stamp(o.began), "startTime": stamp(o.began),
		"selfLink": p.link("zones/%s/operations/%s", o.zone, o.name), "status": "RUNNING", "progress": 0,
	}
	if o.request != "" {
		out["clientOperationId"] = o.request
	}
	if !time.Now().After(o.ends) {
		return out
	}
	out["status"], out["progress"], out["endTime"] = "DONE", 100, stamp(o.ends)
	if o.code != "" {
		out["error"] = map[string]any{"errors": []any{map[string]any{"code": o.code, "message": o.message}}}
		out["httpErrorStatusCode"], out["httpErrorMessage"] = 503, "SERVICE UNAVAILABLE"
	}
	return out
}

// waitsFor says that a call waits at the service's side, and until when.
func (p *Project) waitsFor(r *http.Request) (bool, <-chan time.Time) {
	rest, found := strings.CutSuffix(r.URL.Path, "/wait")
	if !found {
		return false, nil
	}
	p.server.mu.Lock()
	defer p.server.mu.Unlock()
	for _, o := range p.ops {
		if o.name == rest[strings.LastIndex(rest, "/")+1:] {
			return true, time.After(time.Until(o.ends) + time.Millisecond)
		}
	}
	return false, nil
}

func (p *Project) operationCall(r *http.Request, zone string, parts []string) reply {
	if len(parts) == 0 {
		if refusal, ok := p.need("zones/"+zone, "compute.zoneOperations.list"); !ok {
			return refusal
		}
		fits, valid := filter(r.URL.Query().Get("filter"))
		if !valid {
			return fault(http.StatusBadRequest, "invalid", "Invalid value for field 'filter'.")
		}
		var list []any
		for _, o := range p.ops {
			if shown := p.showOperation(o); o.zone == zone && fits(shown) {
				list = append(list, shown)
			}
		}
		part, next, _ := paged(r, list)
		out := map[string]any{"kind": "compute#operationList", "id": "projects/" + p.ID + "/zones/" + zone + "/operations", "selfLink": p.link("zones/%s/operations", zone)}
		if len(part) > 0 {
			out["items"] = part
		}
		if next != "" {
			out["nextPageToken"] = next
		}
		return ok(out)
	}
	if refusal, ok := p.need("zones/"+zone+"/operations/"+parts[0], "compute.zoneOperations.get"); !ok {
		return refusal
	}
	for _, o := range p.ops {
		if o.name == parts[0] && o.zone == zone {
			return ok(p.showOperation(o))
		}
	}
	return absent("projects/" + p.ID + "/zones/" + zone + "/operations/" + parts[0])
}

func (p *Project) instanceCall(r *http.Request, zone string, parts []string, body []byte) reply {
	if len(parts) == 0 && r.Method == http.MethodPost {
		return p.insert(r, zone, body)
	}
	if len(parts) == 0 || !slices.Contains(zones, zone) {
		return fault(http.StatusBadRequest, "invalid", "Invalid value for field 'zone': '%s'. Unknown zone.", zone)
	}
	key, resource := zone+"/"+parts[0], "zones/"+zone+"/instances/"+parts[0]
	i := p.instances[key]
	permission := "compute.instances.get"
	switch {
	case r.Method == http.MethodDelete:
		permission = "compute.instances.delete"
	case len(parts) == 2:
		permission = "compute.instances.getSerialPortOutput"
	}
	if refusal, ok := p.need(resource, permission); !ok {
		return refusal
	}
	switch {
	case i == nil:
		return absent("projects/" + p.ID + "/" + resource)
	case len(parts) == 2:
		start, _ := strconv.Atoi(r.URL.Query().Get("start"))
		text := "SeaBIOS (version 1.8.2)\nstartup-script: words of the script\nlogin: "
		if start < 0 {
			text = text[max(0, len(text)+start):]
		}
		return ok(map[string]any{"kind": "compute#serialPortOutput", "contents": text, "start": "0", "next": strconv.Itoa(len(text)), "selfLink": p.link("%s/serialPort", resource)})
	case r.Method == http.MethodDelete && i.asked["deletionProtection"] == true:
		return fault(http.StatusBadRequest, "invalid", "Invalid resource usage: 'Resource cannot be deleted if it's protected against deletion.'.")
	case r.Method == http.MethodDelete && !i.gone.IsZero():
		return fault(http.StatusBadRequest, "resourceNotReady", "The resource 'projects/%s/%s' is not ready", p.ID, resource)
	case r.Method == http.MethodDelete:
		i.gone = time.Now().Add(p.vanish)
		i.show["status"] = "STOPPING"
		o := p.operate("delete", zone, "instances/"+parts[0], "")
		return ok(p.showOperation(o))
	}
	return ok(i.show)
}

var (
	typePath   = regexp.MustCompile(`^projects/([^/]+)/zones/([^/]+)/machineTypes/([^/]+)$`)
	diskPath   = regexp.MustCompile(`^projects/([^/]+)/zones/([^/]+)/diskTypes/([^/]+)$`)
	gpuPath    = regexp.MustCompile(`^projects/([^/]+)/zones/([^/]+)/acceleratorTypes/([^/]+)$`)
	subnetPath = regexp.MustCompile(`^projects/([^/]+)/regions/([^/]+)/subnetworks/([^/]+)$`)
	uuidRule   = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
)

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

func (p *Project) insert(r *http.Request, zone string, body []byte) reply {
	var in map[string]any
	if json.Unmarshal(body, &in) != nil {
		return fault(http.StatusBadRequest, "parseError", "This API does not support parsing form-encoded input.")
	}
	name, request := textOf(in, "name"), r.URL.Query().Get("requestId")
	resource := "zones/" + zone + "/instances/" + name
	if !uuidRule.MatchString(request) {
		return fault(http.StatusBadRequest, "invalid", "Invalid value for field 'requestId': '%s'. Must be a valid UUID.", request)
	}
	for _, o := range p.ops {
		if o.request == request {
			return ok(p.showOperation(o)) // the second call is ignored
		}
	}
	if refusal, ok := p.need(resource, p.needed(in)...); !ok {
		return refusal
	}
	if refusal, bad := p.badReference(zone, in); bad {
		return refusal
	}
	machineType := typePath.FindStringSubmatch(textOf(in, "machineType"))[3]
	switch {
	case p.instances[zone+"/"+name] != nil:
		return fault(http.StatusConflict, "alreadyExists", "The resource 'projects/%s/%s' already exists", p.ID, resource)
	case len(p.instances) >= p.limit:
		return fault(http.StatusForbidden, "quotaExceeded", "Quota 'INSTANCES' exceeded.  Limit: %d.0 in region europe-west3.", p.limit)
	}
	o := p.operate("insert", zone, "instances/"+name, request)
	if code := p.soldOut[machineType+"@"+zone]; code != "" {
		o.code = code
		//nolint:misspell // the service's own words
		o.message = fmt.Sprintf("The zone 'projects/%s/zones/%s' does not have enough resources available to fulfill the request.  Try a different zone, or try again later.", p.ID, zone)
		if strings.HasPrefix(code, "QUOTA") {
			o.message = "Quota 'CPUS' exceeded.  Limit: 24.0 in region europe-west3."
		}
		return ok(p.showOperation(o))
	}
	p.build(zone, name, in)
	return ok(p.showOperation(o))
}

// needed are the permissions of an insert.
func (p *Project) needed(in map[string]any) []string {
	out := []string{"compute.instances.create", "compute.disks.create", "compute.instances.setLabels", "compute.disks.setLabels", "compute.subnetworks.use"}
	for field, permission := range map[string]string{"metadata": "compute.instances.setMetadata", "tags": "compute.instances.setTags", "serviceAccounts": "compute.instances.setServiceAccount"} {
		if in[field] != nil {
			out = append(out, permission)
		}
	}
	for _, n := range listOf(in, "networkInterfaces") {
		if len(listOf(n, "accessConfigs")) > 0 {
			out = append(out, "compute.subnetworks.useExternalIp")
		}
	}
	slices.Sort(out)
	return out
}

// badReference refuses what does not exist, as the service words it.
func (p *Project) badReference(zone string, in map[string]any) (reply, bool) {
	invalid := func(field, value, why string) (reply, bool) {
		return fault(http.StatusBadRequest, "invalid", "Invalid value for field 'resource.%s': '%s'. %s", field, value, why), true
	}
	if !slices.Contains(zones, zone) {
		return fault(http.StatusBadRequest, "invalid", "Invalid value for field 'zone': '%s'. Unknown zone.", zone), true
	}
	machine := textOf(in, "machineType")
	m := typePath.FindStringSubmatch(machine)
	if m == nil || m[2] != zone {
		return invalid("machineType", machine, "The URL is malformed.")
	}
	if !slices.Contains(typesOf(zone), m[3]) {
		return invalid("machineType", machine, fmt.Sprintf("Machine type with name '%s' does not exist in zone '%s'.", m[3], zone))
	}
	disks := listOf(in, "disks")
	if len(disks) == 0 || disks[0]["boot"] != true {
		return invalid("disks", "", "At least one boot disk is needed.")
	}
	for i, d := range disks {
		params, _ := d["initializeParams"].(map[string]any)
		kind := diskPath.FindStringSubmatch(textOf(params, "diskType"))
		if i == 0 && (kind == nil || kind[2] != zone || !slices.Contains(diskTypes, kind[3])) {
			return absent(textOf(params, "diskType")), true
		}
		image := textOf(params, "sourceImage")
		if i == 0 && findImage(p.ID, image) == nil {
			return absent(image), true
		}
	}
	nics := listOf(in, "networkInterfaces")
	if len(nics) == 0 {
		return invalid("networkInterfaces", "", "At least one network interface is required.")
	}
	subnet := subnetPath.FindStringSubmatch(textOf(nics[0], "subnetwork"))
	if subnet == nil || subnet[2] != "europe-west3" || subnet[3] != "desktops" {
		return absent(textOf(nics[0], "subnetwork")), true
	}
	scheduling, _ := in["scheduling"].(map[string]any)
	gpus := listOf(in, "guestAccelerators")
	for _, g := range gpus {
		kind := gpuPath.FindStringSubmatch(textOf(g, "acceleratorType"))
		if kind == nil || kind[2] != zone || kind[3] != "nvidia-tesla-t4" {
			return absent(textOf(g, "acceleratorType")), true
		}
	}
	if len(gpus) > 0 && textOf(scheduling, "onHostMaintenance") != "TERMINATE" {
		return invalid("scheduling.onHostMaintenance", "MIGRATE", "Instances with guest accelerators do not support live migration.")
	}
	metadata, _ := in["metadata"].(map[string]any)
	seen := map[string]bool{}
	for _, item := range listOf(metadata, "items") {
		key := textOf(item, "key")
		if len(textOf(item, "value")) > 256<<10 || seen[key] {
			return invalid("metadata.items", key, "The value is too large, or the key is given twice.")
		}
		seen[key] = true
	}
	labels, _ := in["labels"].(map[string]any)
	for key, value := range labels {
		text, _ := value.(string)
		if !regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`).MatchString(key) || !regexp.MustCompile(`^[a-z0-9_-]{0,63}$`).MatchString(text) {
			return invalid("labels", text, "Label values can only contain lowercase letters, numbers, dashes and underscores.")
		}
	}
	return reply{}, false
}

// build makes an instance and its disks.
func (p *Project) build(zone, name string, in map[string]any) {
	show := map[string]any{}
	for key, value := range in {
		show[key] = value
	}
	p.server.serial++
	now := time.Now()
	self := p.link("zones/%s/instances/%s", zone, name)
	for key, value := range map[string]any{
		"kind": "compute#instance", "id": strconv.Itoa(7_000_000 + p.server.serial), "creationTimestamp": stamp(now), "status": "PROVISIONING", "selfLink": self,
		"zone": p.link("zones/%s", zone), "machineType": "https://www.googleapis.com/compute/v1/" + textOf(in, "machineType"),
	} {
		show[key] = value
	}
	var attached []any
	for n, d := range listOf(in, "disks") {
		params, _ := d["initializeParams"].(map[string]any)
		diskName := textOf(params, "diskName")
		if diskName == "" {
			diskName = name
			if n > 0 {
				diskName = fmt.Sprintf("%s-%d", name, n)
			}
		}
		labels, _ := params["labels"].(map[string]any)
		p.disks[zone+"/"+diskName] = &object{zone: zone, name: diskName, asked: d, show: map[string]any{
			"kind": "compute#disk", "name": diskName, "zone": p.link("zones/%s", zone), "status": "READY", "creationTimestamp": stamp(now), "users": []any{self},
			"labels": labels, "sizeGb": "10", "type": "https://www.googleapis.com/compute/v1/" + textOf(params, "diskType"),
		}}
		attached = append(attached, map[string]any{
			"kind": "compute#attachedDisk", "type": "PERSISTENT", "mode": "READ_WRITE", "boot": n == 0, "autoDelete": d["autoDelete"] == true,
			"source": p.link("zones/%s/disks/%s", zone, diskName), "deviceName": "persistent-disk-" + strconv.Itoa(n), "index": n, "diskSizeGb": "10",
		})
	}
	show["disks"] = attached
	var nics []any
	for n, nic := range listOf(in, "networkInterfaces") {
		out := map[string]any{"kind": "compute#networkInterface", "name": "nic" + strconv.Itoa(n), "networkIP": fmt.Sprintf("10.156.0.%d", 2+p.server.serial%250)}
		for key, value := range nic {
			out[key] = value
		}
		if len(listOf(nic, "accessConfigs")) > 0 {
			out["accessConfigs"] = []any{map[string]any{"kind": "compute#accessConfig", "type": "ONE_TO_ONE_NAT", "name": "External NAT", "natIP": "203.0.113.7", "networkTier": "PREMIUM"}}
		}
		nics = append(nics, out)
	}
	show["networkInterfaces"] = nics
	p.instances[zone+"/"+name] = &object{zone: zone, name: name, show: show, asked: in, runs: now.Add(p.boot)}
}
