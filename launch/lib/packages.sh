# Installs missing system packages. Sourced after common.sh.
# shellcheck shell=bash

# The packages for building and running; the second line has those that the Swift toolchain needs.
retort_packages="openmpi-bin libopenmpi-dev libopenblas-dev libdnnl-dev libssl-dev zlib1g-dev pkg-config"
retort_build_packages="libc6-dev binutils git ca-certificates"
# What only checks need, which skip without it: a cluster in a box, a Slurm of one node, shellcheck. CI installs them.
retort_check_packages="iproute2 util-linux slurm-wlm munge shellcheck"

package_installed() {
  [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Installs those packages of the checks that are missing.
ensure_check_packages() {
  local name missing=""
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then return 0; fi
  for name in $retort_check_packages; do
    if ! package_installed "$name"; then missing+=" $name"; fi
  done
  if [ -z "$missing" ]; then return 0; fi
  # shellcheck disable=SC2086  # a list of names, split on purpose
  install_packages $missing
}

# Prints the packages that are not installed, on one line.
missing_packages() {
  local name missing=""
  for name in $retort_packages $retort_build_packages; do
    # Newer releases call it pkgconf, and it provides the old command.
    if [ "$name" = pkg-config ] && package_installed pkgconf && command -v pkg-config >/dev/null; then continue; fi
    if ! package_installed "$name"; then missing+=" $name"; fi
  done
  # The package of the C++ headers has a version in its name: any version works, and g++ installs the release's.
  if ! dpkg-query --show --showformat='${db:Status-Status}\n' 'libstdc++-*-dev' 2>/dev/null | grep -qx installed; then
    missing+=" g++"
  fi
  echo "$missing"
}

# as_root COMMAND...: runs the command as root, with sudo if necessary, which may ask for a password.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; return; fi
  if ! command -v sudo >/dev/null; then
    refuse "not root, and sudo is missing to run: $*" "run that command as root, then this script again"
  fi
  sudo "$@"
}

# install_packages NAME...: installs with apt-get after one update; ends with 2 if that fails.
install_packages() {
  say "installing with apt-get: $*"
  if ! { as_root apt-get update -q >&2 &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@" >&2; }; then
    refuse "apt-get could not install: $*" "see its message above; without network, install them from a mirror"
  fi
}

# Installs the missing packages, if any.
ensure_packages() {
  local missing
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    # Other distributions have other package names, so check for the packages' content instead.
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
