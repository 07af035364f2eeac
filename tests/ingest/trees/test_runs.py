"""Runs of items: each item once, below a parent that is stored before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingest.transcripts import Location
from ingest.trees.runs import CheckedItem, item_runs
from tests.support.factories import message, new_turn


@given(st.data())
def test_runs_hold_every_item_once_after_its_parent(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 30))
    items = [
        CheckedItem(
            id=str(number),
            parent=data.draw(st.sampled_from([None, *map(str, range(number))])),
            gap_before=data.draw(st.booleans()),
            raw="{}",
            turn=new_turn(message()),
            stored_as={},
            location=Location("talk.jsonl", 1),
        )
        for number in range(count)
    ]
    runs = list(item_runs(items))
    assert [item for run in runs for item in run.items] == items
    for run in runs:
        assert run.parent == run.items[0].parent
        for before, after in zip(run.items, run.items[1:], strict=False):
            assert after.parent == before.id
            assert not after.gap_before
