#!/usr/bin/env bash
# Builds the rig and starts it; what runs already is left running. The last line
# printed is the administrator's kubeconfig.
#   RIG_KUBE_DIR  where the rig keeps its programs and its state; default: bin/rigs/kube of the repository
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=${RIG_KUBE_DIR:-$here/../../../bin/rigs/kube}
mkdir -p "$dir/programs"
dir=$(cd "$dir" && pwd)
# Without cgo, since KubeVirt's parts that need libvirt are not part of the rig.
# The versions are told at link time, as the projects' own builds do.
export CGO_ENABLED=0
flags="-s -w -X k8s.io/component-base/version.gitVersion=v1.34.3 -X kubevirt.io/client-go/version.gitVersion=v1.8.0"
(cd "$here" && nice go build -ldflags="$flags" -o "$dir/programs/" ./cmd/...)
exec "$dir/programs/cluster" up --dir "$dir/state" --crds "$here/crds"
