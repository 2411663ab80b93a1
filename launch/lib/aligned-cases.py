"""aligned-cases.py FOLDER SHARED STRIDE [DIRECTORY...]: model directories of many kinds of tokenizers, and those that
are given; each with lists of words (words.json) and the ids, segments and words that transformers gives them
(words.bin), and with texts (texts.json) and their ids, segments and offsets (texts.bin).

Of WikiText-2 and SST-2 every STRIDE-th line is a text. words.bin has for each list of words its number of tokens and the
ids, segments and words (−1 for special tokens); texts.bin for each text its number of tokens and the ids, segments,
beginnings and ends, all little-endian Int32.
"""
import array
import json
import os
import random
import shutil
import subprocess
import sys

from transformers import AddedToken, AutoTokenizer, GemmaTokenizer
from transformers.tokenization_utils_base import generate_merges

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import multilingual
from sentencepiece_files import sentencepiece_model

folder, shared, stride = sys.argv[1], sys.argv[2], int(sys.argv[3])
chance = random.Random(5)
here = os.path.dirname(os.path.abspath(__file__))

# Characters that special tokens, tabs and line breaks stand beside.
FURTHER = [
    "  two  spaces\tand\u00a0a\u3000wide one \n new line  ",
    "<s> and </s> <mask>next [MASK] [CLS]x [SEP] <unk> <|endoftext|> <0x41> ▁ ▁▁x",
    "<start_of_turn>user\n\nhi\n\n\n <end_of_turn>    four <bos><eos> <pad>",
    "\u0301 \u200d\u200b\ufeff\u00ad\x01 \ufffd \U00010940 𝔘𝔫𝔦 ạ\u0302 ü\u0304 か\u3099 ﾊﾟ Å",
]
MULTILINGUAL = multilingual.SENTENCES + FURTHER
PIECES = ["a", "The", "don't", "café", "e\u0301", "東京", "한국", "👩‍🚀", "ﬁn", "İ", "ß", "١٢", "x1y22", " ", "", "\u0301",
          "\u200b", "\x01", "\n", "▁", "▁a", "<s>", "<mask>", "[MASK]", "[SEP]", "<|endoftext|>", "  b", "c ", "#", "$5.00", "a b",
          "``", "''", "\u00a0", "ü", "ﾊﾟ", "New-York", "...", "aaaaaaaaaaaaaaaaaaaaaa", "∀", "\ufffd"]


def read(*path):
    with open(os.path.join(shared, *path), encoding="utf-8") as stream:
        return stream.read()


def write(directory, name, value):
    with open(os.path.join(directory, name), "w", encoding="utf-8") as stream:
        json.dump(value, stream, ensure_ascii=False)


def texts():
    lines = read("data", "corpus", "wikitext-2", "test.txt").split("\n") if stride else []
    lines += [line.split("\t")[0] for line in read("data", "sst2", "dev.tsv").split("\n")] if stride else []
    lines = lines[:: stride or 1] + MULTILINGUAL + ["\n".join(MULTILINGUAL), "", " ", "\n"]
    lines += multilingual.lines(800 if stride == 1 else 100)
    for _ in range(400):
        lines.append("".join(chance.choice(PIECES + [" "] * 12) for _ in range(chance.randrange(1, 16))))
    return lines


