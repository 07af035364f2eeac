"""Results of verifying the stored data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Finding:
    """One disagreement that `verify` found."""

    check: str
    subject: str
    message: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` compared, and the disagreements."""

    checked: Mapping[str, int]
    findings: Sequence[Finding] = field(default_factory=tuple)
