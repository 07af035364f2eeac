"""What a question says of its answer besides its words: whose it is, and what it looks like. Pure.

The rules are short lists for some languages, read in any of them; a question in another language
has no cues and is ranked by its words and vector alone.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

TIME, NUMBER, NAME = 1, 2, 4
"""Kinds of answer, as bits: what a question asks for, or a text holds."""

_ASKS = {
    TIME: re.compile(
        r"\b(?:when|how long|since when|wann|wie lange|seit wann|quand|combien de temps|cuándo"
        r"|cuánto tiempo|desde cuándo|quando|wanneer|hoe lang|когда|как долго|сколько времени)\b"
        r"|什么时候|何时|多久|哪天|哪一天|几点",
        re.IGNORECASE,
    ),
    NUMBER: re.compile(
        r"\b(?:how (?:many|much|old|far|tall|big)|wie ?vie[l]\w*|wie alt|wie weit|combien"
        r"|cuánt[oa]s?|quant[oiea]s?|hoeveel|сколько)\b|多少|几[个次位只本年岁]",
        re.IGNORECASE,
    ),
    NAME: re.compile(
        r"\b(?:who|whose|where|which|names?|called|wer|wem|wen|wo|wohin|woher|welche\w*|heißt"
        r"|qui|où|quel\w*|quién|quiénes|dónde|adónde|cuáles|chi|dove|quali|quem|onde|wie|waar"
        r"|welke|кто|кого|кому|где|куда|как(?:ой|ая|ие|ую) зовут)\b",
        re.IGNORECASE,
    ),
}
_HOLDS = {
    TIME: re.compile(
        r"\b(?:yesterday|today|tonight|tomorrow|last|next|ago|weeks?|weekend|months?|years?|since"
        r"|(?:mon|tues|wednes|thurs|fri|satur|sun)day|morning|recently|january|february|march|april"
        r"|may|june|july|august|september|october|november|december|[12]\d{3}"
        r"|gestern|heute|morgen|letzte\w*|nächste\w*|vor|wochen?|jahre?n?|montag|dienstag|mittwoch"
        r"|donnerstag|freitag|samstag|sonntag|januar|februar|märz|mai|juni|juli|oktober|dezember"
        r"|hier|aujourd'hui|demain|dernier|dernière|semaines?|mois|an(?:s|née)?"
        r"|ayer|hoy|mañana|pasad[oa]|semanas?|mes(?:es)?|años?|enero|febrero|marzo|abril|mayo|junio"
        r"|julio|agosto|septiembre|octubre|noviembre|diciembre"
        r"|вчера|сегодня|завтра|недел\w+|месяц\w*|год\w*|лет|назад|январ\w+|феврал\w+|март\w*"
        r"|апрел\w+|ма[йея]|июн\w+|июл\w+|август\w*|сентябр\w+|октябр\w+|ноябр\w+|декабр\w+)\b"
        r"|昨天|今天|明天|上周|下周|星期|周[一二三四五六日末]|个月|去年|今年|明年|\d月|\d[日号]",
        re.IGNORECASE,
    ),
    NUMBER: re.compile(
        r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|twice|once|couple|several|few"
        r"|another|both|first|second|third|zwei|drei|vier|fünf|sechs|sieben|acht|neun|zehn|deux"
        r"|trois|quatre|cinq|sept|huit|neuf|dix|dos|tres|cuatro|cinco|siete|ocho|nueve|diez|два"
        r"|две|три|четыре|пять|шесть|семь|восемь|девять|десять)\b"
        r"|[一二两三四五六七八九十][个次位只本年岁]",
        re.IGNORECASE,
    ),
}
_SAID_BY_ASSISTANT = re.compile(
    # What was said, not what is asked for: "can you list", "would you suggest".
    r"\b(?:did|have|had) you\b"
    r"|\byou (?:\w+ly )?(?:(?:recommend|suggest|mention|explain|offer|list|show)ed"
    r"|advised|proposed|provided|said|told|gave|wrote|calculated)\b"
    r"|\byour (?:\w+ )?(?:advice|tips?|suggestion|recommendation|answer|response|explanation|idea)"
    r"|\b(?:hast|hattest) du\b|\bdu (?:\w+ ){0,4}(?:empfohlen|vorgeschlagen|gesagt|geraten|erklärt)"
    r"|\bdein\w* (?:rat|vorschlag|empfehlung|tipp|antwort)"
    r"|\b(?:as-tu|avez-vous|tu m'as|vous m'avez)\b|\bme (?:recomend|sugeri|dij|acons|has |diste)"
    r"|\bты (?:\w+ ){0,3}(?:посовет|предлож|рекоменд|сказал|объясн)"
    r"|你(?:\w{0,4})(?:建议|推荐|说|告诉|提)",
    re.IGNORECASE,
)
_WORD = re.compile(r"\w+")
_ENDS = '.!?…:"”)'
_MARKS = ".,;:!?…\"'“”«»()[]*"


def asked_for(question: str) -> int:
    """Return what kinds of answer a question calls for."""
    return _found(question, _ASKS)


class Held(NamedTuple):
    """What a chunk of text without spaces holds.

    `name` is the folded word that may be a name: a capital inside a sentence tells one. In German
    every noun has a capital, which only makes the cue a weak one there. `ends` says that a sentence
    ends with the chunk.
    """

    kinds: int
    name: str
    ends: bool


def held_by(chunk: str) -> Held:
    """Return what kinds of answer text without spaces holds, and what it may name."""
    word = chunk.strip(_MARKS)
    name = word.casefold() if word[:1].isupper() and word[1:].islower() else ""
    return Held(_found(chunk, _HOLDS), name, chunk[-1] in _ENDS)


def asks(text: str) -> bool:
    """Return whether a text asks something."""
    return any(mark in text for mark in "?\N{FULLWIDTH QUESTION MARK}\N{ARABIC QUESTION MARK}")


def name_words(speakers: Collection[str]) -> frozenset[str]:
    """Return the single words of the speakers' names, folded."""
    return frozenset(word for name in speakers for word in _WORD.findall(name.casefold()))


def named(question: str, speakers: Collection[str]) -> frozenset[str]:
    """Return those of the speakers that a question names, by any word of their name."""
    said = set(_WORD.findall(question.casefold()))
    return frozenset(name for name in speakers if said & name_words([name]))


def speaks_to_assistant(question: str) -> bool:
    """Return whether a question is about what the assistant said, not about its asker."""
    return _SAID_BY_ASSISTANT.search(question) is not None


def _found(text: str, patterns: dict[int, re.Pattern[str]]) -> int:
    found = 0
    for kind, pattern in patterns.items():
        if pattern.search(text):
            found |= kind
    return found
