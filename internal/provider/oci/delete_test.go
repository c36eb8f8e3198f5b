package oci_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/headroom-dev/headroom/internal/provider"
)

// TestOwnDeleteIsNoFailure: a young machine that we delete is not said to have
// failed.
func TestOwnDeleteIsNoFailure(t *testing.T) {
	t.Parallel()
	s, _ := tenancy(t)
	d := opened(t, s)
	i := created(t, d, "a")
	running(t, d, i.ID)
	if err := d.Delete(t.Context(), i.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		got, err := d.Get(t.Context(), i.ID)
		if err == nil && got.State == provider.StateFailed {
			t.Fatalf("%+v", got)
		}
		if provider.ClassOf(err) != provider.NotFound {
			return fmt.Sprintf("%+v, %v", got, err)
		}
		return ""
	})
}

// TestLostRightsAreNotGone: a policy that was taken away makes no machine pass
// for gone. The service answers as if nothing were there.
func TestLostRightsAreNotGone(t *testing.T) {
	t.Parallel()
	s, of := tenancy(t)
	d := opened(t, s)
	i := created(t, d, "a")
	running(t, d, i.ID)
	of.Lack("INSTANCE_READ")
	if _, err := d.Get(t.Context(), i.ID); provider.ClassOf(err) != provider.Forbidden {
		t.Errorf("get: %v", err)
	}
	for _, err := range d.List(t.Context(), request("a").Tags.Owner()) {
		if provider.ClassOf(err) != provider.Forbidden {
			t.Errorf("list: %v", err)
		}
	}
	of.Lack("INSTANCE_READ", "INSTANCE_DELETE")
	if err := d.Delete(t.Context(), i.ID); provider.ClassOf(err) != provider.Forbidden {
		t.Errorf("delete: %v", err)
	}
	for _, permission := range []string{"INSTANCE_DELETE", "VNIC_DELETE", "SUBNET_DETACH"} {
		of.Lack(permission)
		if err := d.Delete(t.Context(), i.ID); provider.ClassOf(err) != provider.Forbidden || !strings.Contains(err.Error(), "manage instances") {
			t.Errorf("delete without %s: %v", permission, err)
		}
	}
	for _, permission := range []string{"VNIC_ATTACHMENT_READ", "INSTANCE_INSPECT", "PRIVATE_IP_READ"} {
		of.Lack(permission)
		failed := false
		for _, err := range d.List(t.Context(), request("a").Tags.Owner()) {
			failed = provider.ClassOf(err) == provider.Forbidden && err != nil
		}
		if !failed {
			t.Errorf("without %s the listing is not refused", permission)
		}
	}
	of.Lack()
	if got := listed(t, d)[i.ID]; got.State != provider.StateRunning {
		t.Errorf("after all: %+v", got)
	}
	of.Purge(i.ID)
	for op, err := range map[string]error{"get": func() error { _, err := d.Get(t.Context(), i.ID); return err }(), "delete": d.Delete(t.Context(), i.ID)} {
		if provider.ClassOf(err) != provider.NotFound {
			t.Errorf("%s of what the service has forgotten: %v", op, err)
		}
	}
}

// TestRepeatedDelete, however the service refuses it.
func TestRepeatedDelete(t *testing.T) {
	t.Parallel()
	for _, is404 := range []bool{false, true} {
		s, of := tenancy(t)
		of.GoneIs404(is404)
		d := opened(t, s)
		i := created(t, d, "a")
		running(t, d, i.ID)
		for range 2 {
			if err := d.Delete(t.Context(), i.ID); err != nil && provider.ClassOf(err) != provider.NotFound {
				t.Errorf("%v: %v", is404, err)
			}
		}
		eventually(t, func() string {
			if err := d.Delete(t.Context(), i.ID); provider.ClassOf(err) != provider.NotFound {
				return fmt.Sprint(err)
			}
			return ""
		})
		if left := of.Objects(); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
}
