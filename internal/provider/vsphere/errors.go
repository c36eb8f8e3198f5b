package vsphere

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/headroom-dev/headroom/internal/provider"
)

// classes tells what vCenter's faults mean here, by their names in the API. A
// fault that is not listed is looked up by the kinds that it extends.
var classes = map[string]provider.Class{
	"ManagedObjectNotFound": provider.NotFound,

	"InvalidLogin":          provider.Unauthenticated,
	"NotAuthenticated":      provider.Unauthenticated,
	"NoPermission":          provider.Forbidden,
	"SecurityError":         provider.Forbidden,
	"InvalidGuestLogin":     provider.Unauthenticated,
	"GuestPermissionDenied": provider.Forbidden,

	// A resource pool or a licence is used up; another provider may have more.
	"InsufficientCpuResourcesFault":      provider.Quota,
	"InsufficientMemoryResourcesFault":   provider.Quota,
	"LicenseResourceUnavailable":         provider.Quota,
	"NotEnoughLicenses":                  provider.Quota,
	"InsufficientResourcesFault":         provider.NoCapacity,
	"NoDiskSpace":                        provider.NoCapacity,
	"InsufficientDisks":                  provider.NoCapacity,
	"NoCompatibleHost":                   provider.NoCapacity,
	"NoCompatibleDatastore":              provider.NoCapacity,
	"NoActiveHostInCluster":              provider.NoCapacity,
	"NoHost":                             provider.NoCapacity,
	"StorageDrsCannotMoveVmInUserFolder": provider.Invalid,

	"DuplicateName":     provider.Conflict,
	"AlreadyExists":     provider.Conflict,
	"ConcurrentAccess":  provider.Conflict,
	"TaskInProgress":    provider.Conflict,
	"InvalidPowerState": provider.Conflict,
	"ResourceInUse":     provider.Conflict,
	"InvalidState":      provider.Conflict,
	"FileLocked":        provider.Conflict,
	"FileAlreadyExists": provider.Conflict,
	"RequestCanceled":   provider.Conflict,

	"HostCommunication":          provider.Unavailable,
	"HostNotConnected":           provider.Unavailable,
	"HostNotReachable":           provider.Unavailable,
	"InaccessibleDatastore":      provider.Unavailable,
	"DatastoreNotWritableOnHost": provider.Unavailable,
	"ServerBusy":                 provider.Unavailable,
	"SystemError":                provider.Unavailable,
	"SystemErrorFault":           provider.Unavailable,
	"Timedout":                   provider.Unavailable,
	"CannotAccessFile":           provider.Unavailable,
	"GuestOperationsUnavailable": provider.Unavailable,

	"InvalidArgument":     provider.Invalid,
	"InvalidRequest":      provider.Invalid,
	"InvalidName":         provider.Invalid,
	"InvalidFolder":       provider.Invalid,
	"InvalidDatastore":    provider.Invalid,
	"InvalidProperty":     provider.Invalid,
	"VmConfigFault":       provider.Invalid,
	"VmToolsUpgradeFault": provider.Invalid,
	"CustomizationFault":  provider.Invalid,
	"MigrationFault":      provider.Invalid,
	"FileNotFound":        provider.Invalid,
	"SnapshotFault":       provider.Invalid,

	"NotSupported":      provider.Unsupported,
	"NotImplemented":    provider.Unsupported,
	"MethodNotFound":    provider.Unsupported,
	"MethodDisabled":    provider.Unsupported,
	"RestrictedVersion": provider.Unsupported,
}

// faultOf is the fault of an error of govmomi; nil when it has none.
func faultOf(err error) types.BaseMethodFault {
	var f interface{ Fault() types.BaseMethodFault }
	if errors.As(err, &f) {
		return f.Fault()
	}
	return nil
}

// faultName is the name of a fault in the API.
func faultName(f types.BaseMethodFault) string {
	t := reflect.TypeOf(f)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Name()
}

