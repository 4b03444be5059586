#!/usr/bin/env bash
# android_jar.sh: prints the path of Android's class library (API 23, stubs without code), to compile
# against. Out of Debian's libandroid-23-java, fetched on the first call into $EDGESKIN_TOOLS (.tools).
set -euo pipefail
repository=$(cd "$(dirname "$0")/.." && pwd)
tools=${EDGESKIN_TOOLS:-$repository/.tools}/android
if [ ! -d "$tools" ]; then
  rm -rf "$tools.part"
  "${PYTHON:-$repository/.venv/bin/python}" -m edgeskin.benchmarks.emulation.debian sid "$tools.part" libandroid-23-java >&2
  mv "$tools.part" "$tools"
fi
find "$tools" -name 'android.jar' -o -name 'android-23.jar' | head -1
