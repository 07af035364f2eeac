"""Prompts that an upstream has cut silently are found by its usage."""

from __future__ import annotations

import pytest

from memory_service.upstreams.usage import CutDetector, PromptUsage
from memory_service.upstreams.windows import ModelKey

KEY = ModelKey("u", "m")


@pytest.mark.parametrize(
    ("usages", "window"),
    [
        ([(9_214, 4_096)], 4_096),
        ([(9_214, 4_094)], 4_096),
        ([(30_000, 8_192)], 8_192),
        # Our own count may be too high.
        ([(6_000, 4_096)], None),
        ([(9_214, 5_500)], None),
        # Only the tokens that were not cached are reported.
        ([(9_214, 120)], None),
        ([(9_214, 1_200), (9_900, 700)], None),
        ([(900, 512)], None),
        # Usage stops growing.
        ([(5_000, 3_900), (9_000, 3_905)], 4_096),
        ([(5_000, 3_900), (6_000, 3_905)], None),
        ([(5_000, 3_900), (9_000, 6_900)], None),
        ([(3_950, 3_900), (9_000, 8_890)], None),
    ],
)
def test_window_of_cut_prompt(usages: list[tuple[int, int]], window: int | None) -> None:
    detector = CutDetector()
    found = [detector.window_if_cut(KEY, PromptUsage(*usage)) for usage in usages]
    assert found == [*[None] * (len(usages) - 1), window]


def test_models_are_judged_apart() -> None:
    detector = CutDetector()
    detector.window_if_cut(KEY, PromptUsage(5_000, 3_900))
    assert detector.window_if_cut(ModelKey("u", "other"), PromptUsage(9_000, 3_905)) is None
