// Command virt-api is KubeVirt's own virt-api. It is a program of its own because its package
// initialisation costs seconds of CPU, which the other programs of the rig need not pay.
package main

import (
	klog "kubevirt.io/client-go/log"
	"kubevirt.io/kubevirt/pkg/service"
	virt_api "kubevirt.io/kubevirt/pkg/virt-api"
)

func main() {
	klog.InitializeLogging("virt-api")
	app := virt_api.NewVirtApi()
	service.Setup(app)
	app.Execute()
}