def others(gpt2):
    """ModernBERT's, Gemma's and MPNet's pipelines around the vocabularies that are here: name, file and settings."""
    modern = json.loads(json.dumps(gpt2))
    size = len(modern["model"]["vocab"])
    names = ["[CLS]", "[SEP]", "[PAD]", "[MASK]", "|||IP_ADDRESS|||", "  "]
    modern["added_tokens"] = [
        {"id": size + i, "content": name, "single_word": False, "lstrip": name == "[MASK]", "rstrip": False,
         "normalized": i > 3, "special": i < 4}
        for i, name in enumerate(names)
    ]
    modern["normalizer"] = {"type": "NFC"}
    modern["pre_tokenizer"] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    around = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
              {"SpecialToken": {"id": "[SEP]", "type_id": 0}}]
    tokens = {name: {"id": name, "ids": [size + i], "tokens": [name]} for i, name in enumerate(names[:2])}
    second = [{"Sequence": {"id": "B", "type_id": 0}}, around[2]]
    modern["post_processor"] = {"type": "TemplateProcessing", "single": around, "pair": around + second, "special_tokens": tokens}
    yield "modernbert", modern, {"tokenizer_class": "PreTrainedTokenizerFast"}

    # SmolLM2's: digits are words of their own.
    digits = json.loads(json.dumps(gpt2))
    bytes_ = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    digits["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, bytes_]}
    yield "smollm", digits, {"tokenizer_class": "PreTrainedTokenizerFast"}

    gemma = json.loads(read("data", "tokenizers", "mistral-v1", "tokenizer.json"))
    gemma["normalizer"] = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    gemma["pre_tokenizer"] = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
    gemma["decoder"]["decoders"] = gemma["decoder"]["decoders"][:-1]
    names = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<unk>", "mask_token": "<unk>"}
    yield "gemma", gemma, {"tokenizer_class": "GemmaTokenizer", **names}

    mpnet = json.loads(read("data", "bert-base-uncased", "tokenizer.json"))
    roles = {"[PAD]": "<pad>", "[CLS]": "<s>", "[SEP]": "</s>", "[MASK]": "<mask>"}
    vocabulary = mpnet["model"]["vocab"]
    mpnet["model"]["vocab"] = {roles.get(token, token): i for token, i in vocabulary.items()}
    for token in mpnet["added_tokens"]:
        token["content"] = roles.get(token["content"], token["content"])
        token["lstrip"] = token["content"] == "<mask>"
    mpnet["post_processor"] = {"type": "RobertaProcessing", "sep": ["</s>", vocabulary["[SEP]"]],
                               "cls": ["<s>", vocabulary["[CLS]"]], "trim_offsets": True, "add_prefix_space": False}
    yield "mpnet", mpnet, {"tokenizer_class": "MPNetTokenizer"}


def gemma_model(directory):
    """Gemma's tokenizer.model, without tokenizer.json, around Mistral's pieces; returns its tokenizer, for which
    transformers needs the sentencepiece package when it reads the file itself."""
    mistral = json.loads(read("data", "tokenizers", "mistral-v1", "tokenizer.json"))["model"]["vocab"]
    first = ["<pad>", "<eos>", "<bos>", "<unk>"]
    defined = ["<mask>", "<start_of_turn>", "<end_of_turn>", "\n", "\n\n", "\t"]
    pieces = first + defined + sorted(set(mistral) - {"<unk>", "<s>", "</s>", *defined}, key=mistral.get)

    def kind(piece):
        if piece in first:
            return 2 if piece == "<unk>" else 3
        return 4 if piece in defined else 6 if piece.startswith("<0x") else 1

    with open(os.path.join(directory, "tokenizer.model"), "wb") as stream:
        stream.write(sentencepiece_model([(piece, -float(i), kind(piece)) for i, piece in enumerate(pieces)], 3, kind=2))
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    added = [AddedToken(piece, normalized=False, special=kind(piece) == 3) for piece in pieces if kind(piece) in (3, 4)]
    return GemmaTokenizer(
        vocab=vocabulary, merges=generate_merges(vocabulary), additional_special_tokens=added, add_bos_token=True)



# Tokenizers that transformers does not read from the directory.
KNOWN = {}


def directories():
    """The directories with tokenizers that are compared: name and files."""
    def make(name, file=None, settings=None):
        directory = os.path.join(folder, name)
        os.makedirs(directory, exist_ok=True)
        if isinstance(file, str):
            shutil.copy(file, os.path.join(directory, "tokenizer.json"))
        elif file is not None:
            write(directory, "tokenizer.json", file)
        if settings is not None:
            write(directory, "tokenizer_config.json", settings)
        return directory

    bert = os.path.join(shared, "data", "bert-base-uncased", "tokenizer.json")
    yield make("bert", bert, {"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    yield make("bert-left", bert, {"tokenizer_class": "BertTokenizer", "truncation_side": "left"})
    for name in sorted(os.listdir(os.path.join(shared, "parity", "reference", "tokenizers"))):
        source = os.path.join(shared, "parity", "reference", "tokenizers", name, "tokenizer.json")
        if os.path.exists(source):
            yield make(name, source, {"tokenizer_class": "PreTrainedTokenizerFast"})
    gpt2 = json.loads(read("data", "tokenizers", "gpt2", "tokenizer.json"))
    roberta = json.loads(json.dumps(gpt2))
    for token in ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]:
        roberta["model"]["vocab"][token] = len(roberta["model"]["vocab"])
    roberta["added_tokens"] = []
    for prefix in (False, True):
        yield make(f"gpt2-{prefix}", gpt2, {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": prefix})
        yield make(f"roberta-{prefix}", roberta, {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": prefix})
    yield make("roberta-untrimmed", roberta, {"tokenizer_class": "RobertaTokenizer", "trim_offsets": False})
    # The same vocabularies in two files, without tokenizer.json.
    for name, file in [("GPT2", gpt2), ("Roberta", roberta), ("Qwen2", gpt2)]:
        directory = make("pair-" + name, None, {"tokenizer_class": name + "Tokenizer"})
        write(directory, "vocab.json", file["model"]["vocab"])
        shutil.copy(os.path.join(shared, "data", "tokenizers", "gpt2", "merges.txt"), directory)
        if name == "GPT2":
            os.remove(os.path.join(directory, "tokenizer_config.json"))
            write(directory, "config.json", {"model_type": "gpt2"})
        yield directory
    yield from (make(name, file, settings) for name, file, settings in others(gpt2))
    # MPNet's vocab.txt without tokenizer.json: its own tokens come before BERT's and after them.
    vocabulary = json.loads(read("data", "bert-base-uncased", "tokenizer.json"))["model"]["vocab"]
    directory = make("text-MPNet", None, {"tokenizer_class": "MPNetTokenizer"})
    with open(os.path.join(directory, "vocab.txt"), "w", encoding="utf-8") as stream:
        for token in ["<s>", "<pad>", "</s>", "<unk>", *sorted(vocabulary, key=vocabulary.get), "<mask>"]:
            stream.write(token + "\n")
    yield directory
    directory = make("model-Gemma", None, {"tokenizer_class": "GemmaTokenizer", "add_bos_token": True})
    KNOWN[directory] = gemma_model(directory)
    yield directory
    mistral = os.path.join(shared, "data", "tokenizers", "mistral-v1", "tokenizer.json")
    yield make("mistral", mistral, {"tokenizer_class": "PreTrainedTokenizerFast"})
    yield make("llama", mistral, {"tokenizer_class": "LlamaTokenizer"})
    unigram = os.path.join(folder, "..", os.path.basename(folder.rstrip("/")) + "-unigram")
    script = os.path.join(here, "unigram-cases.py")
    subprocess.run([sys.executable, script, unigram, os.path.join(shared, "data"), "0"], check=True)
    with open(os.path.join(unigram, "spaces", "tokenizer.json"), encoding="utf-8") as stream:
        camembert = json.load(stream)
    pieces = camembert["model"]["vocab"]
    camembert["model"]["vocab"] = pieces[:5] + [["<s>", 0.0], ["</s>", 0.0]] + pieces[5:] + [["<mask>", 0.0]]
    camembert["added_tokens"] = []
    yield make("camembert", camembert, {"tokenizer_class": "CamembertTokenizer"})
    for name, kind in [("xlmr", "XLMRoberta"), ("albert", "Albert"), ("t5", "T5"), ("spaces", ""), ("bytes", ""), ("whole", "")]:
        settings = {"tokenizer_class": kind + "Tokenizer" if kind else "PreTrainedTokenizerFast", "extra_ids": 10}
        yield make(name, os.path.join(unigram, name, "tokenizer.json"), settings)
    shutil.rmtree(unigram)
    for directory in sys.argv[4:]:
        # The generic class, since GPT-2's drops a pre-tokenizer that Retort keeps.
        settings = {"tokenizer_class": "PreTrainedTokenizerFast"}
        yield make("given-" + os.path.basename(directory.rstrip("/")), os.path.join(directory, "tokenizer.json"), settings)


def words_of(tokenizer, words, limit):
    options = {"truncation": True, "max_length": limit} if limit else {}
    try:
        encoding = tokenizer(words, is_split_into_words=True, **options).encodings[0]
    except AssertionError:
        # GPT-2's and RoBERTa's classes refuse words without add_prefix_space; the library does not.
        backend = tokenizer.backend_tokenizer
        backend.no_truncation()
        if limit:
            backend.enable_truncation(limit)
        encoding = backend.encode(words, is_pretokenized=True)
    return encoding.ids, encoding.type_ids, [-1 if word is None else word for word in encoding.word_ids]


def texts_of(tokenizer, text, limit):
    options = {"truncation": True, "max_length": limit} if limit else {}
    encoding = tokenizer(text, **options).encodings[0]
    return encoding.ids, encoding.type_ids, [start for start, _ in encoding.offsets], [end for _, end in encoding.offsets]


def answer(directory, name, cases, encode):
    """Writes the cases (NAME.json) and the numbers that `encode` gives for each (NAME.bin)."""
    answers = array.array("i")
    for case, limit in cases:
        lists = encode(case, limit)
        answers.append(len(lists[0]))
        for values in lists:
            answers.extend(values)
    write(directory, name + ".json", [{name: case, "limit": limit} for case, limit in cases])
    with open(os.path.join(directory, name + ".bin"), "wb") as stream:
        answers.tofile(stream)


def lacked_bytes(tokenizer):
    """The bytes that a byte-level vocabulary has no token for. They disappear, and the library's offsets of the tokens
    after them in a word are those of other characters; Retort's are not."""
    if '"ByteLevel"' not in tokenizer.backend_tokenizer.to_str():
        return set()
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in visible]
    signs = {byte: chr(byte) for byte in visible} | {byte: chr(256 + i) for i, byte in enumerate(others)}
    return {byte for byte, sign in signs.items() if tokenizer.backend_tokenizer.token_to_id(sign) is None}


samples = texts()
lists = [line.split(" ") for line in samples] + [[chance.choice(PIECES) for _ in range(chance.randrange(12))] for _ in range(300)]
limits = [None if chance.random() < 0.5 else chance.choice([2, 3, 8, 20]) for _ in lists]
cases = list(zip(samples, [limit if chance.random() < 0.3 else None for limit in limits]))
for directory in directories():
    tokenizer = KNOWN.get(directory) or AutoTokenizer.from_pretrained(directory)
    answer(directory, "words", list(zip(lists, limits)), lambda words, limit: words_of(tokenizer, words, limit))
    lacked = lacked_bytes(tokenizer)
    whole = [case for case in cases if lacked.isdisjoint(case[0].encode())]
    answer(directory, "texts", whole, lambda text, limit: texts_of(tokenizer, text, limit))
