package azure

import (
	"reflect"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"

	"github.com/headroom-dev/headroom/internal/provider/providertest"
)

// TestEnumerations: each list of values that an override can meet is checked.
func TestEnumerations(t *testing.T) {
	t.Parallel()
	n := providertest.Enumerated(t, func(typ reflect.Type) bool { return len(enumerations[typ]) > 0 }, []reflect.Type{
		reflect.TypeFor[armcompute.VirtualMachineInstanceView](), reflect.TypeFor[armcompute.VirtualMachineExtension](), reflect.TypeFor[armcompute.SystemData](), // only read
		reflect.TypeFor[armcompute.VirtualMachineSizeTypes](), // vm_size chooses
	}, reflect.TypeFor[armcompute.VirtualMachine]())
	if n != len(enumerations) {
		t.Errorf("an override can meet %d lists, %d are known", n, len(enumerations))
	}
}