func isFault(err error, names ...string) bool {
	f := faultOf(err)
	if f == nil {
		return false
	}
	name := faultName(f)
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

// classOf looks up the name of a fault, and then those of the kinds that it
// extends.
func classOf(f types.BaseMethodFault) provider.Class {
	t := reflect.TypeOf(f)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	for {
		if c, ok := classes[t.Name()]; ok {
			return c
		}
		if t.Kind() != reflect.Struct || t.NumField() == 0 || !t.Field(0).Anonymous {
			return provider.Unknown
		}
		t = t.Field(0).Type
	}
}

// failure turns what went wrong into an error for people. Errors that are
// classified already keep their class.
func failure(doing string, err error) error {
	if err == nil {
		return nil
	}
	var done *provider.Error
	if errors.As(err, &done) {
		return &provider.Error{Class: done.Class, Message: doing + ": " + done.Message, After: done.After, Cause: err}
	}
	if f := faultOf(err); f != nil {
		return &provider.Error{Class: classOf(f), Message: doing + ": " + describe(f, err.Error()), Cause: err}
	}
	if t := provider.TransportError(err); t != nil {
		return &provider.Error{Class: t.Class, Message: doing + ": " + t.Message, Cause: err}
	}
	if errors.Is(err, context.Canceled) {
		return &provider.Error{Class: provider.Unavailable, Message: doing + ": the call was given up", Cause: err}
	}
	return &provider.Error{Class: provider.Unknown, Message: doing + ": " + err.Error(), Cause: err}
}

// taskFailure is the error of a task that has failed.
func taskFailure(doing string, e *types.LocalizedMethodFault) error {
	if e == nil || e.Fault == nil {
		return provider.Errorf(provider.Unknown, "%s: vCenter gives no reason", doing)
	}
	return provider.Errorf(classOf(e.Fault), "%s: %s", doing, describe(e.Fault, e.LocalizedMessage))
}

// describe says what a fault means, with vCenter's own words.
func describe(f types.BaseMethodFault, words string) string {
	words = strings.TrimPrefix(words, "ServerFaultCode: ")
	name := faultName(f)
	remedy := ""
	switch f := f.(type) {
	case *types.NoPermission:
		on := "the object"
		if f.Object != nil {
			on = f.Object.Type + " " + f.Object.Value
		}
		remedy = fmt.Sprintf("the account lacks the privilege %s on %s; run provider check to see all that are missing", f.PrivilegeId, on)
	case *types.InvalidLogin:
		remedy = "vCenter does not accept the user name or the password"
	case *types.NotAuthenticated:
		remedy = "the session is not valid any more"
	case *types.InvalidArgument:
		if f.InvalidProperty != "" {
			remedy = "vCenter does not accept " + f.InvalidProperty
		}
	case *types.DuplicateName:
		remedy = "the name " + f.Name + " is taken in the folder"
	case *types.NoDiskSpace:
		remedy = "datastore " + f.Datastore + " is full"
	case *types.InvalidGuestLogin:
		remedy = "the guest does not accept guest_username and guest_password"
	}
	switch {
	case remedy == "" && (words == "" || words == name || words == "*types."+name):
		return name
	case remedy == "":
		return words + " (" + name + ")"
	}
	return remedy + " (" + name + ")"
}

// classified makes answers that are no SOAP answers errors with a class, which
// govmomi would report as bare text.
type classified struct {
	next http.RoundTripper
	now  func() time.Time
}

// RoundTrip lets the answers through that a SOAP client understands: success,
// and the status of a fault.
func (c classified) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.next.RoundTrip(r)
	if err != nil || resp.StatusCode < 300 {
		return resp, err
	}
	if resp.StatusCode == http.StatusInternalServerError && r.Header.Get("SOAPAction") != "" {
		return resp, nil // SOAP sends its faults with this status
	}
	_ = resp.Body.Close() // nothing in it is for us
	e := provider.Errorf(provider.StatusClass(resp.StatusCode), "the server answered %s to %s %s: is it a vCenter server, and is it up?", resp.Status, r.Method, r.URL.Path)
	if e.Class == provider.NotFound {
		e.Class = provider.Invalid // a path that vCenter always has, not an object
	}
	e.After = provider.RetryAfterHeader(resp.Header, c.now())
	return nil, e
}
