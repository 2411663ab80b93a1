# Shared by the scripts in launch: messages, limits and paths. Sourced by bash scripts, never run.
# shellcheck shell=bash

# The directory above launch/, independent of the current directory and of links.
retort_root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)

# say MESSAGE: prints a line to standard error, so that standard output has only results.
say() { printf '%s\n' "retort: $*" >&2; }

# refuse MESSAGE [REMEDY]: prints what is wrong and what to do, then ends with exit code 2 (usage or configuration).
refuse() {
  say "$1"
  if [ $# -gt 1 ]; then say "$2"; fi
  exit 2
}

# cores: the number of cores that this process may use. nproc alone would return OMP_NUM_THREADS.
cores() { env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc 2>/dev/null || getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1; }

# usage SCRIPT: prints the script's leading comment, its manual.
usage() { sed -n '2,/^[^#]/{/^#/{s/^# \{0,1\}//;p;};}' "$1"; }

# phase NAME COMMAND...: runs the command and records its duration for phase_table.
phase_lines=""
phase() {
  local name=$1 started=$SECONDS code=0
  shift
  "$@" || code=$?
  phase_lines+=$(printf '  %-22s %4d s' "$name" $((SECONDS - started)))$'\n'
  return "$code"
}
phase_table() { printf '%s' "$phase_lines"; }
