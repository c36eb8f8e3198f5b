#!/usr/bin/env bash
# Installs what the OpenStack rig is made of from Debian's archive. It needs root
# and does nothing when everything is there.
#
# Two things are done for speed. Bytecode is not compiled at installation
# (several minutes for 300 Python packages): Python writes it at the first
# import. And of the daemons' own packages, which would make users, databases and
# units, only some files of configuration are wanted: they are unpacked into the
# user's cache directory.
set -euo pipefail

cache=${XDG_CACHE_HOME:-$HOME/.cache}/headroom/rig-openstack

# Only unpacked, for their api-paste.ini.
unpacked=(nova-common neutron-common cinder-common glance-common)
# Libraries and tools, installed.
installed=(
  python3-keystone python3-placement python3-glance python3-nova python3-neutron python3-cinder
  python3-pymysql python3-memcache uwsgi-core uwsgi-plugin-python3
  mariadb-server-core mariadb-client-core rabbitmq-server qemu-utils
)

# shellcheck disable=SC1091 # a file of the system, which is not ours to check
if [ "$(. /etc/os-release && echo "${ID:-}")" != debian ]; then
  echo "the OpenStack rig is made of Debian's packages, and this is no Debian" >&2
  exit 1
fi

missing=()
for package in "${installed[@]}"; do
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ] && [ -e "$cache/root/.complete" ]; then
  echo 'OpenStack packages: all there'
  exit 0
fi
if [ ${#missing[@]} -gt 0 ] && [ "$(id -u)" != 0 ]; then
  echo "missing: ${missing[*]}" >&2
  echo 'install them, or run this as root' >&2
  exit 1
fi

work=$(mktemp -d)
policy=/usr/sbin/policy-rc.d
ours=
cleanup() {
  rm -rf "$work"
  if [ -n "$ours" ]; then rm -f "$policy"; fi
}
trap cleanup EXIT

# No package may start a service of its own.
if [ ! -e "$policy" ]; then
  ours=yes
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
fi
for tool in py3compile py3clean; do
  printf '#!/bin/sh\nexit 0\n' >"$work/$tool"
  chmod +x "$work/$tool"
done

export DEBIAN_FRONTEND=noninteractive
get() {
  PATH=$work:$PATH nice apt-get -q -y -o DPkg::Lock::Timeout=900 -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-unsafe-io \
    -o Dpkg::Options::=--force-confold --no-install-recommends "$@"
}
fail() {
  tail -n 20 "$work/log" >&2
  exit 1
}
if [ ${#missing[@]} -gt 0 ]; then
  echo "OpenStack packages: installing ${missing[*]} and what they need (about five minutes)"
  get update >"$work/log" 2>&1 || true # an index that is old may still do
  get install "${missing[@]}" >>"$work/log" 2>&1 || fail
fi
if [ ! -e "$cache/root/.complete" ]; then
  mkdir -p "$cache/root" "$work/debs"
  (cd "$work/debs" && apt-get -q -o APT::Sandbox::User=root download "${unpacked[@]}") >>"$work/log" 2>&1 || fail
  for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$cache/root"; done
  touch "$cache/root/.complete"
fi
echo 'OpenStack packages: ready'
