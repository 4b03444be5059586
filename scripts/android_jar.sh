#!/usr/bin/env bash
# android_jar.sh: prints the path of Android's class library (API 23, stubs without code), to compile
# against. Out of Debian's libandroid-23-java, fetched on the first call into $EDGESKIN_TOOLS (.tools).
set -euo pipefail
repository=$(cd "$(dirname "$0")/.." && pwd)
tools=${EDGESKIN_TOOLS:-$repository/.tools}/android
android() {
  "${PYTHON:-$repository/.venv/bin/python}" -m edgeskin.benchmarks.emulation.debian sid "$1" libandroid-23-java >&2
}
source "$repository/scripts/once.sh"
once "$tools" android
find "$tools" -name 'android.jar' -o -name 'android-23.jar' | head -1
