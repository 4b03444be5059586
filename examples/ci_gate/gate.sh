#!/usr/bin/env bash
# A gate for CI: convert a program, verify the file against its run, and let the exit code decide.
#
#   gate.sh PROGRAM.pt2 RUN DATA OUT
#
# Exit code 0: ship it. 1: it was measured, and lost too much. 2: it could not be made or measured,
# which is a failure too. OUT holds the file, manifest.json and verify.json: keep them together.
# TARGET, MIN_SQNR_DB and MAX_DROP set the target and the gates.
set -uo pipefail
program=$1 run=$2 data=$3 out=$4

edgeskin convert "$program" --target "${TARGET:-tflite}" --no-timing --out "$out" --force
code=$?
if [ "$code" -eq 0 ]; then
  edgeskin verify "$out"/*-int8.* --reference "$run" --data "$data" --json \
    --min-sqnr-db "${MIN_SQNR_DB:-15}" --max-drop "${MAX_DROP:-1.0}" > "$out/verify.json"
  code=$?
fi

case $code in
  0) echo "gate: passed" ;;
  1) echo "gate: missed; the lines above say which" ;;
  *) echo "gate: could not run" ;;
esac
exit "$code"
