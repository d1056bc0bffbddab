#!/usr/bin/env python3
"""Writes host/unicode_exceptions.h: where HF `tokenizers` and utf8proc disagree about a character.

The crates below `tokenizers` carry Unicode tables of different ages (classes about 8, normal forms
about 10, letter case and regular expressions 16 or 17). Every code point is asked of both sides, and
the differences become short tables of forced answers.

    python3 tests/golden/make_unicode_exceptions.py > host/unicode_exceptions.h

Needs: tokenizers (PyPI), libutf8proc.so, libpcre2-8.so.
"""
import ctypes
import ctypes.util
import sys

import tokenizers
from tokenizers import Regex
from tokenizers import normalizers as N
from tokenizers import pre_tokenizers as P

U = ctypes.CDLL(ctypes.util.find_library("utf8proc"))
U.utf8proc_decompose.restype = ctypes.c_ssize_t
U.utf8proc_version.restype = ctypes.c_char_p
R = ctypes.CDLL(ctypes.util.find_library("pcre2-8"))
R.pcre2_compile_8.restype = R.pcre2_match_data_create_8.restype = ctypes.c_void_p
BUF = (ctypes.c_int32 * 64)()
DECOMPOSE, STABLE, COMPAT = 1 << 4, 1 << 1, 1 << 2
LU, LO, MN, MC, ME, ND, NL, NO, PC, PO, ZS, ZL, ZP, CC, CF, CS, CO = (
    1, 5, 6, 7, 8, 9, 10, 11, 12, 18, 23, 24, 25, 26, 27, 28, 29)
OTHER_ALPHABETIC = [(0x24B6, 0x24E9), (0x1F130, 0x1F149), (0x1F150, 0x1F169), (0x1F170, 0x1F189)]
CHARS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]


def decompose(text, options):
    raw = text.encode()
    n = U.utf8proc_decompose(raw, ctypes.c_ssize_t(len(raw)), BUF, ctypes.c_ssize_t(64), options)
    return "".join(map(chr, BUF[:n]))


def pcre(pattern):
    code, where = ctypes.c_int(), ctypes.c_size_t()
    utf, ucp = 0x00080000, 0x00020000
    regex = ctypes.c_void_p(R.pcre2_compile_8(
        pattern, ctypes.c_size_t(len(pattern)), ctypes.c_uint32(utf | ucp), ctypes.byref(code),
        ctypes.byref(where), None))
    data = ctypes.c_void_p(R.pcre2_match_data_create_8(ctypes.c_uint32(4), None))

    def matches(char):
        raw = char.encode()
        return R.pcre2_match_8(regex, raw, ctypes.c_size_t(len(raw)), ctypes.c_size_t(0),
                               ctypes.c_uint32(0), data, None) > 0
    return matches


def ranges(pairs):
    out = []
    for c, value in pairs:
        if out and out[-1][1] == c - 1 and out[-1][2] == value:
            out[-1][1] = c
        else:
            out.append([c, c, value])
    return out


def table(name, comment, pairs):
    print(f"\n/* {comment} */\nstatic const wh_forced_range {name}[] = {{")
    line = "   "
    for first, last, value in ranges(pairs):
        item = f" {{0x{first:x}, 0x{last:x}, {value}}},"
        if len(line) + len(item) > 100:
            print(line)
            line = "   "
        line += item
    print(line + "\n};")


def differ(theirs, *ours):
    """Pairs (code point, their answer) where one of ours differs."""
    out = []
    for c in CHARS:
        value = int(theirs(chr(c)))
        if any(int(f(chr(c))) != value for f in ours):
            out.append((c, value))
    return out


def category(char):
    return U.utf8proc_category(ord(char))


def isolated(step):
    return lambda ch: len(step.pre_tokenize_str("a" + ch)) == 2


def removed(pattern):
    step = P.Split(Regex(pattern), "removed")
    return lambda ch: not step.pre_tokenize_str(ch)


def is_word(ch):
    c, cat = ord(ch), category(ch)
    return (LU <= cat <= NL or cat == PC or c in (0x200C, 0x200D)
            or any(a <= c <= b for a, b in OTHER_ALPHABETIC))


