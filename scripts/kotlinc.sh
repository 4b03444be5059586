#!/usr/bin/env bash
# kotlinc.sh ARGUMENT... : the Kotlin compiler for the JVM; needs java 11 or newer.
# Out of the PyPI package kotlin-jupyter-kernel, which holds one: fetched on the first call into
# $EDGESKIN_TOOLS (.tools of the repository; 80 MB). `kotlinc.sh --stdlib` prints the library that
# compiled programs need on their class path.
set -euo pipefail
tools=${EDGESKIN_TOOLS:-$(cd "$(dirname "$0")/.." && pwd)/.tools}/kotlin
if [ ! -d "$tools" ]; then
  rm -rf "$tools.part" && mkdir -p "$tools.part"
  "${PYTHON:-python3}" -m pip download --quiet --no-deps --dest "$tools.part" kotlin-jupyter-kernel==0.19.0.944 >&2
  "${PYTHON:-python3}" -m zipfile -e "$tools.part"/*.whl "$tools.part"
  rm "$tools.part"/*.whl
  mv "$tools.part" "$tools"
fi
jars=$tools/run_kotlin_kernel/jars
stdlib=$(echo "$jars"/kotlin-stdlib-[0-9]*.jar)
[ "${1-}" = --stdlib ] && { echo "$stdlib"; exit; }
exec java -Xmx1g -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$jars/*" org.jetbrains.kotlin.cli.jvm.K2JVMCompiler \
  -no-stdlib -no-reflect -nowarn "$@"
