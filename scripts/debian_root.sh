#!/usr/bin/env bash
# debian_root.sh SUITE FOLDER PACKAGE... : Debian packages of a suite and all they depend on, unpacked
# into FOLDER, beside this system and without touching it. PACKAGE- leaves a dependency out.
# Uses the mirror that apt is configured with, and Debian's keys. Needs no root.
set -euo pipefail
suite=$1 folder=$2
shift 2
# shellcheck disable=SC2016 # apt's own variables
mirror=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 'Created-By: Packages' | sed -n 's/^Debian //p' |
  grep -v security | head -1)
[ -n "$mirror" ] || { echo "debian_root.sh: apt has no Debian mirror here; apt-get update may help" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists/partial,archives/partial} "$folder"
: > "$work/status"
echo "deb [arch=$(dpkg --print-architecture) signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" \
  > "$work/sources.list"
cat > "$work/apt.conf" << CONF
Dir::Etc::SourceList "$work/sources.list"; Dir::Etc::SourceParts "-";
Dir::State "$work"; Dir::State::Lists "$work/lists"; Dir::State::Status "$work/status";
Dir::Cache "$work"; Dir::Cache::Archives "$work/archives";
APT::Install-Recommends "false"; Acquire::Languages "none"; APT::Sandbox::User "";
CONF
export APT_CONFIG=$work/apt.conf
apt-get -qq update
apt-get -qq -y --download-only install "$@"
mkdir -p "$folder"/usr/{bin,sbin,lib,lib64} "$folder"/{dev,proc,tmp,etc}
for name in bin sbin lib lib64; do [ -e "$folder/$name" ] || ln -s usr/$name "$folder/$name"; done
for package in "$work"/archives/*.deb; do
  dpkg-deb --fsys-tarfile "$package" | tar -x -C "$folder" --no-same-owner --keep-directory-symlink
done
