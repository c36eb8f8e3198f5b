#!/usr/bin/env bash
# Ends what up.sh started, by the pids that it wrote down. --purge: the state
# goes too; the programs stay.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=${RIG_KUBE_DIR:-$here/../../../bin/rigs/kube}
if [ -x "$dir/programs/cluster" ]; then
  "$dir/programs/cluster" down --dir "$dir/state" "$@"
fi
