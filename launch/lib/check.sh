# Shared by the checks in launch/checks, which run whole commands of the release build. Sourced by bash scripts.
# shellcheck shell=bash
set -euo pipefail
. "${RETORT_ROOT:?run by launch/test}/launch/lib/common.sh"
. "$RETORT_ROOT/launch/lib/mpi.sh"
: "${RETORT_BINARY:?run by launch/test}"
shared="${RETORT_SHARED:-$RETORT_ROOT/../shared}"
work=$PWD
export RETORT_CACHE="$work/cache"

# Ends the check as failed.
fail() {
  echo "FAILED $*"
  exit 1
}

# need_shared, need_python: end the check as skipped if the material is missing.
need_shared() { if [ ! -d "$shared/parity" ]; then echo "SKIP no shared reference material beside the checkout"; exit 77; fi; }
need_python() {
  if [ -z "${RETORT_PYTHON:-}" ] || ! "$RETORT_PYTHON" -c 'import torch, transformers, safetensors' 2>/dev/null; then
    echo "SKIP RETORT_PYTHON names no Python with torch, transformers and safetensors"
    exit 77
  fi
}

# on_ranks N ARGUMENTS...: runs retort on N ranks with a time limit of 120 seconds; for N = 1 without mpirun.
on_ranks() {
  local ranks=$1
  shift
  if [ "$ranks" -eq 1 ]; then
    timeout -k 5 120 "$RETORT_BINARY" "$@"
  else
    local_mpirun_flags "$ranks"
    timeout -k 5 120 mpirun "${mpirun_flags[@]}" "$RETORT_BINARY" "$@"
  fi
}

# refused CODE TEXT RANKS ARGUMENTS...: the command must end with this exit code within the time limit and print TEXT (a
# fixed string) exactly once.
refused() {
  local code=$1 text=$2 ranks=$3 got=0 said
  shift 3
  on_ranks "$ranks" "$@" >"$work/refusal.log" 2>&1 || got=$?
  if [ "$got" -ne "$code" ]; then
    tail -n 20 "$work/refusal.log"
    fail "exit code $got instead of $code on $ranks ranks: retort $*"
  fi
  said=$(grep -cF -- "$text" "$work/refusal.log" || true)
  if [ "$said" -ne 1 ]; then
    cat "$work/refusal.log"
    fail "\"$text\" was said $said times instead of once on $ranks ranks: retort $*"
  fi
  echo "refused with $code on $ranks ranks: $text"
}

# one_rank [RANK]: the process id of a running rank of the release binary (of RANK, if given), or nothing; minimal
# machines have no pgrep.
one_rank() {
  local binary process
  binary=$(readlink -f -- "$RETORT_BINARY")
  for process in /proc/[0-9]*; do
    if [ "$(readlink "$process/exe" 2>/dev/null)" = "$binary" ] &&
      { [ $# -eq 0 ] || grep -zqx "OMPI_COMM_WORLD_RANK=$1" "$process/environ" 2>/dev/null; }; then
      echo "${process#/proc/}"
      return
    fi
  done
}

# make_toy DIRECTORY: writes a small demo and a chain of two steps that takes a second or two.
make_toy() {
  "$RETORT_BINARY" demo "$1" --train 200 --validation 60 >/dev/null
  cat >"$1/toy.yaml" <<YAML
distillation_chain:
  metadata:
    dataset: data
    task: {kind: classification, text: sentence, label: label, labels: [negative, positive]}
    max_length: 64
    seed: 3
  defaults: {batch_size: 16, max_steps: 12, learning_rate: 1e-3, precision: fp32}
  steps:
    - step_id: first
      teacher: null
      student_base: {family: bert, num_hidden_layers: 2, hidden_size: 32, num_attention_heads: 2, intermediate_size: 64, max_position_embeddings: 64, tokenizer: tokenizer}
      output_dir: $1/out/first
    - step_id: second
      teacher: first
      allow_untrained_teacher: true
      student_base: {family: bert_hash, num_hidden_layers: 1, hidden_size: 16, num_attention_heads: 2, intermediate_size: 32, max_position_embeddings: 64, projections: 4, tokenizer: tokenizer}
      output_dir: $1/out/second
      hyperparams: {alpha: 0.3, temperature: 3.0}
YAML
}
