"""Language detection: the supported language in which the prose of a text is written.

The detector is py3langid. It is built once, on first use or by `load_detector`, and may be called
from many threads.
"""

from __future__ import annotations

import re
import threading
from functools import cache
from typing import Any

import regex  # type: ignore[import-untyped]
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from memory_service.text.scripts import UNSPACED
from memory_service.text.stemming import STEMMERS

MIN_DETECTABLE_LETTERS = 40
"""Texts with fewer letters have no language.

Measured on 7,200 interface messages in 48 languages at a probability of 0.8: from 40 letters on no
answer was wrong and 94 % got one; of those with 15 to 25 letters 60 % did, 0.2 % wrongly.
"""

MIN_DETECTION_PROBABILITY = 0.8
"""At 0.5, 0.2 % of the same messages of 40 letters and more had a wrong answer.

At 0.9 only 89 % had any.
"""

MAX_DETECTION_CHARACTERS = 4_000
"""More text does not change the answer, and the cost grows with the text."""

_MIN_PROSE_SHARE = 0.6
"""The share of a line's characters that must be words, for the line to count as prose."""

# Languages whose terms are bigrams: knowing them changes no term, but tells them from the others.
_UNSTEMMED = frozenset({"ja", "km", "ko", "lo", "my", "th", "zh"})

SUPPORTED_LANGUAGES = frozenset(STEMMERS) | _UNSTEMMED

# Related languages are offered to the detector, so that their texts do not get the stemmer of
# another language (Ukrainian is not Russian). "zxx" is its label for text without language. All of
# these mean None.
_RELATED_LANGUAGES = frozenset(
    {"af", "be", "bg", "gl", "he", "hr", "mk", "sk", "sl", "uk", "ur", "vi", "zxx"}
)

_LETTER = regex.compile(r"[\p{L}\p{M}]")
_UNSPACED_LETTER = regex.compile(rf"(?V1){UNSPACED}")
_CODE_SIGN = re.compile(r"[\d_=(){}\[\]<>\\/@;|#]")

_IDENTIFIER_LOCK = threading.Lock()


def detect_language(text: str) -> str | None:
    """Return the language of a text as an ISO 639-1 code, or None when it is not certain.

    Only prose counts: lines that look like code, numbers or markup are left out. Below
    `MIN_DETECTABLE_LETTERS` letters, or `MIN_DETECTION_PROBABILITY`, the answer is None, since
    a wrong stemmer and wrong stop words cost more recall than none.
    """
    prose = _prose(text[:MAX_DETECTION_CHARACTERS])
    if _detectable_letters(prose) < MIN_DETECTABLE_LETTERS:
        return None
    language, probability = _identifier().classify(prose)
    if probability < MIN_DETECTION_PROBABILITY or language not in SUPPORTED_LANGUAGES:
        return None
    return str(language)


def load_detector() -> None:
    """Build the detector now: this takes about a second and 100 MB, of which it keeps 60."""
    _identifier()


def _identifier() -> Any:
    """Return the language identifier, built by the first thread that needs it."""
    with _IDENTIFIER_LOCK:
        return _built_identifier()


@cache
def _built_identifier() -> Any:
    """Load the model and restrict it to the languages above; takes about a second."""
    full = LanguageIdentifier.from_model_file(MODEL_FILE)
    full.set_languages(SUPPORTED_LANGUAGES | _RELATED_LANGUAGES)
    # A new object does not keep the model of the languages that are left out: 28 MB.
    return LanguageIdentifier(
        full.nb_ptc,
        full.nb_pc,
        full.nb_classes,
        full.tk_nextmove,
        full.tk_output,
        norm_probs=True,
        tk_row=full.tk_row,
    )


def _prose(text: str) -> str:
    """Return the lines that consist mostly of words, without what looks like code or numbers."""
    return "\n".join(filter(None, map(_line_prose, text.splitlines())))


def _line_prose(line: str) -> str:
    """Return the words of a line, or nothing if they are too small a share of its characters."""
    chunks = line.split()
    words = [chunk for chunk in chunks if not _CODE_SIGN.search(chunk.strip("()[]{}<>#*_;"))]
    prose = sum(map(len, words))
    return " ".join(words) if prose >= _MIN_PROSE_SHARE * sum(map(len, chunks)) else ""


def _detectable_letters(prose: str) -> int:
    """Count letters; one of a script without spaces tells the detector as much as three."""
    return len(_LETTER.findall(prose)) + 2 * len(_UNSPACED_LETTER.findall(prose))
