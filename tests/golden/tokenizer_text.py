"""Multilingual text for tokenizer tests: sentences written for this project (same licence as the code),
mixed and damaged by a seeded generator, and stretches of Unicode."""
import random
import unicodedata

SENTENCES = """
The quick brown fox jumps over the lazy dog; nobody was surprised.
It's what they've said: I'd go, you'll stay, we're late, he's 42 and I'm not.
Prices rose 3.5% to $1,299.99 (about €1.180,50) on 2024-02-29 at 23:59:60 UTC!
Federated learning keeps data where it is; only small updates travel.
Visit https://example.org/a_b-c?q=1&r=%20#top or write to some.one+tag@example.co.uk.
def f(x): return {"a": [x ** 2, not x]}  # comment -> 'quoted' \\ backslash
state-of-the-art rock'n'roll O'Neill's mother-in-law e.g. i.e. etc...
Zażółć gęślą jaźń, a potem napij się herbaty z cytryną.
Příliš žluťoučký kůň úpěl ďábelské ódy nad řekou Vltavou.
Die Straße führt über Größenwahn; ẞ ist ein großes Eszett, ſ ein langes s.
L'été dernier, à Noël, l'œuvre du garçon coûtait 1 234,56 € — voilà !
El pingüino comió piñas en Logroño; ¿cuántas? ¡Muchísimas!
A ação não começou às três horas, mas à meia-noite.
Perché la città è così bella? Perciò ci torneremo più spesso.
Fallegt veður í Reykjavík: þetta er æðislegt, sagði Ólöf.
Rødgrød med fløde på en smuk ø; blåbærsyltetøj og ærter.
Hyvää yötä, sanoi äiti ja sammutti lyijytäytekynän näköisen lampun.
Árvíztűrő tükörfúrógép, őszinte hűség és újabb üröm.
Ţara şi ţăranii; Țara și țăranii: sedilă sau virgulă?
İstanbul'da ılık bir gün; IĞDIR ve ığdır, şöyle böyle çok güzel.
Tiếng Việt có nhiều dấu: Ầ ẫ ậ ễ ộ ữ ỵ, ngày mai trời sẽ đẹp.
Широкая электрификация южных губерний даст мощный толчок подъёму.
Щастя їжака — це ґанок, де живе єдиноріг; об'єднання.
Ђак је љут, а Његош ћути; џеп је пун.
Ελληνικά: ο Σίσυφος σκέφτεται τὴν ὁδόν, ΌΔΥΣΣΕΥΣ ᾧ ᾳ.
Հայերեն տառերը գեղեցիկ են, և մենք սիրում ենք դրանք։
ქართული ენა ლამაზია; ᲥᲐᲠᲗᲣᲚᲘ მთავრული.
שלום עולם! מה שלומך היום? בְּרֵאשִׁית בָּרָא
مرحبا بالعالم، كيف حالكم اليوم؟ السَّلَامُ عَلَيْكُمْ ١٢٣٤٥
فارسی می‌نویسم؛ کتاب‌ها و خانه‌ها ۶۷۸۹۰.
اردو زبان میں لکھا ہوا ایک جملہ ہے۔
हिन्दी में एक वाक्य: मैं कल दिल्ली जाऊँगा। क्षत्रिय ज्ञान १२३
বাংলা ভাষায় লেখা একটি বাক্য, যেখানে ড় ঢ় য় আছে।
ਪੰਜਾਬੀ ਵਿੱਚ ਲਿਖਿਆ ਇੱਕ ਵਾਕ।
தமிழ் மொழியில் எழுதப்பட்ட ஒரு வாக்கியம்.
తెలుగులో వ్రాసిన ఒక వాక్యం.
ಕನ್ನಡದಲ್ಲಿ ಬರೆದ ಒಂದು ವಾಕ್ಯ.
മലയാളത്തിൽ എഴുതിയ ഒരു വാക്യം.
සිංහල භාෂාවෙන් ලියූ වාක්‍යයක්.
ภาษาไทยไม่มีช่องว่างระหว่างคำ น้ำดื่มเย็นๆ ๑๒๓
ພາສາລາວກໍ່ບໍ່ມີຊ່ອງຫວ່າງ.
ខ្ញុំសរសេរជាភាសាខ្មែរ។
မြန်မာဘာသာဖြင့် ရေးထားသော စာကြောင်း။
བོད་ཡིག་གི་ཚིག་གྲུབ་ཅིག
አማርኛ የኢትዮጵያ ቋንቋ ነው። ፩፪፫
我今天在北京吃了很多饺子，味道好极了！你呢？
繁體中文：臺灣的夜市很熱鬧，龍鳳呈祥。
日本語の文です。カタカナと漢字、ｶﾀｶﾅ（半角）も混ぜて１２３！ がぎぐ
한국어 문장입니다. 각각의 음절과 한글 ㄱㄴㄷ, 大韓民國.
Mixed 中文and English混在 with한글 ปนกัน и кириллица.
Монгол хэл: ᠮᠣᠩᠭᠣᠯ ᠪᠢᠴᠢᠭ
ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ ꭰꭱꭲ; ߒߞߏ; ⵜⴰⵎⴰⵣⵉⵖⵜ
𐐔𐐯𐑅𐐨𐑉𐐯𐐻 𝒜𝓁𝓅𝒽𝒶 𝔅𝔢𝔱𝔞 𝟘𝟙𝟚 ⅣⅨ ①②③ ½ ¼ ﬁ ﬂ ﬀ ㎏ ㈱ ℃ Å Ω
😀😃 👨‍👩‍👧‍👦 👩🏽‍🚀 🏳️‍🌈 🇩🇪🇯🇵 ❤️ ☎️ 1️⃣ 🤷🏻‍♀️
“Quoted” ‘single’ «guillemets» „low“ 「角」 — – ‐ … ‰ † • ¶ § © ® ™ ¥ £ ¢
""".strip("\n").split("\n")

