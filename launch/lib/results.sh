# Counts passed and failed tests. Sourced after common.sh.
# shellcheck shell=bash

passed=0
failed=0
# Lines for the report: failures, and skips with reasons.
failures=""
skips=""

note_pass() { passed=$((passed + ${1:-1})); }
note_failure() {
  failed=$((failed + 1))
  failures+="  FAILED   $1"$'\n'
}

# note_skip NAME REASON: a skip counts neither as passed nor as failed; but with RETORT_REQUIRE_ALL=1 and ../shared, a
# skip because Python or the shared reference material is missing counts as failed.
note_skip() {
  if [ "${RETORT_REQUIRE_ALL:-}" = 1 ] && [ -d "${RETORT_SHARED:-$retort_root/../shared}" ]; then
    case "$2" in
      *[Ss]hared* | *[Pp]ython* | *transformers*)
        note_failure "$1: must run here, but was skipped: $2"
        return
        ;;
    esac
  fi
  skips+="  skipped  $1: ${2:-no reason given}"$'\n'
}

# Prints the meaning of an exit code.
ending() {
  case "$1" in
    124) echo "out of time" ;;
    137) echo "killed" ;;
    *) echo "exit code $1" ;;
  esac
}

# count_tests NAME CODE LOG [LOG...]: parses the output of Swift Testing. The number of tests comes from the first log,
# failures from all of them (a test on several ranks can fail on one of them).
#
#   ✔ Test run with 12 tests in 3 suites passed after 0.1 seconds.
#   ✘ Test "a fact" failed after 0.1 seconds with 1 issue.
#   ➜ Test "a fact" skipped: "the reason"
count_tests() {
  local name=$1 code=$2 total line before=$failed bad=0 skipped=0
  shift 2
  total=$(sed -n 's/^[^A-Za-z]*Test run with \([0-9]*\) tests\{0,1\} .*/\1/p' "$1" | tail -n 1)
  while IFS= read -r line; do
    bad=$((bad + 1))
    note_failure "$name: $line"
  done < <(cat "$@" | sed -n 's/^[^A-Za-z]*Test \(.*\) failed after .*/\1/p' | grep -v '^run with ' | sort | uniq)
  while IFS= read -r line; do
    skipped=$((skipped + 1))
    note_skip "$name: ${line%% skipped[:.]*}" "$(printf '%s' "${line##* skipped}" | sed 's/^[:. "]*//; s/"$//')"
  done < <(sed -n 's/^[^A-Za-z]*Test \(.* skipped[:.].*\)/\1/p' "$1")
  if [ -z "$total" ]; then
    # The number of remaining tests is unknown.
    note_failure "$name: ended before the last test ($(ending "$code"))"
    return
  fi
  if [ $((total - bad - skipped)) -gt 0 ]; then note_pass $((total - bad - skipped)); fi
  if [ "$code" -ne 0 ] && [ "$failed" -eq "$before" ]; then
    note_failure "$name: no test failed, but the run ended with an error ($(ending "$code"))"
  fi
}

# count_check NAME CODE LOG: counts one check. A check that cannot run here prints "SKIP reason" and ends with 0 or 77.
count_check() {
  local name=$1 code=$2 reason
  reason=$(sed -n 's/^SKIP[: ]*//p' "$3" | head -n 1)
  if [ "$code" -eq 77 ] || { [ "$code" -eq 0 ] && [ -n "$reason" ]; }; then
    note_skip "$name" "$reason"
  elif [ "$code" -eq 0 ]; then
    note_pass
  else
    note_failure "$name: $(ending "$code")"
  fi
}

# Prints the report, whose last line is "N passed, N failed"; fails if anything failed or nothing ran.
report() {
  printf '\n%s%s%d passed, %d failed\n' "$skips" "$failures" "$passed" "$failed"
  [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}
