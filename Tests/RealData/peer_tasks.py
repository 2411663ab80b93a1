#!/usr/bin/env python3
"""What a user of PyTorch and transformers would write for the tasks of docs/tasks.md: students of some layers of a
teacher, distilled and direct, with the formulas, batches, schedule, optimizer and dropout of a Retort chain.

    peer_tasks.py ncbi --data DIR --teacher DIR --out results.jsonl --seeds 1 2 3 --layers 0,2,4 0,3

The teacher is a directory in the layout of transformers, trained before; so the students of both sides have one
teacher and differ by their trainer and seed alone. Each student appends one JSON line: the best of the figures after
each epoch, and the seconds of its training without evaluations. Results that the file has are not computed again.

Data of DIR: ncbi train.tsv, devel.tsv (a word and its tag per line); stsb train.tsv, dev.tsv (score and two texts in
columns 5 to 7); goemotions train.tsv, dev.tsv (text, numbers of labels); embedding sentences.jsonl, dev.tsv of stsb.
"""
import argparse
import copy
import json
import math
import os
import random
import time

import numpy as np
import torch
import torch.nn.functional as F
import transformers

SPLITS = {
    "ncbi": ("train.tsv", "devel.tsv"),
    "stsb": ("train.tsv", "dev.tsv"),
    "goemotions": ("train.tsv", "dev.tsv"),
    "embedding": ("sentences.jsonl", "dev.tsv"),
}
BEST = {"ncbi": "entity_f1", "stsb": "spearman", "goemotions": "micro_f1", "embedding": "spearman"}
EMOTIONS = 28
IGNORED = -100
WINDOW = 50  # batches whose examples are sorted by length together


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=SPLITS)
    parser.add_argument("--data", required=True)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--layers", nargs="+", default=["0,2,4", "0,3"])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--alpha", type=float, default=0.5)
    parser.add_argument("--temperature", type=float, default=2.0)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16")
    return parser.parse_args()


def tagged_sentences(path):
    words, tags = [], []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            fields = line.rstrip("\n").split("\t")
            if fields[0].strip():
                words.append(fields[0])
                tags.append(fields[-1])
            elif words:
                yield words, tags
                words, tags = [], []
    if words:
        yield words, tags


def table(path):
    with open(path, encoding="utf-8") as lines:
        return [line.rstrip("\n").split("\t") for line in lines]