ODD = [
    "", " ", "  ", "\t", "\n", "\r\n", "   leading", "trailing   ", " both ", "a  b   c    d",
    "tab\tand\nnewline\r\nand\x0bvertical\x0cfeed", "nul\x00inside", "\x00", "bell\x07 del\x7f esc\x1b[0m",
    "next\x85line", "nb\u00a0space", "thin\u2009hair\u200aideographic\u3000space", "zero\u200bwidth",
    "zwj\u200dzwnj\u200cbom\ufeffshy\u00ad", "line\u2028para\u2029sep", "mongolian\u180evowel",
    "rtl\u202eoverride\u202c", "\ufffd replacement", "\ufffe\uffff nonchar", "\ue000private\U000f0000",
    "e\u0301 \u00e9 E\u0301 \u00c9", "a\u0323\u0307 a\u0307\u0323 \u1e69 s\u0323\u0307",
    "\u0301leading mark", "\u0344\u0385 double", "q\u0307\u0323\u0301\u0308\u0330" * 5,
    "\u1100\u1161\u11a8 \uac01 \u1100\u1161", "\u212b \u2126 \ufb33 \U0002f800", "\u0130\u0131Ii",
    "\u01c5\u01c4\u01c6 \u1e9e\u00df", "[CLS] [SEP] [MASK] [PAD] [UNK]", "a[MASK]b [mask] [MASK][MASK]",
    "<s> </s> <mask> <pad> <unk>", "x <mask> y<mask>z  <mask>  w", "<mask", "[MAS K]", "##ing ## #",
    "a" * 99, "a" * 100, "a" * 101, "\u00e9" * 100, "\u4e2d" * 120, "ab" * 3000, "!" * 300, "x " * 400,
    "''s 'S 's't're've'm'll'd 're'r", "don't DON'T don’t", "  's", "1234567890" * 5, "3.14e-10 0x1F 1_000",
    "\u0661\u0662 \u096a \u2160 \u00b2\u00bd", "CamelCaseAndSnake_case_and-kebab-case", "___ -- ==", "\\n\\t",
    "\u0e01\u0e33\u0e49", "\u0958 \u0915\u093c", "\U0001f1e6\U0001f1e7", "a\u20dd\u0488", "\u0345\u1fb3\u0391\u0345",
]

