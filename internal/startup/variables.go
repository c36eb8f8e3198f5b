package startup

// Variable is something that a script can have filled in.
type Variable struct {
	Name   string `json:"name"`
	About  string `json:"about"`
	Secret bool   `json:"secret,omitempty" doc:"Masked wherever a script is shown."`
	sample string
	never  string // why it has a value for no machine
}

const noDirectory = "no directory (Active Directory) can be configured, so that a machine does not join one by it"

// Variables lists everything that a script can name in braces. One that has no
// value for a machine renders as nothing.
func Variables() []Variable {
	return []Variable{
		{Name: "server_id", About: "id of the machine, made before the machine", sample: "01jexampleserver0000000000"},
		{Name: "server_hostname", About: "host name of the machine: at most 15 lower-case letters, digits and hyphens", sample: "hr-3dfcatyk7p2a"},
		{Name: "server_external_fqdn", About: "DNS name of the machine, when one is registered for it"},
		{Name: "controller_url", About: "base URL under which the machine reaches the controller", sample: "https://headroom.example.com"},
		{Name: "upstream_auth_address", About: "the same without its scheme: host, and port where it is not that of the scheme", sample: "headroom.example.com"},
		{Name: "registration_token", About: "token with which this machine's agent registers; works once and for this machine only", Secret: true, sample: "hrr_sample"},
		{Name: "manager_token", About: "the same as registration_token", Secret: true, sample: "hrr_sample"},
		{Name: "checkin_jwt", About: "token with which this machine reports its progress; works for 4 hours and for this machine only", Secret: true, sample: "hrc_sample"},
		{Name: "provider_name", About: "kind of the VM provider", sample: "some_cloud"},
		{Name: "nginx_cert_in", About: "tls_certificate of the autoscale config"},
		{Name: "nginx_key_in", About: "tls_key of the autoscale config", Secret: true},
		{Name: "connection_username", About: "connection_username of the autoscale config"},
		{Name: "connection_password", About: "connection_password of the autoscale config", Secret: true},
		{Name: "domain", About: "directory domain that the machine joins; empty, since no directory can be configured yet", never: noDirectory},
		{Name: "ad_join_credential", About: "one-time password for joining the domain; empty likewise", Secret: true, never: noDirectory},
		{Name: "ssh_key", About: "ssh_public_key of the provider's settings"},
		{Name: "agent_url", About: "where the machine fetches the agent for its system; a script that names it installs the agent itself", sample: "https://headroom.example.com/download/headroom-linux-amd64"},
		{Name: "agent_sha256", About: "SHA-256 of that file in hexadecimal", sample: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
	}
}

// neverFilled warns of the variables of a script that have no value for any
// machine, once for each. They are no mistake: a script that is used elsewhere
// too may ask whether they are empty.
func neverFilled(script string) (problems []Problem) {
	reasons := map[string]string{}
	for _, v := range Variables() {
		reasons[v.Name] = v.never
	}
	segments, _ := split(script)
	for _, s := range segments {
		if reason := reasons[s.variable]; reason != "" {
			problems = append(problems, Problem{Line: s.line, Column: s.column, Message: "{" + s.variable + "} is always empty: " + reason, Warning: true})
			delete(reasons, s.variable)
		}
	}
	return problems
}

// Samples are values for a preview.
func Samples() map[string]string {
	values := map[string]string{}
	for _, v := range Variables() {
		values[v.Name] = v.sample
	}
	return values
}

func names() []string {
	var all []string
	for _, v := range Variables() {
		all = append(all, v.Name)
	}
	return all
}