class Task:
    """Rows, losses and metrics of a task. A row is (ids, token types, target); of a pair of texts that are embedded
    apart it is a row for each text."""

    def __init__(self, options):
        self.options, self.name = options, options.task
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(options.teacher)
        classes = {"ncbi": transformers.BertForTokenClassification, "embedding": transformers.BertModel}
        model = classes.get(self.name, transformers.BertForSequenceClassification)
        self.teacher = model.from_pretrained(options.teacher).eval()
        self.tags = [self.teacher.config.id2label[i] for i in range(self.teacher.config.num_labels)]

    def encode(self, *texts, **more):
        encoded = self.tokenizer(*texts, truncation=True, max_length=self.options.max_length, **more)
        return encoded, encoded["input_ids"], encoded["token_type_ids"]

    def rows(self, split):
        path = os.path.join(self.options.data, SPLITS[self.name][split])
        if self.name == "ncbi":
            return [self.tagged(words, tags) for words, tags in tagged_sentences(path)]
        if self.name == "stsb":
            return [(*self.encode(f[5], f[6])[1:], float(f[4])) for f in table(path)]
        if self.name == "goemotions":
            held = [(f[0], {int(k) for k in f[1].split(",")}) for f in table(path)]
            return [(*self.encode(t)[1:], [float(k in on) for k in range(EMOTIONS)]) for t, on in held]
        if split == 0:
            with open(path, encoding="utf-8") as lines:
                return [(*self.encode(json.loads(line)["text"])[1:], 0.0) for line in lines]
        return [(*self.encode(text)[1:], float(f[4])) for f in table(path) for text in f[5:7]]

    def tagged(self, words, tags):
        encoded, ids, types = self.encode(words, is_split_into_words=True)
        target, last = [], None
        for word in encoded.word_ids():
            target.append(IGNORED if word is None or word == last else self.tags.index(tags[word]))
            last = word
        return ids, types, target

    def batch(self, rows):
        shape = len(rows), max(len(ids) for ids, _, _ in rows)
        ids, types, mask = (torch.zeros(shape, dtype=torch.long) for _ in range(3))
        targets = torch.full(shape, IGNORED) if self.name == "ncbi" else torch.tensor([row[2] for row in rows])
        for i, (x, t, y) in enumerate(rows):
            ids[i, :len(x)], types[i, :len(x)], mask[i, :len(x)] = torch.tensor(x), torch.tensor(t), 1
            if self.name == "ncbi":
                targets[i, :len(y)] = torch.tensor(y)
        return {"input_ids": ids, "token_type_ids": types, "attention_mask": mask}, targets

    def outputs(self, model, inputs, bf16=False):
        """[batch, classes], [batch, tokens, classes] of a tagger, or normalised means of states."""
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            result = model(**inputs)
        if self.name != "embedding":
            return result.logits.float()
        mask = inputs["attention_mask"][..., None].float()
        return F.normalize((result.last_hidden_state.float() * mask).sum(1) / mask.sum(1), dim=-1)

    def loss(self, student, targets, teacher):
        alpha, T = self.options.alpha, self.options.temperature
        if self.name == "embedding":
            return (1 - (student * teacher).sum(-1)).mean()
        if self.name == "ncbi":
            counted = targets != IGNORED
            hard = F.cross_entropy(student[counted], targets[counted])
            if teacher is not None:
                log_q, p = F.log_softmax(student[counted] / T, -1), F.softmax(teacher[counted] / T, -1)
                soft = T * T * F.kl_div(log_q, p, reduction="batchmean")
        elif self.name == "stsb":
            hard = F.mse_loss(student[:, 0], targets)
            if teacher is not None:
                soft = F.mse_loss(student, teacher)
        else:
            hard = F.binary_cross_entropy_with_logits(student, targets)
            if teacher is not None:
                p = torch.sigmoid(teacher / T)
                cross = F.binary_cross_entropy_with_logits
                soft = T * T * (cross(student / T, p) - cross(teacher / T, p))
        return hard if teacher is None else alpha * hard + (1 - alpha) * soft

    @torch.no_grad()
    def signals(self, rows):
        """The teacher's outputs, computed once for all epochs and students: of a tagger a matrix for each row."""
        answers = [None] * len(rows)
        order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]))
        for start in range(0, len(rows), 64):
            part = order[start:start + 64]
            inputs, _ = self.batch([rows[i] for i in part])
            for i, y in zip(part, self.outputs(self.teacher, inputs, self.options.precision == "bf16")):
                answers[i] = y[:len(rows[i][0])].clone() if self.name == "ncbi" else y
        return answers

    @torch.no_grad()
    def metrics(self, model, rows):
        """Figures of the model in fp32."""
        model.eval()
        answers = [None] * len(rows)
        order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]))
        for start in range(0, len(rows), 64):
            part = order[start:start + 64]
            for i, y in zip(part, self.outputs(model, self.batch([rows[i] for i in part])[0])):
                answers[i] = y.numpy()
        targets = [row[2] for row in rows]
        if self.name == "ncbi":
            from seqeval.metrics import f1_score
            said = [[self.tags[k] for k, c in zip(a.argmax(-1), y) if c != IGNORED] for a, y in zip(answers, targets)]
            right = [[self.tags[c] for c in y if c != IGNORED] for y in targets]
            return {"entity_f1": f1_score(right, said)}
        answers, targets = np.stack(answers), np.array(targets)
        if self.name == "goemotions":
            from sklearn.metrics import f1_score
            return {f"{kind}_f1": f1_score(targets, answers > 0, average=kind, zero_division=0)
                    for kind in ("micro", "macro")}
        from scipy.stats import pearsonr, spearmanr
        if self.name == "embedding":
            answers, targets = (answers[0::2] * answers[1::2]).sum(-1), targets[0::2]
        else:
            answers = answers[:, 0]
        return {"spearman": spearmanr(answers, targets)[0], "pearson": pearsonr(answers, targets)[0]}

    def student(self, layers, seed):
        torch.manual_seed(seed)
        student = copy.deepcopy(self.teacher)
        body = student if self.name == "embedding" else student.bert
        body.encoder.layer = torch.nn.ModuleList(body.encoder.layer[k] for k in layers)
        student.config.num_hidden_layers = len(layers)
        return student