BLOCKS = [(0x20, 0x7f), (0x80, 0x250), (0x250, 0x370), (0x370, 0x530), (0x530, 0x700), (0x700, 0x900),
          (0x900, 0xe00), (0xe00, 0x1100), (0x1100, 0x1400), (0x1400, 0x1c00), (0x1c00, 0x2000),
          (0x2000, 0x2c00), (0x2c00, 0x3100), (0x3100, 0x3400), (0x4e00, 0x9fff), (0xa000, 0xac00),
          (0xac00, 0xd7a4), (0xf900, 0x10000), (0x10000, 0x11000), (0x11000, 0x12000),
          (0x16000, 0x17000), (0x1d000, 0x1d800), (0x1e000, 0x1f000), (0x1f000, 0x1fb00),
          (0x20000, 0x2a6e0), (0x2f800, 0x2fa20), (0xe0000, 0xe01f0)]


def from_block(rng, assigned=True):
    first, last = rng.choice(BLOCKS)
    while True:
        c = chr(rng.randrange(first, last))
        if not assigned or unicodedata.category(c) not in ("Cn", "Cs"):
            return c


def mutate(rng, s):
    """One seeded change of a sentence."""
    kind = rng.randrange(10)
    words = s.split(" ")
    if kind == 0:
        return s.upper()
    if kind == 1:
        return s.title()
    if kind == 2:
        return unicodedata.normalize(rng.choice(["NFD", "NFC", "NFKD", "NFKC"]), s)
    if kind == 3:
        rng.shuffle(words)
        return " ".join(words)
    if kind == 4:
        return rng.choice([" ", "  ", "\t", "\u00a0", ""]).join(words)
    if kind == 5:
        return s + " " + rng.choice(SENTENCES)
    if kind == 6:
        at = rng.randrange(len(s) + 1)
        return s[:at] + from_block(rng) + s[at:]
    if kind == 7:
        a, b = sorted((rng.randrange(len(s) + 1), rng.randrange(len(s) + 1)))
        return s[a:b]
    if kind == 8:
        return s.replace(" ", rng.choice(["  ", " [MASK] ", " <mask>", "\n", "\u200b", "'s "]), 2)
    return "".join(c + rng.choice(["", "", "", "\u0301", "\u0323", "\u20dd"]) for c in s)


def sample(count, seed=7):
    """`count` texts: all sentences and odd ones first, then changed sentences and random characters."""
    rng = random.Random(seed)
    out = list(SENTENCES) + list(ODD)
    while len(out) < count:
        if rng.random() < 0.75:
            s = rng.choice(SENTENCES)
            for _ in range(rng.randrange(1, 4)):
                s = mutate(rng, s)
        else:
            s = "".join(" " if rng.random() < 0.15 else from_block(rng, rng.random() < 0.95)
                        for _ in range(rng.randrange(1, 40)))
        out.append(s)
    return out[:count]


def broken(count, seed=11):
    """Byte strings that are not valid UTF-8."""
    rng = random.Random(seed)
    out = []
    while len(out) < count:
        b = bytearray(rng.choice(SENTENCES).encode()[:80])
        for _ in range(rng.randrange(1, 6)):
            at = rng.randrange(len(b) + 1)
            b[at:at + rng.randrange(3)] = rng.choice(
                [b"\xff", b"\xc0\x80", b"\xe2\x82", b"\xf0\x9f\x98", b"\xed\xa0\x80", b"\x80", b"\xf4\x90\x80\x80",
                 b"\xe0\x80\xaf", bytes([rng.randrange(256)])])
        out.append(bytes(b))
    return out
