"""tokenizer-cases.py FOLDER COUNT: tokenizers of random pieces, each with texts and the ids and offsets that the library gives them."""
import json
import os
import random
import sys
import unicodedata

from tokenizers import Tokenizer

folder, count = sys.argv[1], int(sys.argv[2])
chance = random.Random(8)
BEHAVIORS = ["Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
WORDS = ["the", "Quick", "911", "10:45", "don't", "café", "x1y22", "A.B", "  ", "foo_bar", "hello!", "ＡＢＣ"]
SIGNS = list("abAB  \t\n.,!?'-_#09éßİıς") + [
    "\u0301", "\u200d", "\u200b", "\ufe0f", "👨", "🏽", "٣", "Ⅷ", "½", "東", "한", "ｱ", "ﬁ", "\u00a0", "\u3000", "\u2028",
    "\u0085", "\x01", "\u00ad", "…", "€", "▁", "क", "्", "ำ", "ي", "\u064b", "\ue000", "\u1cf2", "\U00010940",
]
EXPRESSIONS = ["\\s+", "\\d", "\\p{N}{1,3}", "[0-9]", "\\p{L}+", " ", "\\p{P}", "[^\\s]+", " {2,}"]


def text():
    if chance.random() < 0.15:
        ranges = [(1, 0xD800), (0xE000, 0x10000), (0x10000, 0x20000)]
        return "".join(chr(chance.randrange(*chance.choice(ranges))) for _ in range(chance.randrange(1, 8)))
    if chance.random() < 0.4:
        return " ".join(chance.choice(WORDS) for _ in range(chance.randrange(1, 9)))
    return "".join(chance.choice(SIGNS) for _ in range(chance.randrange(25)))


def flag(share=0.5):
    return chance.random() < share


def normalizer(depth=0):
    kind = chance.choice(["Lowercase", "StripAccents", "NFC", "NFD", "NFKC", "NFKD", "Strip", "Replace", "Sequence"])
    if kind == "Strip":
        return {"type": kind, "strip_left": flag(), "strip_right": flag()}
    if kind == "Replace":
        pattern = {"Regex": chance.choice(EXPRESSIONS)} if flag() else {"String": chance.choice([" ", "a", "é", "..."])}
        return {"type": kind, "pattern": pattern, "content": chance.choice(["▁", "", "zz"])}
    if kind == "Sequence":
        return {"type": kind, "normalizers": [normalizer(depth + 1) for _ in range(chance.randrange(3))]} if depth < 2 else None
    return {"type": kind}


def splitter(depth=0):
    kinds = ["BertPreTokenizer", "Digits", "Whitespace", "WhitespaceSplit", "Punctuation", "CharDelimiterSplit", "Split"]
    kind = chance.choice(kinds + (["Metaspace"] if depth < 3 else []) + (["Sequence"] if depth < 2 else []))
    section = {"type": kind}
    if kind == "Digits":
        section["individual_digits"] = flag()
    if kind == "Punctuation":
        section["behavior"] = chance.choice(BEHAVIORS)
    if kind == "CharDelimiterSplit":
        section["delimiter"] = chance.choice([" ", "a", "東"])
    if kind == "Split":
        section["pattern"] = {"Regex": chance.choice(EXPRESSIONS)} if flag() else {"String": chance.choice([" ", "a", "é"])}
        section |= {"behavior": chance.choice(BEHAVIORS), "invert": flag(0.3)}
    if kind == "Metaspace":
        section |= {"replacement": "▁", "prepend_scheme": chance.choice(["always", "first", "never"]), "split": flag()}
    if kind == "Sequence":
        section["pretokenizers"] = [splitter(depth + 1) for _ in range(chance.randrange(1, 4))]
    return section


def without_none(section):
    if isinstance(section, dict):
        return {key: without_none(value) for key, value in section.items() if value is not None}
    return [without_none(value) for value in section if value is not None] if isinstance(section, list) else section


def byte_level():
    signs = [chr(c) for c in [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100), *range(0x100, 0x144)]]
    pairs = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("1", "0"), ("1", "1"), ("Ġ", "Ġ"), ("Ã", "©"), (":", "4")]
    vocabulary = signs + [left + right for left, right in pairs]
    model = {"type": "BPE", "unk_token": "<none>", "vocab": {token: i for i, token in enumerate(vocabulary)}}
    model["merges"] = [list(pair) for pair in pairs]
    first = [splitter(3) for _ in range(chance.randrange(3))]
    last = {"type": "ByteLevel", "add_prefix_space": flag(0.3), "trim_offsets": True, "use_regex": flag()}
    return model, {"type": "Sequence", "pretokenizers": [*first, last]}, dict(last)


def word_piece(texts):
    signs = set("".join(texts)) | set("▁z ")
    signs |= {s for c in signs for form in ("NFKC", "NFKD") for s in unicodedata.normalize(form, c)}
    signs |= {s for c in signs for s in c.lower()}
    tokens = ["[UNK]"] + [mark + sign for sign in sorted(signs) for mark in ("", "##")]
    model = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##"}
    model |= {"max_input_chars_per_word": 1000, "vocab": {token: i for i, token in enumerate(tokens)}}
    return model, splitter(), {"type": "WordPiece", "prefix": "##", "cleanup": flag()}


for number in range(count):
    texts = [text() for _ in range(50)]
    model, pieces, decoder = byte_level() if number % 3 == 0 else word_piece(texts)
    file = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "model": model, "decoder": decoder}
    file |= {"normalizer": normalizer() if flag() else None, "pre_tokenizer": pieces, "post_processor": None}
    file["normalizer"] = without_none(file["normalizer"])
    if model["type"] == "BPE" and flag():
        file["post_processor"] = {"type": "ByteLevel", "add_prefix_space": flag(), "trim_offsets": flag(0.8), "use_regex": True}
    directory = f"{folder}/{number}"
    os.makedirs(directory)
    with open(directory + "/tokenizer.json", "w") as stream:
        json.dump(file, stream)
    tokenizer = Tokenizer.from_file(directory + "/tokenizer.json")
    cases = []
    for sample in texts:
        encoding = tokenizer.encode(sample)
        offsets = [place for range in encoding.offsets for place in range]
        cases.append({"text": sample, "ids": encoding.ids, "decoded": tokenizer.decode(encoding.ids), "offsets": offsets})
    with open(directory + "/expected.json", "w") as stream:
        json.dump({"pieces": {key: file[key] for key in ("normalizer", "pre_tokenizer", "decoder")}, "cases": cases}, stream)
