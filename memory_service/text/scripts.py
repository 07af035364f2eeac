"""Character classes for the `regex` library that depend on a script (a writing system)."""

UNSPACED = (
    r"[[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
    r"\u30FC\uFF70\uFF9E\uFF9F]&&[\p{L}\p{M}\p{Nl}]]"
)
"""Letters and marks of the scripts that are split into bigrams of characters.

These are the scripts without spaces between words, and Hangul, whose particles are attached to the
noun. The class needs the flag `(?V1)`.
"""

INVISIBLE = r"\u00AD\u200B-\u200D\u2060\u20E3\uFE00-\uFE0F\uFEFF"
"""The inside of a class: soft hyphen, joiners, variation selectors, the frame of a keycap.

None of them changes a word.
"""
