"""unigram-cases.py FOLDER SHARED STRIDE: unigram tokenizers of the forms that XLM-R, ALBERT, T5 and Llama use, with a
vocabulary trained on shared text; each with texts (texts.json), the library's ids (ids.bin) and its texts of every tenth
list of ids (decoded.json). Of three of them there is also a SentencePiece model without tokenizer.json.

Of WikiText-2 and SST-2 every STRIDE-th line is a text; 0 writes the tokenizers alone. ids.bin has for each text its number of ids and the ids, all little-endian Int32.
"""
import array
import json
import os
import random
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from sentencepiece_files import compile_map, nfkc_map, sentencepiece_model
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

folder, shared, stride = sys.argv[1], sys.argv[2], int(sys.argv[3])
chance = random.Random(11)

LANGUAGES = [
    "Der Bäcker übergibt früh am Morgen große Brötchen, süße Äpfel und heißen Kaffee.",
    "L’été dernier, nous avons dîné près d’une forêt où le hêtre côtoyait le chêne.",
    "El niño pingüino corrió mañana y tarde: ¿quién lo vio? ¡Nadie!",
    "Příliš žluťoučký kůň úpěl ďábelské ódy; łódź płynęła wzdłuż Wisły.",
    "Στην αυλή του σχολείου τα παιδιά έπαιζαν ώρες ολόκληρες.",
    "Утром над рекой стоял туман, и ёж прошёл по мокрой траве.",
    "昨日の雨で、庭の花がきれいに咲きました。ｶﾀｶﾅとひらがなも少し。",
    "春天来了，小镇的河边开满了桃花，老人们坐在桥上聊天。",
    "오늘 아침에 한강 옆을 걸으며 따뜻한 커피를 마셨다.",
    "في الصباح شَرِبَ الولدُ الحليب وقرأ الكتاب ١٢٣ مرةً.",
    "בוקר טוב, הַיֶּלֶד הלך אל הגן עם אמו.",
    "सुबह की धूप में किसान खेत की ओर चल पड़ा।",
    "เมื่อเช้านี้ฝนตกหนักมากแต่เด็กๆก็ยังไปโรงเรียน",
    "Buổi sáng, người nông dân dắt trâu ra đồng ruộng xanh mướt.",
    "İstanbul'da ılık bir akşam, ığdır ve İZMİR üzerine konuştuk.",
    "Emoji: 👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 ☺️ ☺ 1️⃣ 🇩🇪🇫🇷 ❤️‍🔥 done",
]
SIGNS = list("abzAZ09 .,!?'\"`-_#@\t\n\r") + [
    "  ", "   ", "``", "''", "\r\n", "\u0301", "\u0308", "\u0304", "\u0327", "\u200d", "\u200b", "\u200e", "\ufe0f",
    "\u00a0", "\u3000", "\u2028", "\u0085", "\u00ad", "\ufeff", "\ufffd", "\x01", "\x7f", "▁", "ﬁ", "Ⅷ", "½", "①", "㍿", "Å",
    "é", "e\u0301", "ñ", "n\u0303", "ạ\u0302", "ü\u0304", "ß", "İ", "ı", "ς", "東", "京", "か\u3099", "カ\u3099", "ﾊﾟ", "한",
    "\u1112\u1161\u11ab", "\u1100", "👨", "🏽", "👩‍🚀", "☺", "🇩", "🇪", "٣", "ي", "\u064b", "ש\u05b8", "\u0600", "क", "्", "ष",
    "ำ", "ก็", "\u1cf2", "\ue000", "\U00010940", "𝔘", "<unk>", "<s>", "</s>", "<mask>", "<pad>", "[CLS]", "<0x41>",
]


def corpus(name):
    with open(os.path.join(shared, name), encoding="utf-8") as stream:
        return stream.read()


