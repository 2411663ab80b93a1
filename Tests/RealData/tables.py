#!/usr/bin/env python3
"""tables.py results.jsonl: a table in Markdown for each task, mean ± standard error over seeds of both sides.

A cell is marked with * if the means differ by more than one standard error of their difference.
"""
import json
import math
import statistics
import sys

METRICS = {
    "ncbi": ["entity_f1"],
    "stsb": ["spearman"],
    "goemotions": ["micro_f1", "macro_f1"],
    "embedding": ["spearman"],
}
BATCH = 32
SIDES = ("retort", "pytorch")


def figures(record, metric):
    """The metric of the student that is kept: that of its best evaluation."""
    if record["side"] == "pytorch":
        return record["metric"][metric]
    best = METRICS[record["task"]][0]
    return max(record["evaluations"], key=lambda e: e[best])[metric]


def seconds(record):
    """Of the optimizer steps, without evaluations; PyTorch has the teacher's answers before."""
    if record["side"] == "pytorch":
        return record.get("seconds", 0)
    return BATCH * record["results"]["steps"] / record["results"]["examples_per_s"]


def mean_error(values):
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return statistics.mean(values), error


def main():
    with open(sys.argv[1], encoding="utf-8") as lines:
        # A model that was trained twice counts once.
        records = {(r["side"], r["task"], r["who"], r["seed"]): r for r in map(json.loads, lines)}.values()
    for task, metrics in METRICS.items():
        cells = {}
        for record in (r for r in records if r["task"] == task):
            cells.setdefault(record["who"], {}).setdefault(record["side"], []).append(record)
        for metric in metrics if cells else []:
            print(f"\n| {task}, {metric} | Retort | PyTorch | difference ± its error | seconds |")
            print("|---|---|---|---|---|")
            for who, sides in cells.items():
                both = {side: [100 * figures(r, metric) for r in sides.get(side, [])] for side in SIDES}
                if not all(both.values()):
                    continue
                (own, own_error), (peer, peer_error) = mean_error(both["retort"]), mean_error(both["pytorch"])
                error = math.hypot(own_error, peer_error)
                times = [statistics.median(map(seconds, sides[side])) for side in SIDES]
                mark = "*" if abs(own - peer) > error > 0 else ""
                print(f"| {who} | {own:.2f} ± {own_error:.2f} | {peer:.2f} ± {peer_error:.2f} | "
                      f"{own - peer:+.2f} ± {error:.2f}{mark} | {times[0]:.1f}, {times[1]:.1f} |")


if __name__ == "__main__":
    main()