def reordered(norm, ch):
    for mark in "\u0301\u0323\u3099\u05b0\u0345\u0334\u0e38":
        for s in ("a" + mark + ch, "a" + ch + mark):
            if norm.normalize_str(s) != decompose(s, DECOMPOSE | STABLE):
                return True
    return False


def lower(ch):
    return chr(U.utf8proc_tolower(ord(ch)))


def main():
    clean = N.BertNormalizer(clean_text=True, handle_chinese_chars=False, strip_accents=False,
                             lowercase=False)
    marks = N.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True,
                             lowercase=False)
    nfd, nfkd, low = N.NFD(), N.NFKD(), N.Lowercase()
    words = P.Whitespace()
    print(f"""/* Characters whose class, case or decomposition in HF tokenizers {tokenizers.__version__} is not
 * what utf8proc {U.utf8proc_version().decode()} says: {{first, last, forced answer}}.
 * Made by tests/golden/make_unicode_exceptions.py; not edited by hand. */
#ifndef WH_UNICODE_EXCEPTIONS_H
#define WH_UNICODE_EXCEPTIONS_H

#include <stdint.h>

typedef struct {{
    uint32_t first, last;
    int32_t answer;
}} wh_forced_range;

/* clang-format off */""")
    table("forced_control", "Dropped by clean_text: categories Cc, Cf, Co.", [
        (c, v) for c, v in differ(lambda ch: clean.normalize_str(ch) == "",
                                  lambda ch: category(ch) in (CC, CF, CO) and ch not in "\t\n\r"
                                  or ch == "\ufffd")])
    table("forced_nonspacing", "Category Mn.", differ(lambda ch: marks.normalize_str(ch) == "",
                                                      lambda ch: category(ch) == MN))
    strip = N.StripAccents()
    table("forced_combining", "Categories Mn, Mc, Me.",
          differ(lambda ch: strip.normalize_str(ch) == "", lambda ch: MN <= category(ch) <= ME))
    table("forced_punctuation", "Categories P*, and ASCII punctuation.",
          differ(isolated(P.Punctuation()),
                 lambda ch: PC <= category(ch) <= PO or ch in "$+<=>^`|~"))
    table("forced_numeric", "Categories N* (Rust's char::is_numeric).",
          differ(isolated(P.Digits(True)), lambda ch: ND <= category(ch) <= NO))
    table("forced_word", "\\w of Rust's regex crate; also where PCRE2's tables differ.",
          differ(lambda ch: words.pre_tokenize_str("a" + ch) == [("a" + ch, (0, 2))], is_word,
                 pcre(rb"[\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{200c}\x{200d}\x{24b6}-\x{24e9}\x{1f130}-\x{1f149}"
                      rb"\x{1f150}-\x{1f169}\x{1f170}-\x{1f189}]")))
    table("forced_letter", "\\p{L} of Oniguruma; also where PCRE2 differs.",
          differ(removed(r"\p{L}"), lambda ch: LU <= category(ch) <= LO, pcre(rb"\p{L}")))
    table("forced_number", "\\p{N} of Oniguruma; also where PCRE2 differs.",
          differ(removed(r"\p{N}"), lambda ch: ND <= category(ch) <= NO, pcre(rb"\p{N}")))
    table("forced_lower", "Lower case: the answer is what to add. U+0130 is in unicode.c.",
          [(c, ord(low.normalize_str(chr(c))) - c) for c in CHARS
           if c != 0x130 and low.normalize_str(chr(c)) != lower(chr(c))])
    same = [c for c in CHARS if nfd.normalize_str(chr(c)) != decompose(chr(c), DECOMPOSE | STABLE)]
    assert all(nfd.normalize_str(chr(c)) == chr(c) for c in same)
    table("forced_canonical", "No canonical decomposition.", [(c, 0) for c in same])
    same = [c for c in CHARS
            if nfkd.normalize_str(chr(c)) != decompose(chr(c), DECOMPOSE | STABLE | COMPAT)]
    assert all(nfkd.normalize_str(chr(c)) == chr(c) for c in same)
    table("forced_compat", "No compatibility decomposition.", [(c, 0) for c in same])
    table("forced_class_zero", "Canonical combining class 0.",
          [(c, 0) for c in CHARS if category(chr(c)) in (MN, MC, ME) and reordered(nfd, chr(c))])
    print("\n#endif")


if __name__ == "__main__":
    sys.exit(main())
