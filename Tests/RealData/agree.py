#!/usr/bin/env python3
"""agree.py ncbi|stsb MODEL DATA_FILE RETORT: metrics of `retort evaluate` beside those of seqeval or scipy on the
answers of `retort predict`; ends with 1 if they differ by more than 1e-6."""
import json
import os
import subprocess
import sys
import tempfile

from peer_tasks import table, tagged_sentences


def main():
    task, model, path, retort = sys.argv[1:5]
    extra = ["--task", "stsb"] if task == "stsb" else []
    said = subprocess.run(
        [retort, "evaluate", model, "--data", path, "--json"], check=True, capture_output=True, text=True).stdout
    with tempfile.TemporaryDirectory() as folder:
        answers = os.path.join(folder, "answers.jsonl")
        subprocess.run([retort, "predict", model, "--input", path, "--output", answers, *extra], check=True)
        with open(answers, encoding="utf-8") as lines:
            answers = [json.loads(line) for line in lines]
    if task == "ncbi":
        from seqeval.metrics import f1_score, precision_score, recall_score
        right = [tags for _, tags in tagged_sentences(path)]
        # Words of a cut sentence have no answer, and do not count.
        pairs = [[(t, n) for t, n in zip(tags, a["labels"]) if n is not None] for tags, a in zip(right, answers)]
        right, given = [[t for t, _ in row] for row in pairs], [[n for _, n in row] for row in pairs]
        theirs = {"entity_f1": f1_score(right, given), "entity_precision": precision_score(right, given),
                  "entity_recall": recall_score(right, given)}
    else:
        from scipy.stats import pearsonr, spearmanr
        right, given = [float(f[4]) for f in table(path)], [a["score"] for a in answers]
        theirs = {"spearman": spearmanr(given, right)[0], "pearson": pearsonr(given, right)[0]}
    own = json.loads(said)
    own = own.get("metrics", own)
    for name, value in theirs.items():
        print(f"{name}: Retort {own[name]:.9f}, {'seqeval' if task == 'ncbi' else 'scipy'} {value:.9f}")
    return int(any(abs(own[name] - value) > 1e-6 for name, value in theirs.items()))


if __name__ == "__main__":
    sys.exit(main())
