"""Evidence in a prompt, and short answers."""

from __future__ import annotations

import pytest

from eval.metrics.evidence import Evidence, evidence, short_answer
from memory_service.prompts.recalled_block import recalled_block
from tests.support.evaluation_set import make_question


def test_evidence_is_share_of_quoted_gold() -> None:
    question = make_question("Which locker?", "a/0", "a/7", answer="8314")
    part = evidence(question, ["a/0"], "[…] My locker is 8314.")
    assert part == Evidence(gold=0.5, answer=1.0)


@pytest.mark.parametrize(
    ("text", "answer", "answer_in", "expected"),
    [
        ("Which locker?", "8314", None, "8314"),
        ("Which locker?", "It is the number 8314, by the door", "8314", "8314"),
        ("Which locker?", "It is the one by the door on the left", None, None),
        ("Is it 8314?", "8314", None, None),
        ("Which locker?", None, None, None),
        ("Which locker?", "...", None, None),
    ],
)
def test_short_answer_must_be_short_and_not_in_question(
    text: str, answer: str | None, answer_in: str | None, expected: str | None
) -> None:
    question = make_question(text, "a/0", answer=answer, answer_in=answer_in)
    assert short_answer(question) == expected


def test_evidence_is_none_without_gold() -> None:
    part = evidence(make_question("Thanks!", answer="red"), [], recalled_block([]))
    assert part == Evidence(gold=None, answer=None)
