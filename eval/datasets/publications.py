"""Publications: the official place, the licence and the hash of each published data set.

The hashes are those of the published files at a fixed revision, so that all users measure the same
set. No set is part of the project: users who fetch one must follow its licence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eval.datasets.catalogue import AUDIT, PUBLISHED

FILES: Mapping[str, str] = {**PUBLISHED, "locomo-audit": AUDIT}
"""What can be fetched, and the name of its file."""


@dataclass(frozen=True, slots=True)
class Publication:
    """Where a set is published, and under what licence.

    `url` is None if it is published in a form that no reader here reads, `sha256` if the hash is
    not known.
    """

    home: str
    licence: str
    url: str | None = None
    sha256: str | None = None


_LONGMEMEVAL = (
    "https://huggingface.co/datasets/xiaowu0162/longmemeval-cleaned/resolve/"
    "98d7416c24c778c2fee6e6f3006e7a073259d48f/"
)

PUBLICATIONS: Mapping[str, Publication] = {
    "locomo": Publication(
        home="https://github.com/snap-research/locomo",
        licence="CC BY-NC 4.0",
        url="https://raw.githubusercontent.com/snap-research/locomo/"
        "3eb6f2c585f5e1699204e3c3bdf7adc5c28cb376/data/locomo10.json",
        sha256="79fa87e90f04081343b8c8debecb80a9a6842b76a7aa537dc9fdf651ea698ff4",
    ),
    "locomo-audit": Publication(
        home="https://github.com/dial481/locomo-audit",
        licence="CC BY-NC 4.0",
        url="https://raw.githubusercontent.com/dial481/locomo-audit/"
        "ded8d0f08903d72b5a5eeda4fee5ced76126e7bc/errors.json",
    ),
    "longmemeval-s": Publication(
        home="https://github.com/xiaowu0162/LongMemEval",
        licence="MIT",
        url=f"{_LONGMEMEVAL}longmemeval_s_cleaned.json",
        sha256="d6f21ea9d60a0d56f34a05b609c79c88a451d2ae03597821ea3d5a9678c3a442",
    ),
    "longmemeval-oracle": Publication(
        home="https://github.com/xiaowu0162/LongMemEval",
        licence="MIT",
        url=f"{_LONGMEMEVAL}longmemeval_oracle.json",
        sha256="821a2034d219ab45846873dd14c14f12cfe7776e73527a483f9dac095d38620c",
    ),
    "realtalk": Publication("https://github.com/danny911kr/REALTALK", "none is named"),
    "beam": Publication("https://huggingface.co/datasets/Mohammadta/BEAM", "see its page"),
    "tmd": Publication("https://github.com/Zyphra/TemporalMemoryDataset", "CC BY-NC 4.0"),
}
