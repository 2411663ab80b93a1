"""Texts in many scripts, for comparisons of tokenizers: sentences, and lines of characters that tokenizers treat each in
a way of their own.

    multilingual.py COUNT      prints the sentences and COUNT lines, none of which has a line break
"""
import random
import sys

SENTENCES = [
    "Der Bäcker übergibt früh am Morgen große Brötchen, süße Äpfel und heißen Kaffee an Frau Müller-Lüdenscheidt.",
    "L’été dernier, nous avons dîné près d’une forêt : «déjà vu», à 20 € l’œuf, où le hêtre côtoyait le chêne.",
    "El niño pingüino corrió mañana y tarde: ¿quién lo vio? ¡Nadie!",
    "Příliš žluťoučký kůň úpěl ďábelské ódy; łódź płynęła wzdłuż Wisły, a gólya fészkén ült.",
    "Ætt og øl på Ålesund; þórður ðrakk mjólk, Åse spiste blåbær.",
    "Στην αυλή του σχολείου τα παιδιά έπαιζαν ώρες ολόκληρες· ΣΊΣΥΦΟΣ, ὁ ἄνθρωπος.",
    "Утром над рекой стоял туман, и ёж прошёл по мокрой траве; їжак теж.",
    "昨日の雨で、庭の花がきれいに咲きました。ｶﾀｶﾅとひらがなも少し、ＡＢＣ１２３、㍿と①②。",
    "春天来了，小镇的河边开满了桃花，老人们坐在桥上聊天。𠮷野家、㐂、𡃁。",
    "오늘 아침에 한강 옆을 걸으며 따뜻한 커피를 마셨다. \u1112\u1161\u11ab\u1100\u1173\u11af",
    "في الصباح شَرِبَ الولدُ الحليب وقرأ الكتـــاب ١٢٣ مرةً، «نعم».",
    "בוקר טוב, הַיֶּלֶד הלך אל הגן עם אמו: \"שלום\" ו־'לא'.",
    "فارسی می‌نویسیم و نمی‌خوانیم؛ اردو میں ٹھیک ہے۔",
    "सुबह की धूप में किसान क्षेत्र की ओर चल पड़ा। श्री, र्‍य, क्‍ष, १२३",
    "আমার সোনার বাংলা, আমি তোমায় ভালোবাসি। தமிழ் மொழி மிகவும் பழமையானது.",
    "เมื่อเช้านี้ฝนตกหนักมากแต่เด็กๆก็ยังไปโรงเรียน ทำได้",
    "ພາສາລາວ ခင်ဗျား မြန်မာ ភាសាខ្មែរ བོད་སྐད།",
    "Buổi sáng, người nông dân dắt trâu ra đồng; Tie\u0302\u0301ng Vie\u0323\u0302t vie\u0302\u0301t ra\u0300nh.",
    "İstanbul'da ILIK bir akşam, ığdır ve İZMİR üzerine konuştuk.",
    "ქართული ენა, Հայերեն լեզու, ⵜⴰⵎⴰⵣⵉⵖⵜ, ᏣᎳᎩ, አማርኛ ነው።",
    "Emoji: 👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 ☺️ ☺ 1️⃣ #️⃣ 🇩🇪🇫🇷 ❤️‍🔥 👩🏿‍🚀 🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f 🫠 done",
    "a\u0300 la carte, e\u0301te\u0301, Z\u0351\u036b\u0343\u036a\u0302a\u035b\u036cl\u036eg\u0489\u033ao, か\u3099 ﾊﾟ ạ\u0302 ü\u0304",
    "½ of Ⅷ is 4², x₁ ≠ √2 · 10⁻³ ℃ ﬁnal ŉ ǅ ﷺ ㎏ 𝔘𝔫𝔦 𝟙𝟚 ⓐ ℌ",
    "snake_case CamelCase x1y22 10:45 3.14 1,000,000 2024-10-31 C++ #1 @you a/b\\c foo.bar@x.org https://a.b/c?d=e&f=%20",
    "don't they're I'LL we'd it’s rock'n'roll ``quotes'' \"q\" „q“ «q» … — – -- ---",
]

# Kinds of characters; a line takes some of a few kinds, so that each also stands beside letters.
KINDS = [
    list("abcXYZ089"), list(" .,!?'\"`-_#@()/\\"), ["the", "ing", "New", "don't", "2024", "the ", " and"],
    list("éèñüßøœçÅåÉİıŁłžșǅ"), ["e\u0301", "n\u0303", "u\u0308\u0304", "a\u0302\u0323", "o\u0337", "\u0301", "\u0489"],
    list("東京都学校日本語中文字。、「」・ー々"), list("かなカナｶﾅがパ") + ["か\u3099", "ﾊ\uff9f"], list("한국어각") + ["\u1112\u1161\u11ab", "\u1100", "\u11a8"],
    list("абвёйщЖ"), list("αβςΣώἄ"), list("شرب٣ةىک‌ـ") + ["ب\u0650", "لا", "\u064b"], list("שלוםך") + ["ה\u05b7", "\u05be"],
    ["क्ष", "र्‍", "ि", "१", "ங்க", "ஸ்ரீ", "ก็", "ำ", "ဗျ", "ខ្មែ", "་"],
    ["👩‍🚀", "👩‍👩‍👧‍👦", "👍🏽", "🏳️‍🌈", "☺️", "☺", "1️⃣", "🇩🇪", "🇩", "❤️‍🔥", "🏽", "\u200d", "\ufe0f", "\ufe0e", "🫠", "\U000e0067"],
    ["\u200b", "\u200c", "\u200d", "\u200e", "\u200f", "\u2060", "\u2063", "\ufeff", "\u00ad", "\u180e", "\u034f", "\u061c"],
    ["\u202a", "\u202e", "\u202c", "\u2066", "\u2069"],
    ["\u00a0", "\u1680", "\u2000", "\u2003", "\u2007", "\u2009", "\u200a", "\u202f", "\u205f", "\u3000", "\t", "  ", "   "],
    ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c", "\x1f"],
    [chr(code) for code in (*range(1, 9), *range(0x0E, 0x1C), *range(0x7F, 0x85), 0x9F)], ["\ufffd", "\ufffe", "\ue000", "\U0010fffd", "\ufdd0"],
    list("½ⅧⅷⅠ①㍿ﬁﬃǆŉℌ㎏²₁ｆ１＃"), list("𝔘𝟙🄰") + ["𠮷", "\U00010940", "\U0001e900", "\U000118a0", "\U0002f800"],
    list("€£¥₹±×÷≠√∀→■░▁‖†‡•‰"), ["<s>", "</s>", "<unk>", "<mask>", "[MASK]", "[CLS]", "<0x41>", "<|endoftext|>", "▁", "##a", "Ġ"],
]


def lines(count, seed=17):
    """COUNT lines of characters of a few kinds each."""
    chance = random.Random(seed)
    result = []
    for _ in range(count):
        kinds = [KINDS[0], KINDS[1]] + chance.sample(KINDS, chance.randrange(1, 5))
        result.append("".join(chance.choice(chance.choice(kinds)) for _ in range(chance.randrange(1, 40))))
    return result


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    for line in SENTENCES + lines(int(sys.argv[1])):
        print(line)
