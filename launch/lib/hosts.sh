# Shared by the checks on several hosts: a chain of three steps and its students. Sourced after check.sh and box.sh.
# shellcheck shell=bash disable=SC2154  # check.sh sets $work

# make_three DIRECTORY STEPS: writes demo data and a chain of three steps, each of so many optimizer steps, with a
# checkpoint every twentieth of them and dropout, as a resumed run could easily get wrong. Paths are relative, so that the
# chain is the same one in a copy of the directory.
make_three() {
  "$RETORT_BINARY" demo "$1" --train 200 --validation 60 >/dev/null
  local shape='num_attention_heads: 2, max_position_embeddings: 64, hidden_dropout_prob: 0.1, tokenizer: tokenizer'
  cat >"$1/chain.yaml" <<YAML
distillation_chain:
  metadata:
    dataset: data
    task: {kind: classification, text: sentence, label: label, labels: [negative, positive]}
    max_length: 64
    seed: 3
  defaults: {batch_size: 16, max_steps: $2, learning_rate: 1e-3, precision: fp32, save_steps: $(($2 / 20)),
    evaluation_strategy: steps, eval_steps: $(($2 / 2)), logging_steps: 1}
  steps:
    - step_id: first
      teacher: null
      student_base: {family: bert, num_hidden_layers: 2, hidden_size: 32, intermediate_size: 64, $shape}
      output_dir: out/first
    - step_id: second
      teacher: first
      allow_untrained_teacher: true
      student_base: {family: bert, num_hidden_layers: 1, hidden_size: 24, intermediate_size: 48, $shape}
      output_dir: out/second
      hyperparams: {alpha: 0.3, temperature: 3.0}
    - step_id: third
      teacher: second
      allow_untrained_teacher: true
      student_base: {family: bert_hash, num_hidden_layers: 1, hidden_size: 16, intermediate_size: 32, projections: 4, $shape}
      output_dir: out/third
      hyperparams: {alpha: 0.3, temperature: 3.0}
YAML
}

# students DIRECTORY: the digests of the committed students' weights.
students() {
  local step
  for step in first second third; do
    if [ ! -e "$1/$step/training/step.json" ]; then echo "$step is not committed"; continue; fi
    (cd "$1/$step" && sha256sum model.safetensors | sed "s/^/$step /")
  done
}

# same_students A B WHAT: the students in A and B have the same bytes.
same_students() {
  students "$1" >"$work/students.a"
  students "$2" >"$work/students.b"
  if grep -q 'not committed' "$work/students.a" || ! cmp -s "$work/students.a" "$work/students.b"; then
    cat "$work/students.a" "$work/students.b"
    fail "$3: not the same bytes as undisturbed"
  fi
}

# trains STEP NUMBER: waits until the step of the chain in the current directory has made so many optimizer steps.
trains() {
  local turn
  for ((turn = 0; turn < 1200; turn++)); do
    if grep -q "\"step\": $2," "out/$1/training/metrics.jsonl" 2>/dev/null; then return; fi
    sleep 0.05
  done
  tail -n 5 ./*.log
  fail "$1 does not reach optimizer step $2"
}
