# Finds a Swift toolchain and builds with it. Sourced after common.sh.
# shellcheck shell=bash

retort_swift_least=6

# Prints the major version of a swift command, or nothing if it does not run.
swift_major() { "$1" --version 2>/dev/null </dev/null | sed -n 's/.*Swift version \([0-9]*\)\..*/\1/p' | head -n 1; }

# Puts a toolchain of at least 6.0 first on PATH; ends with 2 and a message if there is none.
find_swift() {
  local candidate major tooOld=""
  for candidate in \
    "$(command -v swift 2>/dev/null)" \
    /opt/swift/usr/bin/swift \
    "${SWIFTLY_BIN_DIR:-$HOME/.local/share/swiftly/bin}/swift" \
    "$HOME/.swiftly/bin/swift" \
    /usr/local/swift/usr/bin/swift \
    /usr/local/swift/bin/swift \
    /usr/local/bin/swift \
    /opt/swift*/usr/bin/swift \
    /usr/share/swift/usr/bin/swift \
    /usr/libexec/swift/bin/swift; do
    if [ -z "$candidate" ] || [ ! -x "$candidate" ]; then continue; fi
    major=$(swift_major "$candidate")
    if [ -n "$major" ] && [ "$major" -ge "$retort_swift_least" ]; then
      PATH="$(dirname -- "$candidate"):$PATH"
      export PATH
      return 0
    fi
    tooOld+=" $candidate (version ${major:-unreadable})"
  done
  if [ -n "$tooOld" ]; then say "found Swift, but not version $retort_swift_least.0 or later:$tooOld"; fi
  refuse "Swift $retort_swift_least.0 or later is missing (searched PATH, /opt/swift, ~/.local/share/swiftly, /usr/local/swift)" \
    "get a toolchain from https://www.swift.org/install/linux/ and unpack it to /opt/swift, or put its usr/bin on PATH"
}

# swift_build ARGUMENTS...: builds the package; RETORT_JOBS limits the number of parallel compilers.
swift_build() {
  local jobs=()
  if [ -n "${RETORT_JOBS:-}" ]; then jobs=(--jobs "$RETORT_JOBS"); fi
  swift build --package-path "$retort_root" ${jobs[@]+"${jobs[@]}"} "$@"
}

# Prints the directory with the products of a configuration (debug or release).
products() { swift_build -c "$1" --show-bin-path 2>/dev/null; }

# The release binary, through a link that SwiftPM maintains, so that no toolchain is needed to find it.
release_binary="$retort_root/.build/release/retort"
