package fakeaws

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"
)

// What tests look at and change, without the API.

func (a *Account) locked() func() {
	a.server.mu.Lock()
	a.tick()
	return a.server.mu.Unlock
}

// Spoil lets a later call fail.
func (a *Account) Spoil(f Fault) { defer a.locked()(); a.faults = append(a.faults, f) }

// Expire refuses the access key, and those of roles, or takes them again.
func (a *Account) Expire(yes bool) { defer a.locked()(); a.expired = yes }

// Lack takes actions away from the access key; none gives all back.
func (a *Account) Lack(actions ...string) {
	defer a.locked()()
	a.lacking = map[string]bool{}
	for _, name := range actions {
		a.lacking[name] = true
	}
}

// Limit sets how many instances the account may have.
func (a *Account) Limit(n int) { defer a.locked()(); a.limit = n }

// SellOut lets launches of an offer, TYPE@SUBNET or TYPE@SUBNET/spot, fail with
// the code.
func (a *Account) SellOut(offer, code string) { defer a.locked()(); a.soldOut[offer] = code }

// Lag sets how long new instances are not shown.
func (a *Account) Lag(d time.Duration) { defer a.locked()(); a.lag = d }

// Show lets a new instance be shown from now on.
func (a *Account) Show(id string) { defer a.locked()(); a.instances[id].shown = time.Time{} }

// ShowAll lets all new instances be shown from now on.
func (a *Account) ShowAll() {
	defer a.locked()()
	a.lag = 0
	for _, i := range a.instances {
		i.shown = time.Time{}
	}
}

// Vanish sets how long instances take to end.
func (a *Account) Vanish(d time.Duration) { defer a.locked()(); a.vanish = d }

// ForgetTerminated forgets terminated instances, as the service does after an hour.
func (a *Account) ForgetTerminated() {
	defer a.locked()()
	for id, i := range a.instances {
		if i.state() == "terminated" {
			delete(a.instances, id)
		}
	}
}

// Role lets the access key assume a role; the credentials of the role are those
// of the same account.
func (a *Account) Role(arn, externalID string) { defer a.locked()(); a.roles[arn] = externalID }

// Minted counts the credentials that roles were given.
func (a *Account) Minted() int { defer a.locked()(); return a.minted }

// EndRoles lets the credentials of roles that were given out end now.
func (a *Account) EndRoles() {
	defer a.locked()()
	for _, l := range a.server.accounts {
		if l.account == a && l.role != "" {
			l.ends = time.Now().Add(-time.Second)
		}
	}
}

// Calls counts the requests so far, without those to the token service.
func (a *Account) Calls() int64 { defer a.locked()(); return a.calls }

// CallsTo counts the requests to one operation.
func (a *Account) CallsTo(name string) int { defer a.locked()(); return a.byName[name] }

// Publish adds an image that is the newest of its name.
func (a *Account) Publish(id, name string) {
	defer a.locked()()
	a.images = append(a.images, imageOf(id, name, ubuntu, "x86_64", "/dev/sda1", "2026-11-24T00:00:00.000Z", 8))
}

// Plant makes an instance of somebody else's.
func (a *Account) Plant() (id string) {
	defer a.locked()()
	return a.build(map[string]any{"ImageId": "ami-000000000000000a0", "InstanceType": "m6i.large", "ClientToken": "somebody-elses"}, "subnet-0000000000000000a", false).id
}

func tagList(tags map[string]string) []any {
	var out []any
	for _, key := range sorted(tags) {
		out = append(out, map[string]any{"Key": key, "Value": tags[key]})
	}
	return out
}

// PlantVolume makes a volume that no instance uses.
func (a *Account) PlantVolume(tags map[string]string) {
	defer a.locked()()
	id := a.id("vol")
	a.volumes[id] = &object{"VolumeId": id, "State": "available", "CreateTime": time.Now(), "Size": int64(8), "VolumeType": "gp3", "Tags": tagList(tags), "Attachments": []any{}}
}

// PlantNIC makes a network interface that no instance uses.
func (a *Account) PlantNIC(tags map[string]string) {
	defer a.locked()()
	id := a.id("eni")
	a.nics[id] = &object{"NetworkInterfaceId": id, "Status": "available", "SubnetId": "subnet-0000000000000000a", "TagSet": tagList(tags)}
}

// Interrupt marks a spot instance for its end, as AWS does two minutes before.
func (a *Account) Interrupt(id string) {
	defer a.locked()()
	for _, s := range a.spots {
		if textOf(*s, "InstanceId") == id {
			(*s)["Status"] = map[string]any{"Code": "marked-for-termination", "Message": "Your Spot Instance is marked for termination.", "UpdateTime": time.Now()}
		}
	}
}

// TakeBack ends a spot instance for want of capacity.
func (a *Account) TakeBack(id string) {
	a.Fail(id, "Server.SpotInstanceTermination", "Server.SpotInstanceTermination: Instance terminated on spot price or capacity")
}

