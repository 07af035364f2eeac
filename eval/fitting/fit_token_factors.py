"""`python -m eval fit-token-factors`: fits the factors of the offline token counter.

The true count is the larger one of the vocabularies cl100k_base and o200k_base; they are read from
the folder that TIKTOKEN_CACHE_DIR names. The errors are those of the shipped counter, with the
table in `memory_service/tokens/estimate.py`: run, paste the fitted table there, run again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from eval.console import complain
from eval.errors import DatasetError
from eval.fitting.token_factors import fit_factors
from eval.fitting.token_texts import CORPORA, SHORTEST_TOKENS, TextSample, samples
from memory_service.tokens.counting import TokenCounter
from memory_service.tokens.encodings import ENCODINGS, open_counter, open_offline_counter
from memory_service.tokens.estimate import FACTORS


class LargerCount:
    """A counter that returns the larger count of several counters."""

    name = "larger of " + ", ".join(ENCODINGS)

    def __init__(self, counters: Sequence[TokenCounter]) -> None:
        self._counters = counters

    def count(self, text: str) -> int:
        """Return the larger count."""
        return max(counter.count(text) for counter in self._counters)


def fit_token_factors(
    docs: Annotated[
        Path,
        typer.Option(exists=True, file_okay=False, help="Folder of the *.docs.jsonl files."),
    ],
    vocabularies: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            envvar="TIKTOKEN_CACHE_DIR",
            help="Folder of tiktoken's vocabularies.",
        ),
    ] = None,
) -> None:
    """Fit the factors of the offline token counter, and show the errors of the shipped ones."""
    if vocabularies is None:
        raise typer.BadParameter("give --vocabularies or TIKTOKEN_CACHE_DIR")
    try:
        _check_files(docs)
        truth = _open_truth(vocabularies)
    except DatasetError as error:
        raise complain("fit-token-factors", error) from error
    counter = open_offline_counter()
    fitting = [*samples(docs, 0, truth)]
    held_back = [*samples(docs, 1, truth)]
    _print_factors(fit_factors(fitting, counter.encode_length))
    _print_errors(held_back, counter)
    _print_speed([sample.text for sample in held_back], counter, truth)


def _check_files(docs: Path) -> None:
    """Raise DatasetError unless the files of all corpora exist."""
    paths = [docs / f"{corpus}.docs.jsonl" for corpus in CORPORA]
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise DatasetError(f"these files are missing: {', '.join(missing)}")


def _open_truth(folder: Path) -> LargerCount:
    """Return the true counter; raises DatasetError if a vocabulary is missing."""
    counters = [open_counter(name, allow_download=False, cache_dir=folder) for name in ENCODINGS]
    if not all(counter.name.startswith("tiktoken:") for counter in counters):
        raise DatasetError(f"the vocabularies {', '.join(ENCODINGS)} are not in {folder}")
    return LargerCount(counters)


def _print_factors(factors: Mapping[str, float]) -> None:
    """Print the fitted table, and where the shipped one differs."""
    print("fitted factors")
    for name, shipped in FACTORS.items():
        differs = "" if factors[name] == shipped else f"   (shipped: {shipped})"
        print(f'    "{name}": {factors[name]},{differs}')


def _print_errors(held_back: Sequence[TextSample], counter: TokenCounter) -> None:
    """Print the shipped counter's relative errors on texts that were held back, in per cent."""
    print(
        f"\nerrors of {counter.name} on held-back windows of {SHORTEST_TOKENS} tokens and more, "
        "in %"
    )
    print(f"{'group':<12}{'windows':>8}{'mean':>8}{'least':>8}{'most':>8}{'too low':>9}")
    for group in dict.fromkeys(sample.group for sample in held_back):
        members = [sample for sample in held_back if sample.group == group]
        errors = np.array([100 * (counter.count(s.text) / s.tokens - 1) for s in members])
        low = 100 * float(np.mean(errors < 0))
        print(
            f"{group:<12}{len(members):>8}{errors.mean():>8.1f}{errors.min():>8.1f}"
            f"{errors.max():>8.1f}{low:>9.2f}"
        )


def _print_speed(texts: Iterable[str], *counters: TokenCounter) -> None:
    """Print how many texts a second each counter counts on one core.

    A blank is added to each text, so that no cache holds it.
    """
    changed = [f"{text} " for text in texts]
    for counter in counters:
        began = time.perf_counter()
        tokens = sum(map(counter.count, changed))
        seconds = time.perf_counter() - began
        rates = f"{len(changed) / seconds:,.0f} texts/s, {tokens / seconds:,.0f} tokens/s"
        print(f"{counter.name}: {rates}")
