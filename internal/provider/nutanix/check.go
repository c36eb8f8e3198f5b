package nutanix

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	v3 "github.com/nutanix-cloud-native/prism-go-client/v3"

	"github.com/headroom-dev/headroom/internal/provider"
)

// right is a permission of Prism, as roles name it, and what it is needed for.
type right struct {
	name, need string
	only       func(Settings) bool // nil: always
}

// rights are the least that the driver's calls need. Prism names the
// permissions after operation and kind of object; the API description gives
// both for every call (x-ntnx-operations, x-ntnx-kind).
func rights() []right {
	categories := func(s Settings) bool { return len(s.Categories) > 0 }
	return []right{
		{"View_Virtual_Machine", "finding the VM to clone, and machines", nil},
		{"Create_Virtual_Machine", "making machines", nil},
		{"Delete_Virtual_Machine", "removing machines", nil},
		{"View_Cluster", "finding the cluster", func(s Settings) bool { return s.Cluster != "" }},
		{"View_Subnet", "finding the subnet", func(s Settings) bool { return s.Subnet != "" }},
		{"View_Project", "finding the project", func(s Settings) bool { return s.Project != "" }},
		{"Create_Or_Update_Name_Category", "making the category of marks", nil},
		{"Create_Or_Update_Value_Category", "marking machines", nil},
		{"View_Value_Category", "reading the marks of machines", nil},
		{"Delete_Value_Category", "removing the marks of machines", nil},
		{"Create_Category_Mapping", "putting machines into categories", nil},
		{"View_Category_Mapping", "seeing the categories of machines", categories},
	}
}

// Check asks Prism who the user is, what its version is, for each reference,
// and for the permissions of the user's roles. It makes nothing.
func (d *driver) Check(ctx context.Context) (provider.Report, error) {
	ctx = d.connection.connect(ctx)
	var c checks
	user, err := sdk.GetCurrentLoggedInUser(ctx)
	if err != nil {
		failed := d.failure(ctx, "logging in", err)
		if failed.Class != provider.NotFound && failed.Class != provider.Forbidden && failed.Class != provider.Unsupported {
			c.fail("Prism Central", failed, "")
			return provider.Report{Findings: c}, nil
		}
		c.warn("Prism Central", "reached, but it does not say who the user is: "+failed.Message, "nothing needs to be done where the rest is in order")
	} else {
		c.ok("Prism Central", fmt.Sprintf("reached at %s as %s", d.connection.host, fleetName(user)))
	}
	d.checkVersion(ctx, &c)
	d.checkReferences(ctx, &c)
	d.checkCategories(ctx, &c)
	if err := d.checkMarks(ctx); err != nil {
		c.fail("marks of machines", err, "give the user the right View_Value_Category")
	} else {
		c.ok("marks of machines", "the values of category "+markKey+" can be read")
	}
	d.checkRights(ctx, &c, user)
	return provider.Report{Findings: c}, nil
}

// checks collects findings.
type checks []provider.Finding

func (c *checks) ok(subject, message string) {
	*c = append(*c, provider.Finding{Subject: subject, Verdict: provider.VerdictOK, Message: message})
}

func (c *checks) warn(subject, message, remedy string) {
	*c = append(*c, provider.Finding{Subject: subject, Verdict: provider.VerdictWarning, Message: message, Remedy: remedy})
}

// fail makes a finding of an error; the remedy of its class stands in for one
// that is not given.
func (c *checks) fail(subject string, err error, remedy string) {
	message := err.Error()
	if e, ok := err.(*provider.Error); ok { //nolint:errorlint // errors of this driver are made here and not wrapped
		message = strings.TrimPrefix(strings.TrimSuffix(e.Message, remedyOf(e.Class)), subject+": ")
		switch {
		case e.Class == provider.Unauthenticated && strings.Contains(message, "certificate"):
			remedy = "correct ca_bundle or host"
		case e.Class == provider.Unauthenticated:
			remedy = "check username and password, or api_key, and that the user is not locked"
		case e.Class == provider.Unavailable:
			remedy = "check host and port, and that Prism Central is up"
		case e.Class == provider.Forbidden && remedy == "":
			remedy = "give the role of the user the right that is missing"
		}
	}
	if remedy == "" {
		remedy = "correct the setting"
	}
	*c = append(*c, provider.Finding{Subject: subject, Verdict: provider.VerdictFailed, Message: message, Remedy: remedy})
}

func fleetName(u *v3.UserIntentResponse) string {
	if u == nil || u.Status == nil || deref(u.Status.Name) == "" {
		return "a user without a name"
	}
	return deref(u.Status.Name)
}

// checkVersion says which Prism answers. Prism Element has an API of the same
// version, but no projects and no categories.
func (d *driver) checkVersion(ctx context.Context, c *checks) {
	const subject = "version"
	var central *v3.ClusterIntentResponse
	err := d.clusters(ctx, func(cl *v3.ClusterIntentResponse) {
		if cl.IsPrismCentral() {
			central = cl
		}
	})
	switch {
	case err != nil:
		c.warn(subject, "Prism does not list its clusters: "+err.Error(), "give the user the right View_Cluster; without it, cluster must be empty or a UUID")
	case central == nil:
		c.warn(subject, "none of the clusters that Prism shows is a Prism Central; Prism Element has no categories and cannot be used", "give the address of Prism Central as host, or let the user view it")
	case central.Status.Resources.Config.Build == nil || deref(central.Status.Resources.Config.Build.Version) == "":
		c.ok(subject, "Prism Central, which does not say its version, API v3")
	default:
		c.ok(subject, "Prism Central "+deref(central.Status.Resources.Config.Build.Version)+", API v3")
	}
}