// Fail lets an instance end by itself.
func (a *Account) Fail(id, code, message string) {
	defer a.locked()()
	i := a.instances[id]
	i.show["StateReason"] = map[string]any{"Code": code, "Message": message}
	i.show["State"], i.gone = state("shutting-down"), time.Now().Add(a.vanish)
}

// GiveUp begins to end an instance for want of capacity; the end comes when it is
// terminated besides.
func (a *Account) GiveUp(id string) {
	a.Fail(id, "Server.InsufficientInstanceCapacity", "Server.InsufficientInstanceCapacity: There was insufficient capacity available to satisfy the launch request.")
	defer a.locked()()
	a.instances[id].gone = time.Now().Add(time.Hour)
}

// Addresses are those by which an instance is reached, public ones first.
func (a *Account) Addresses(id string) []string {
	defer a.locked()()
	i := a.instances[id]
	var out []string
	for _, key := range []string{"PublicIpAddress", "PrivateIpAddress"} {
		if text := textOf(i.show, key); text != "" {
			out = append(out, text)
		}
	}
	return out
}

// Write lets an instance write to its console.
func (a *Account) Write(id, text string) { defer a.locked()(); a.instances[id].console += text }

// Stop stops an instance.
func (a *Account) Stop(id string) {
	defer a.locked()()
	a.instances[id].show["State"] = state("stopped")
	a.instances[id].show["StateReason"] = map[string]any{"Code": "Client.InstanceInitiatedShutdown", "Message": "Client.InstanceInitiatedShutdown: Instance initiated shutdown"}
}

// Schedule announces an event for an instance.
func (a *Account) Schedule(id, code, description string, notBefore time.Time) {
	defer a.locked()()
	a.events[id] = []any{map[string]any{"Code": code, "Description": description, "NotBefore": notBefore}}
}

// Protect switches the protection of an instance from being terminated.
func (a *Account) Protect(id string, on bool) {
	defer a.locked()()
	a.instances[id].asked["DisableApiTermination"] = on
}

// MakePassword lets a Windows instance make a password, encrypted for the key.
func (a *Account) MakePassword(id, password string, key *rsa.PublicKey) error {
	sealed, err := rsa.EncryptPKCS1v15(rand.Reader, key, []byte(password)) //nolint:staticcheck // it is what EC2 encrypts with
	if err != nil {
		return err
	}
	defer a.locked()()
	a.instances[id].password = "\r\n" + base64.StdEncoding.EncodeToString(sealed) + "\r\n"
	return nil
}

// Asked is the request with which an instance was made; nil when there is none
// that lives.
func (a *Account) Asked(id string) map[string]any {
	defer a.locked()()
	if i := a.instances[id]; i != nil && i.state() != "terminated" {
		return i.asked
	}
	return nil
}

// UserData is what an instance reads as its user data.
func (a *Account) UserData(id string) []byte {
	text, err := base64.StdEncoding.DecodeString(textOf(a.Asked(id), "UserData"))
	if err != nil {
		return nil
	}
	return text
}

// Tags gives the tags of every object that is there.
func (a *Account) Tags() map[string]map[string]string {
	defer a.locked()()
	out := map[string]map[string]string{}
	add := func(name string, list []map[string]any) {
		out[name] = map[string]string{}
		for _, t := range list {
			out[name][textOf(t, "Key")] = textOf(t, "Value")
		}
	}
	for id, i := range a.instances {
		if i.state() != "terminated" {
			add(id, listOf(i.show, "Tags"))
		}
	}
	for id, v := range a.volumes {
		add(id, listOf(*v, "Tags"))
	}
	for id, n := range a.nics {
		add(id, listOf(*n, "TagSet"))
	}
	for id, s := range a.spots {
		if textOf(*s, "State") == "active" {
			add(id, listOf(*s, "Tags"))
		}
	}
	return out
}

// Instances counts the instances that are not terminated.
func (a *Account) Instances() int { defer a.locked()(); return a.running() }

// Objects names everything that is there and costs money.
func (a *Account) Objects() []string { return sorted(a.Tags()) }

// Records lists the DNS records of a hosted zone as text, without those that
// every zone has.
func (a *Account) Records(zone string) []string {
	defer a.locked()()
	var out []string
	for _, z := range a.zones {
		for _, s := range z.sets {
			if z.id == zone && s.kind != "NS" && s.kind != "SOA" {
				out = append(out, fmt.Sprintf("%s %s %d %s", s.name, s.kind, s.ttl, strings.Join(s.values, ",")))
			}
		}
	}
	slices.Sort(out)
	return out
}

// AddRecords puts a record set there as somebody else would.
func (a *Account) AddRecords(zone, name, kind string, ttl int64, values ...string) {
	defer a.locked()()
	for _, z := range a.zones {
		if z.id == zone {
			z.sets = append(z.sets, recordSet{name: name, kind: kind, ttl: ttl, values: values})
		}
	}
}

// AddZone makes a further hosted zone.
func (a *Account) AddZone(id, name string, private bool) {
	defer a.locked()()
	a.zones = append(a.zones, newZone(id, name, private))
}