def texts():
    lines = corpus("corpus/wikitext-2/valid.txt").split("\n") + corpus("corpus/wikitext-2/test.txt").split("\n")
    lines += [line.split("\t")[0] for line in corpus("sst2/dev.tsv").split("\n")]
    lines = lines[::stride]
    lines += LANGUAGES + ["\n".join(LANGUAGES), "".join(LANGUAGES)]
    lines += ["", " ", "   ", "\n", "\t \u3000", "a" * 3000, "東京" * 1500, "👩‍🚀" * 400, "\u0301" * 500, "ab\u0301" * 700, "∀" * 999]
    lines.append("".join(corpus("corpus/wikitext-2/valid.txt").split())[:30000])
    for _ in range(1500):
        lines.append("".join(chance.choice(SIGNS) for _ in range(chance.randrange(1, 30))))
    ranges = [(1, 0x300), (0x300, 0x800), (0x800, 0x2000), (0x2000, 0xD800), (0xE000, 0x10000), (0x10000, 0x20000)]
    for _ in range(1500):
        lines.append("".join(chr(chance.randrange(*chance.choice(ranges))) for _ in range(chance.randrange(1, 12))))
    # Every character after a letter, since some join it to a cluster.
    characters = [chr(c) for c in range(1, 0x20000) if not 0xD800 <= c < 0xE000]
    lines += ["".join("a" + c for c in characters[i : i + 256]) for i in range(0, len(characters), 256)]
    return lines


