# Installs the system packages that are missing, and only those. Sourced after common.sh.
# shellcheck shell=bash

# What the build links against and what runs it; the second line is what the Swift toolchain itself leans on.
retort_packages="openmpi-bin libopenmpi-dev libopenblas-dev libdnnl-dev libssl-dev zlib1g-dev pkg-config"
retort_build_packages="libc6-dev binutils git ca-certificates"

package_installed() {
  [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Prints the packages that are not installed, on one line.
missing_packages() {
  local name missing=""
  for name in $retort_packages $retort_build_packages; do
    # pkgconf is what newer releases call it, and it answers to the old command.
    if [ "$name" = pkg-config ] && package_installed pkgconf && command -v pkg-config >/dev/null; then continue; fi
    if ! package_installed "$name"; then missing+=" $name"; fi
  done
  # The C++ headers carry a compiler's version in their name: any will do, and g++ brings the release's own.
  if ! dpkg-query --show --showformat='${db:Status-Status}\n' 'libstdc++-*-dev' 2>/dev/null | grep -qx installed; then
    missing+=" g++"
  fi
  echo "$missing"
}

# as_root COMMAND...: itself when root, else sudo, which may ask for a password.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; return; fi
  if ! command -v sudo >/dev/null; then
    refuse "not root, and there is no sudo to run: $*" "run that command as root, then this script again"
  fi
  sudo "$@"
}

# install_packages NAME...: with apt-get, after one update; ends with 2 when that fails.
install_packages() {
  say "installing with apt-get: $*"
  if ! { as_root apt-get update -q >&2 &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@" >&2; }; then
    refuse "apt-get could not install: $*" "see its message above; without network, install them from a mirror"
  fi
}

# Looks whether all that is needed is here, and installs what is not.
ensure_packages() {
  local missing
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    # Another distribution: its packages have other names, so look for what they bring instead.
    if command -v mpirun >/dev/null && command -v pkg-config >/dev/null && pkg-config --exists ompi-c openblas libcrypto zlib &&
      echo '#include <oneapi/dnnl/dnnl.h>' | cc -E - >/dev/null 2>&1
    then return 0; fi
    refuse "this is not Debian or Ubuntu: its packages cannot be installed from here" \
      "install Open MPI, OpenBLAS, oneDNN, OpenSSL and zlib with their headers, and pkg-config (Debian calls them: $retort_packages)"
  fi
  missing=$(missing_packages)
  if [ -z "$missing" ]; then return 0; fi
  # shellcheck disable=SC2086  # a list of names, split on purpose
  install_packages $missing
}
