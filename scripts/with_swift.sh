#!/usr/bin/env bash
# with_swift.sh COMMAND... : runs a command where `swift` can be had, in the same folder.
# That is this machine when it has a swift; else a Debian 13 root with Swift 6, made on the first call
# under $EDGESKIN_TOOLS (.tools of the repository; 0.5 GB to fetch, 2 GB on disk, under a minute).
set -euo pipefail
command -v swift > /dev/null && exec "$@"

repository=$(cd "$(dirname "$0")/.." && pwd)
root=${EDGESKIN_TOOLS:-$repository/.tools}/swift
swift() {
  "${PYTHON:-$repository/.venv/bin/python}" -m edgeskin.benchmarks.emulation.debian \
    trixie "$1" swiftlang libc6-dev libstdc++-14-dev coreutils bash git >&2
  ln -s bash "$1/usr/bin/sh"  # for git
  mkdir -p "$1"/{dev,proc,tmp,etc/ld.so.conf.d}
  echo 'include /etc/ld.so.conf.d/*.conf' > "$1/etc/ld.so.conf"
  (cd "$1/usr/libexec/swift/lib" && rm -rf swift_static liblldb.* libsourcekitd* libLTO.*)  # a third of it
}
source "$repository/scripts/once.sh"
once "$root" swift
mkdir -p "$root$repository" "$root$PWD"
# A mount namespace of our own (and a user namespace for all but root): nothing is left behind.
[ "$(id -u)" = 0 ] && user=() || user=(--map-root-user)
# shellcheck disable=SC2016 # for the inner shell
exec unshare --mount "${user[@]}" sh -c '
  root=$1 repository=$2 folder=$3; shift 3
  mount --rbind /proc "$root/proc" && mount --rbind /dev "$root/dev" && mount --bind /tmp "$root/tmp" &&
    mount --rbind "$repository" "$root$repository" || exit 1
  exec chroot "$root" /usr/bin/env -C "$folder" PATH=/usr/libexec/swift/bin:/usr/bin:/bin HOME=/tmp \
    LD_LIBRARY_PATH=/usr/libexec/swift/lib/swift/linux "$@"
' sh "$root" "$repository" "$PWD" "$@"