def vocabulary():
    """Tokens with scores, trained on the shared text and on sentences of other languages."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = PRECOMPILED
    tokenizer.pre_tokenizer = XLMR_WORDS
    lines = corpus("corpus/wikitext-2/valid.txt").split("\n")[:2500] + corpus("sst2/train.tsv").split("\n")[:6000]
    tokenizer.train_from_iterator(
        lines + LANGUAGES * 20, trainers.UnigramTrainer(vocab_size=6000, show_progress=False, unk_token="<unk>", special_tokens=["<unk>"])
    )
    return [(token, score) for token, score in json.loads(tokenizer.to_str())["model"]["vocab"] if token != "<unk>"]


def around(single, pair, tokenizer, names):
    special = [(name, tokenizer.token_to_id(name)) for name in names]
    return processors.TemplateProcessing(single=single, pair=pair, special_tokens=special)


def metaspace(scheme="always", split=True):
    return pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme, split=split)


MAP = compile_map(nfkc_map())
PRECOMPILED = normalizers.Precompiled(MAP)
XLMR_WORDS = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace()])
# SentencePiece stores scores in 32 bits.
PIECES = [(token, struct.unpack("<f", struct.pack("<f", score))[0]) for token, score in vocabulary()]


def xlmr():
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *PIECES, ("<mask>", 0.0)]
    t = Tokenizer(models.Unigram(pieces, unk_id=3, byte_fallback=False))
    t.normalizer, t.pre_tokenizer, t.decoder = PRECOMPILED, XLMR_WORDS, decoders.Metaspace()
    t.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True, special=True)])
    t.post_processor = around("<s> $A </s>", "<s> $A </s> </s> $B </s>", t, ["<s>", "</s>"])
    return t


def albert():
    pieces = [("<pad>", 0.0), ("<unk>", 0.0), ("[CLS]", 0.0), ("[SEP]", 0.0), ("[MASK]", 0.0), *PIECES]
    t = Tokenizer(models.Unigram(pieces, unk_id=1, byte_fallback=False))
    steps = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD(), normalizers.StripAccents()]
    t.normalizer = normalizers.Sequence([*steps, normalizers.Lowercase(), PRECOMPILED])
    t.pre_tokenizer, t.decoder = XLMR_WORDS, decoders.Metaspace()
    t.add_special_tokens(["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"])
    t.post_processor = around("[CLS]:0 $A:0 [SEP]:0", "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1", t, ["[CLS]", "[SEP]"])
    return t


def t5():
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *PIECES, *((f"<extra_id_{i}>", 0.0) for i in range(9, -1, -1))]
    t = Tokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=False))
    t.normalizer, t.pre_tokenizer, t.decoder = PRECOMPILED, XLMR_WORDS, decoders.Metaspace()
    t.add_special_tokens(["<pad>", "</s>", "<unk>", *(f"<extra_id_{i}>" for i in range(10))])
    t.post_processor = around("$A </s>", "$A </s> $B </s>", t, ["</s>"])
    return t


def spaces():
    """As SentencePiece files are converted since: runs of spaces are joined by the normalizer."""
    pieces = [("<s>NOTUSED", 0.0), ("<pad>", 0.0), ("</s>NOTUSED", 0.0), ("<unk>", 0.0), ("<unk>NOTUSED", -100.0), *PIECES]
    t = Tokenizer(models.Unigram(pieces, unk_id=3, byte_fallback=False))
    steps = [PRECOMPILED, normalizers.Strip(left=False, right=True), normalizers.Replace(Regex(" {2,}"), "▁")]
    t.normalizer, t.pre_tokenizer, t.decoder = normalizers.Sequence(steps), metaspace(), decoders.Metaspace()
    return t


def bytes_(split):
    """Byte fallback, no words, and scores among which ties and unlikely tokens occur."""
    pieces = [("<unk>", 0.0), ("<s>", 0.0), *((f"<0x{b:02X}>", 0.0) for b in range(256))]
    pieces += [(token, round(score) + (15.0 if chance.random() < 0.01 else 0.0)) for token, score in PIECES]
    pieces += [("∀∀", -60.0), ("\u05b8\u05b9", -90.0), ("ab", -3.0), ("ab", -4.0)]
    t = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=True))
    t.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()]) if split else None
    t.pre_tokenizer = metaspace("first", split)
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t.add_special_tokens(["<s>"])
    return t


def model_of(directory, name):
    """The SentencePiece model and the settings from which AutoTokenizer makes the same tokenizer."""
    kinds = {"<unk>": 2, "<s>": 3, "</s>": 3, "<pad>": 3, "[CLS]": 3, "[SEP]": 3, "[MASK]": 4}
    order = {"xlmr": ["<unk>", "<s>", "</s>"], "albert": ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"], "t5": ["<pad>", "</s>", "<unk>"]}[name]
    pieces = [(token, 0.0, kinds[token]) for token in order] + [(token, score, 1) for token, score in PIECES]
    file, kind = {"xlmr": ("sentencepiece.bpe.model", "XLMRoberta"), "albert": ("spiece.model", "Albert"), "t5": ("spiece.model", "T5")}[name]
    os.makedirs(directory)
    with open(os.path.join(directory, file), "wb") as stream:
        stream.write(sentencepiece_model(pieces, order.index("<unk>"), MAP))
    with open(os.path.join(directory, "tokenizer_config.json"), "w") as stream:
        settings = {"tokenizer_class": kind + "Tokenizer", "extra_ids": 10}
        # The mask is found with the white space before it.
        if name == "xlmr":
            settings["added_tokens_decoder"] = {str(len(PIECES) + 4): {"content": "<mask>", "lstrip": True, "special": True}}
        json.dump(settings, stream)


samples = texts() if stride else []
variants = [("xlmr", xlmr()), ("albert", albert()), ("t5", t5()), ("spaces", spaces()), ("bytes", bytes_(True)), ("whole", bytes_(False))]
for name, tokenizer in variants:
    directory = os.path.join(folder, name)
    os.makedirs(directory)
    tokenizer.save(os.path.join(directory, "tokenizer.json"))
    directories = [directory]
    if name in ("xlmr", "albert", "t5"):
        directories.append(directory + "-model")
        model_of(directories[1], name)
    if not stride:
        continue
    ids = array.array("i")
    decoded = []
    for number, encoding in enumerate(tokenizer.encode_batch(samples)):
        ids.append(len(encoding.ids))
        ids.extend(encoding.ids)
        decoded.append(tokenizer.decode(encoding.ids) if number % 10 == 0 else None)
    for directory in directories:
        with open(os.path.join(directory, "texts.json"), "w", encoding="utf-8") as stream:
            json.dump(samples, stream, ensure_ascii=False)
        with open(os.path.join(directory, "decoded.json"), "w", encoding="utf-8") as stream:
            json.dump(decoded, stream, ensure_ascii=False)
        with open(os.path.join(directory, "ids.bin"), "wb") as stream:
            ids.tofile(stream)
