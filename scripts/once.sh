# once FOLDER MAKE: FOLDER as the function MAKE fills it, given its name; whole or not at all. Of
# several callers one makes it and the others wait. To be sourced.
once() (
  [ -d "$1" ] && exit
  mkdir -p "${1%/*}"
  exec 9> "$1.lock"
  flock 9
  if [ ! -d "$1" ]; then
    rm -rf "$1.part"
    "$2" "$1.part"
    mv "$1.part" "$1"
  fi
)
