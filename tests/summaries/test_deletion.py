"""Deletion and summaries: a summary is deleted with any turn that it covers."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from memory_service.core.models import Summary
from memory_service.core.settings import Settings
from memory_service.service import Service
from tests.summaries.doubles import InterruptedModel
from tests.support.storing import create, findings, project_key
from tests.support.summarising import (
    active_branch,
    build_prompt,
    deep_conversation,
    ranges,
    remarks,
    summaries,
    summarising,
    summarizer,
)


def test_deleted_turn_takes_every_summary_that_covers_it(service: Service) -> None:
    deep_conversation(service)
    deleted = active_branch(service)[1]
    survivors = [
        summary
        for summary in summaries(service)
        if not summary.first_seq <= deleted.seq <= summary.last_seq
    ]
    assert len(survivors) < len(summaries(service)) - 1
    _, receipt = service.deletions.delete_item(project_key(service), "c", deleted.id)
    assert keys(summaries(service)) == keys(survivors)
    assert receipt.counts["summaries"] >= 2
    assert findings(service) == []


def test_turns_left_uncovered_by_deletion_are_summarised_again(service: Service) -> None:
    deep_conversation(service)
    deleted = active_branch(service)[1]
    before = ranges(service)
    service.deletions.delete_item(project_key(service), "c", deleted.id)
    summarizer(service).drain()
    assert ranges(service) == before
    assert not any("walrus2 " in f"{summary.text} " for summary in summaries(service))


def test_summary_of_turns_deleted_meanwhile_is_not_stored(settings: Settings) -> None:
    model = InterruptedModel()
    with summarising(settings, model) as service:
        turns = create(service, "c", *remarks(12))
        model.meanwhile = lambda: service.deletions.delete_item(
            project_key(service), "c", turns[3].id
        )
        build_prompt(service)
        summarizer(service).step()
        assert summaries(service) == []
        summarizer(service).drain()
        assert len(summaries(service)) == 1


@pytest.mark.parametrize("kind", ["conversation", "user"])
def test_summary_of_conversation_deleted_meanwhile_is_not_stored(
    settings: Settings, kind: str
) -> None:
    model = InterruptedModel()
    with summarising(settings, model) as service:
        create(service, "c", *remarks(12), user="ana")
        project, deletions = project_key(service), service.deletions
        model.meanwhile = {
            "conversation": lambda: deletions.delete_conversation(project, "c"),
            "user": lambda: deletions.delete_user(project, "ana"),
        }[kind]
        build_prompt(service)
        summarizer(service).drain()
        assert summarizer(service).status().waiting == 0
        with service.log.read() as snapshot:
            assert snapshot.integrity_problems() == []


def keys(listed_summaries: Sequence[Summary]) -> list[int]:
    return [summary.key for summary in listed_summaries]