def batches(rows, size, shuffle):
    """Batches of examples of similar length in a random order; the short last one has the rest of the random order."""
    order = list(range(len(rows)))
    shuffle.shuffle(order)
    full = len(order) // size * size
    parts = []
    for start in range(0, full, WINDOW * size):
        window = sorted(order[start:min(start + WINDOW * size, full)], key=lambda i: -len(rows[i][0]))
        parts += [window[i:i + size] for i in range(0, len(window), size)]
    shuffle.shuffle(parts)
    return parts + ([order[full:]] if full < len(order) else [])


def train(task, student, rows, signals, held_out, seed):
    """The figures of the best epoch, and the seconds of training."""
    options = task.options
    shuffle = random.Random(seed)
    total = options.epochs * math.ceil(len(rows) / options.batch)
    warmup = math.ceil(0.06 * total)
    matrices = [p for p in student.parameters() if p.dim() > 1]
    vectors = [p for p in student.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=options.rate, fused=True)
    history, seconds, step = [], 0.0, 0
    for _ in range(options.epochs):
        student.train()
        began = time.perf_counter()
        for part in batches(rows, options.batch, shuffle):
            step += 1
            for group in optimizer.param_groups:
                rise, fall = step / max(1, warmup), (total - step + 1) / max(1, total - warmup)
                group["lr"] = options.rate * (rise if step <= warmup else fall)
            inputs, targets = task.batch([rows[i] for i in part])
            taught = None
            if signals is not None and task.name == "ncbi":
                taught = torch.nn.utils.rnn.pad_sequence([signals[i] for i in part], batch_first=True)
            elif signals is not None:
                taught = torch.stack([signals[i] for i in part])
            loss = task.loss(task.outputs(student, inputs, options.precision == "bf16"), targets, taught)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            optimizer.step()
        seconds += time.perf_counter() - began
        history.append(task.metrics(student, held_out))
    return max(history, key=lambda figures: figures[BEST[task.name]]), history, seconds


def main():
    options = arguments()
    torch.set_num_threads(options.threads)
    done = set()
    if os.path.exists(options.out):
        with open(options.out, encoding="utf-8") as lines:
            done = {(r["task"], r["who"], r["seed"]) for r in map(json.loads, lines) if r["side"] == "pytorch"}

    def say(who, seed, figures, **more):
        record = {"side": "pytorch", "task": options.task, "who": who, "seed": seed, "metric": figures, **more}
        with open(options.out, "a", encoding="utf-8") as file:
            print(json.dumps(record), file=file)

    kinds = ["distilled"] if options.task == "embedding" else ["distilled", "direct"]
    cells = [(layers, seed, kind) for layers in ([int(k) for k in text.split(",")] for text in options.layers)
             for seed in options.seeds for kind in kinds
             if (options.task, f"{kind}_{len(layers)}", seed) not in done]
    task = Task(options)
    rows, held_out = task.rows(0), task.rows(1)
    if (options.task, "teacher", 0) not in done:
        say("teacher", 0, task.metrics(task.teacher, held_out))
    began = time.perf_counter()
    signals = task.signals(rows) if any(kind == "distilled" for _, _, kind in cells) else None
    signal_seconds = time.perf_counter() - began
    for layers, seed, kind in cells:
        student = task.student(layers, seed)
        best, history, seconds = train(task, student, rows, signals if kind == "distilled" else None, held_out, seed)
        say(f"{kind}_{len(layers)}", seed, best, epochs=history, seconds=round(seconds, 2), rows=len(rows),
            signal_seconds=round(signal_seconds, 2), precision=options.precision)


if __name__ == "__main__":
    main()
