# Shared by the scripts in launch: messages, limits, and where things are. Sourced by bash scripts, never run.
# shellcheck shell=bash

# The directory above launch/, whatever directory the caller stands in and whichever link was called.
retort_root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)

# say MESSAGE: a line to the person at the terminal; standard error, so that results on standard output stay clean.
say() { printf '%s\n' "retort: $*" >&2; }

# refuse MESSAGE [REMEDY]: what is wrong and what to do, then exit code 2 (usage or configuration).
refuse() {
  say "$1"
  if [ $# -gt 1 ]; then say "$2"; fi
  exit 2
}

# cores: how many this process may use.
# nproc itself would take OMP_NUM_THREADS for their number.
cores() { env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc 2>/dev/null || getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1; }

# usage SCRIPT: the script's own leading comment is its manual.
usage() { sed -n '2,/^[^#]/{/^#/{s/^# \{0,1\}//;p;};}' "$1"; }

# phase NAME COMMAND...: runs the command and notes how long it took, for phase_table.
phase_lines=""
phase() {
  local name=$1 started=$SECONDS code=0
  shift
  "$@" || code=$?
  phase_lines+=$(printf '  %-22s %4d s' "$name" $((SECONDS - started)))$'\n'
  return "$code"
}
phase_table() { printf '%s' "$phase_lines"; }
