#!/usr/bin/env bash
# qemu.sh ARCHITECTURE: prints the path of qemu-ARCHITECTURE (user mode, 10 or newer), which runs
# another CPU's programs; $QEMU_CPU names the CPU. The system's own when it is new enough, else that
# of Debian 13, fetched on the first call into $EDGESKIN_TOOLS (.tools of the repository; 15 MB a program).
set -euo pipefail
name=qemu-$1
if found=$(command -v "$name") && [ "$("$found" --version | sed -n 's/.*version \([0-9]*\).*/\1/p')" -ge 10 ]; then
  echo "$found"
  exit
fi
repository=$(cd "$(dirname "$0")/.." && pwd)
tools=${EDGESKIN_TOOLS:-$repository/.tools}/qemu
if [ ! -x "$tools/$name" ]; then
  root=$(mktemp -d)
  trap 'rm -rf "$root"' EXIT
  "$repository/scripts/debian_root.sh" trixie "$root" qemu-user >&2
  mkdir -p "$tools"
  cp "$root/usr/bin/$name" "$tools/$name"
fi
echo "$tools/$name"
