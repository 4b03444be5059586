# What edgeskin does on a device: sh -c "this text" edgeskin WORK VERB ARGUMENT...
#
# POSIX sh, with coreutils, toybox (Android) or busybox. Nothing is installed: the text travels with
# every question, arguments as arguments. WORK is edgeskin's own folder there; names are relative to
# it. The last line on stderr says how it ended: an answer without it was cut off.
trap 'echo "edgeskin-exit $?" >&2' EXIT
export LC_ALL=C
work=$1 verb=$2
shift 2
mkdir -p "$work" && cd "$work" || exit
work=$PWD

digest() { sum=$(sha256sum < "$1") && echo "${sum%% *}"; }
started() { # PID: when it was started, in clock ticks since boot; nothing if it has ended
  read -r stat 2> /dev/null < "/proc/$1/stat" || return
  # shellcheck disable=SC2086 # split on purpose, after a name that may hold anything
  set -- ${stat##*) }
  [ "$1" = Z ] || echo "${20}"
}
is_alive() { [ -n "$2" ] && [ "$(started "$1")" = "$2" ]; }
state() { # NAME SHA256: "whole", or how many bytes of it have arrived
  [ -f "$1" ] && [ "$(digest "$1")" = "$2" ] && echo whole && return
  part=part/$2
  [ -f "$part" ] || { echo 0 && return; }
  cp "$part" "$part.new" && mv "$part.new" "$part" || exit # a writer that is cut off may still hold the old one
  stat -c %s "$part"
}
say() { [ -z "$2" ] || printf '%s\t%s\n' "$1" "$2"; } # KEY VALUE
file() { # KEY FILE: its first line, if we may read it
  line=
  [ -r "$2" ] && { read -r line 2> /dev/null < "$2" || :; } && say "$1" "$line"
}
facts() {
  say system "$(uname -sr)"
  say machine "$(uname -m)"
  file kernel /proc/sys/kernel/arch
  say glibc "$(getconf GNU_LIBC_VERSION 2> /dev/null)"
  sed -n -e 's/^\(model name\|Features\|flags\|Hardware\|CPU part\)[ \t]*: /cpu \1\t/p' -e '/^$/q' /proc/cpuinfo
  sed -n 's/^\(MemTotal\|MemAvailable\): *\([0-9]*\) kB/\1\t\2/p' /proc/meminfo
  say disk "$(df -Pk . | tail -n 1)"
  file load /proc/loadavg
  file online /sys/devices/system/cpu/online
  file board /proc/device-tree/model
  file tegra /etc/nv_tegra_release
  for cpu in /sys/devices/system/cpu/cpu[0-9]*/cpufreq; do
    file governor "$cpu/scaling_governor"
    for clock in min cur max; do file "$clock" "$cpu/scaling_${clock}_freq"; done
  done
  for gpu in /sys/class/devfreq/*.gpu /sys/class/devfreq/*.g[apv]1[01]b; do # Tegra's names
    for clock in min cur max; do file "gpu $clock" "$gpu/${clock}_freq"; done
  done
  command -v nvpmodel > /dev/null && nvpmodel -q 2> /dev/null | sed -n 's/^NV Power Mode: */power mode\t/p'
  for zone in /sys/class/thermal/thermal_zone*; do
    file zone "$zone/type" && file temperature "$zone/temp"
  done
  for supply in /sys/class/power_supply/*; do
    file battery "$supply/capacity" && file charging "$supply/status"
  done
  for tool in trtexec tegrastats nvpmodel /usr/src/tensorrt/bin/trtexec; do
    say tool "$(command -v "$tool")"
  done
  command -v getprop > /dev/null || return 0
  for property in ro.product.model ro.build.version.release ro.build.version.sdk ro.product.cpu.abilist ro.boot.qemu; do
    say "$property" "$(getprop "$property")"
  done
  command -v dumpsys > /dev/null || return 0
  dumpsys battery | sed -n 's/^ *\(level\|status\): /dumpsys \1\t/p'
  dumpsys thermalservice | sed -n 's/^ *Thermal Status: /thermal status\t/p'
}

case $verb in
  facts) facts ;;
  state) # (NAME SHA256)...: a line each
    while [ $# -gt 0 ]; do state "$1" "$2" && shift 2 || exit; done
    ;;
  put) # NAME SHA256 SIZE MODE: stdin goes to the end of what has arrived; if that is all, it gets its name
    mkdir -p part "$(dirname "$1")" && cat >> "part/$2" && [ "$(stat -c %s "part/$2")" -ge "$3" ] || exit
    found=$(digest "part/$2")
    [ "$found" = "$2" ] || { rm -f "part/$2" && echo "$found" && exit; }
    chmod "$4" "part/$2" && mv -f "part/$2" "$1" && echo "$found"
    ;;
  digest) # NAME: its size and SHA256
    stat -c %s "$1" && digest "$1"
    ;;
  fetch) # NAME OFFSET: its bytes from there on
    tail -c "+$(($2 + 1))" "$1"
    ;;
  start) # LOG PROGRAM ARGUMENT...: runs apart from us; prints its id and, unless it ended, when it was started
    command -v setsid > /dev/null || { echo "setsid: not found" >&2 && exit 127; }
    mkdir -p jobs "$(dirname "$1")" && : > "$1" || exit
    # shellcheck disable=SC2016 # for the inner shell; the log's last line is its own
    setsid sh -c '
      log=$1; shift
      "$@" >> "$log" 2>&1
      code=$?
      [ -z "$(tail -c 1 "$log")" ] || echo >> "$log"
      echo "edgeskin-exit $code" >> "$log"' edgeskin "$@" < /dev/null > /dev/null 2>&1 &
    { started $! || :; } > "jobs/$!" && echo "$! $(cat "jobs/$!")"
    ;;
  follow) # LOG OFFSET: its bytes from there on, and those to come, until stdin ends
    [ -r "$1" ] || { echo "$1: No such file or directory" >&2 && exit 1; }
    tail -c "+$(($2 + 1))" -f "$1" &
    cat > /dev/null
    kill $!
    ;;
  alive) # PID STARTED
    is_alive "$1" "$2" && echo yes || echo no
    ;;
  kill) # PID STARTED LOG: ends it and what it started; another process of that id is left alone
    is_alive "$1" "$2" && kill -s KILL -- "-$1" && echo "edgeskin-exit 137" >> "$3"
    rm -f "jobs/$1"
    ;;
  clean) # ends what still runs and removes the folder
    for job in jobs/*; do
      [ -f "$job" ] && is_alive "${job#jobs/}" "$(cat "$job")" && kill -s KILL -- "-${job#jobs/}"
    done
    cd / && rm -rf "$work"
    ;;
esac
