"""The factors of the offline token counter, fitted to samples. Pure.

The offline counter weighs the tokens of a llama tokenizer by script. For each script the factor is
a high quantile of (tiktoken's tokens / llama's tokens) over the samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from eval.fitting.token_texts import CORPORA, TextSample
from memory_service.tokens.estimate import FACTORS, LATIN_AMOUNTS, measure, weigh
from memory_service.tokens.slices import well_formed

QUANTILE = 0.99
# English has the reserve and the count of pieces above its factor, and should not exceed by 15 %.
LATIN_QUANTILE = 0.9
# The other languages are fitted to a few paragraphs: a margin for the subjects they do not have.
MARGIN = 1.05
# A kanji takes one token or three, so a short Japanese text can be far from the paragraphs: a
# sentence of the tests is 11 % above their quantile.
MARGINS = {"japanese": 1.12}
# What three digits and three line ends may weigh: the blank before a number is often a token
# too, and line ends often share one with the character before them.
DIGITS = (1.0, 1.25, 1.5)
LINES = (0.5, 0.75, 1.0)

Amounts = dict[str, int]
Factors = dict[str, float]


class MeasuredSample(NamedTuple):
    """A sample with its amounts: what the offline counter weighs by the factors."""

    sample: TextSample
    amounts: Amounts


def fit_factors(
    samples: Sequence[TextSample], encode_length: Callable[[str], int]
) -> Mapping[str, float]:
    """Return the table: Latin first, because digits, blanks and names occur in every script.

    `encode_length` counts the tokens of the llama tokenizer.
    """
    measured = [MeasuredSample(sample, _amounts(sample.text, encode_length)) for sample in samples]
    factors = _fit_latin(measured)
    factors |= dict.fromkeys(FACTORS.keys() - factors.keys(), 0.0)
    for script in [name for name in FACTORS if not factors[name]]:
        ratios = [
            (sample.tokens - weigh(amounts, factors)) / amounts[script]
            for sample, amounts in measured
            if sample.script == script
        ]
        margin = MARGINS.get(script, MARGIN)
        factors[script] = _round_up(margin * float(np.quantile(ratios, QUANTILE)))
    return factors


def _amounts(text: str, encode_length: Callable[[str], int]) -> Amounts:
    """Return the amounts of a text, 0 for those of Latin that it does not have."""
    amounts: Amounts = dict.fromkeys(LATIN_AMOUNTS, 0) | measure(well_formed(text), encode_length)
    return amounts


def _fit_latin(measured: Sequence[MeasuredSample]) -> Factors:
    """Return the factors of Latin text: those with the smallest excess over English.

    A pair of weights for digits and line ends determines the weight of the other tokens, as the
    highest quantile of any corpus.
    """
    english = [pair for pair in measured if pair.sample.group in CORPORA]
    tables = [_latin_table(english, digits, lines) for digits in DIGITS for lines in LINES]
    best = min(tables, key=lambda table: _mean_excess(english, table))
    accented = [pair for pair in measured if pair.sample.script == "accented"]
    factor = _highest_ratio(accented, best, QUANTILE) - best["latin"]
    return best | {"accented": _round_up(factor)}


def _latin_table(english: Sequence[MeasuredSample], digits: float, lines: float) -> Factors:
    """Return the factors of English for given weights of digits and line ends."""
    weights = {"latin": 0.0, "accented": 0.0, "digits": digits, "lines": lines}
    return weights | {"latin": _round_up(_highest_ratio(english, weights, LATIN_QUANTILE))}


def _highest_ratio(measured: Sequence[MeasuredSample], weights: Factors, quantile: float) -> float:
    """Return the largest of the groups' quantiles of tiktoken's tokens per token of llama."""
    groups: dict[str, list[float]] = {}
    for sample, amounts in measured:
        rest = sample.tokens - sum(weights[name] * amounts[name] for name in ("digits", "lines"))
        groups.setdefault(sample.group, []).append(rest / max(1, amounts["latin"]))
    return max(float(np.quantile(ratios, quantile)) for ratios in groups.values())


def _mean_excess(measured: Sequence[MeasuredSample], factors: Factors) -> float:
    """Return the mean of (estimate - count) / count."""
    ratios = [weigh(amounts, factors) / sample.tokens for sample, amounts in measured]
    return float(np.mean(ratios)) - 1


def _round_up(factor: float) -> float:
    """Return a factor with two decimals."""
    return math.ceil(100 * factor) / 100