// checkReferences looks each reference up anew, not in the memory.
func (d *driver) checkReferences(ctx context.Context, c *checks) {
	vm, err := d.candidate(ctx)
	if err != nil {
		c.fail("vm_candidate", err, "choose a virtual machine that exists; provider catalog lists them")
	} else {
		c.ok("vm_candidate", fmt.Sprintf("%s (%s), %d virtual CPUs, %d MiB", vm.name, vm.id, vm.sockets*vm.perSocket, vm.memoryMiB))
		if vm.power == "ON" {
			c.warn("vm_candidate power", "it is running: its clones begin with disks as after a power failure", "shut it down before machines are made from it")
		}
		if vm.volumeGroups > 0 {
			c.warn("vm_candidate disks", fmt.Sprintf("%d volume groups are attached to it: they are shared, not cloned", vm.volumeGroups), "use virtual machines with disks of their own")
		}
	}
	cluster, err := d.cluster(ctx, vm)
	switch {
	case err != nil:
		c.fail("cluster", err, "choose a cluster that exists; provider catalog lists them")
	case cluster != "":
		c.ok("cluster", shown(d.settings.Cluster, cluster))
	}
	if d.settings.Subnet != "" {
		if subnet, err := d.subnet(ctx, cluster); err != nil {
			c.fail("subnet", err, "choose a subnet that exists; provider catalog lists them")
		} else {
			c.ok("subnet", shown(d.settings.Subnet, subnet))
		}
	}
	if d.settings.Project != "" {
		if project, err := d.project(ctx); err != nil {
			c.fail("project", err, "choose a project that the user belongs to; provider catalog lists them")
		} else {
			c.ok("project", shown(d.settings.Project, project))
		}
	}
}

// shown is what a setting was found to mean.
func shown(setting, id string) string {
	switch setting {
	case id:
		return id
	case "":
		return id + ", that of the VM to clone"
	}
	return setting + " (" + id + ")"
}

func (d *driver) checkCategories(ctx context.Context, c *checks) {
	for _, key := range slices.Sorted(maps.Keys(d.settings.Categories)) {
		subject, value := "category "+key, d.settings.Categories[key]
		_, err := sdk.GetCategoryValue(ctx, url.PathEscape(key), url.PathEscape(value))
		switch failed := asFailure(ctx, d, "looking up category "+key+": "+value, err); {
		case failed == nil:
			c.ok(subject, value)
		case failed.Class == provider.NotFound:
			c.fail(subject, provider.Errorf(provider.Invalid, "Prism shows no value %q of category %q to this user", value, key),
				"make it in Prism Central under Administration, Categories, or correct categories."+key)
		default:
			c.fail(subject, failed, "")
		}
	}
}

func asFailure(ctx context.Context, d *driver, doing string, err error) *provider.Error {
	if err == nil {
		return nil
	}
	return d.failure(ctx, doing, err)
}

// checkMarks reads one mark. No category yet is as good.
func (d *driver) checkMarks(ctx context.Context) error {
	_, err := sdk.ListCategoryValues(ctx, markKey, &v3.CategoryListMetadata{Kind: ptr("category"), Offset: ptr(int64(0)), Length: ptr(int64(1))})
	if failed := asFailure(ctx, d, "listing the marks of machines", err); failed != nil && failed.Class != provider.NotFound {
		return failed
	}
	return nil
}

// checkRights goes from the user's access policies to their roles and on to the
// permissions of those.
func (d *driver) checkRights(ctx context.Context, c *checks, user *v3.UserIntentResponse) {
	const subject = "rights"
	ask := "compare the role of the user with the list on the page of the provider"
	if user == nil || user.Status == nil || user.Status.Resources == nil {
		c.warn(subject, "Prism does not say which roles the user has", ask)
		return
	}
	policies := user.Status.Resources.AccessControlPolicyReferenceList
	if len(policies) == 0 {
		c.warn(subject, "Prism shows no access policy of the user; those of local administrators and of groups are not shown", ask)
		return
	}
	granted := map[string]bool{}
	for _, p := range policies {
		policy, err := sdk.GetAccessControlPolicy(ctx, deref(p.UUID))
		if err != nil {
			c.warn(subject, "the user may not read its access policies: "+d.failure(ctx, "reading an access policy", err).Message, ask)
			return
		}
		if policy.Status == nil || policy.Status.Resources == nil || policy.Status.Resources.RoleReference == nil {
			continue
		}
		role, err := sdk.GetRole(ctx, deref(policy.Status.Resources.RoleReference.UUID))
		if err != nil {
			c.warn(subject, "the user may not read its role: "+d.failure(ctx, "reading a role", err).Message, ask)
			return
		}
		if role.Status == nil || role.Status.Resources == nil {
			continue
		}
		for _, permission := range role.Status.Resources.PermissionReferenceList {
			if deref(permission.Name) == "" {
				c.warn(subject, "Prism does not name the permissions of the user's role", ask)
				return
			}
			granted[deref(permission.Name)] = true
		}
	}
	var missing, have []string
	for _, r := range rights() {
		switch {
		case r.only != nil && !r.only(d.settings):
		case granted[r.name]:
			have = append(have, r.name)
		default:
			missing = append(missing, r.name)
			*c = append(*c, provider.Finding{
				Subject: "right " + r.name, Verdict: provider.VerdictFailed,
				Message: "no role of the user has it; it is needed for " + r.need,
				Remedy:  "add " + r.name + " to the role of the user in Prism Central under Administration, Roles",
			})
		}
	}
	if len(missing) == 0 {
		c.ok(subject, strings.Join(have, ", "))
	}
}
