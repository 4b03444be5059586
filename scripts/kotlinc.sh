#!/usr/bin/env bash
# kotlinc.sh ARGUMENT... : the Kotlin compiler for the JVM; needs java 11 or newer.
# Out of the PyPI package kotlin-jupyter-kernel, which holds one: fetched on the first call into
# $EDGESKIN_TOOLS (.tools of the repository; 80 MB). `kotlinc.sh --stdlib` prints the library that
# compiled programs need on their class path.
set -euo pipefail
repository=$(cd "$(dirname "$0")/.." && pwd)
tools=${EDGESKIN_TOOLS:-$repository/.tools}/kotlin
kotlin() {
  mkdir "$1"
  "${PYTHON:-python3}" -m pip download --quiet --no-deps --dest "$1" kotlin-jupyter-kernel==0.19.0.944 >&2
  "${PYTHON:-python3}" -m zipfile -e "$1"/*.whl "$1"
  rm "$1"/*.whl
}
source "$repository/scripts/once.sh"
once "$tools" kotlin
jars=$tools/run_kotlin_kernel/jars
stdlib=$(echo "$jars"/kotlin-stdlib-[0-9]*.jar)
[ "${1-}" = --stdlib ] && { echo "$stdlib"; exit; }
exec java -Xmx1g -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$jars/*" org.jetbrains.kotlin.cli.jvm.K2JVMCompiler \
  -no-stdlib -no-reflect -nowarn "$@"
