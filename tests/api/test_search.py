"""Search: scopes, filters, branches, new and deleted turns, recall of the bundled questions."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count, pairwise
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.commands.quickstart import bundled_items, bundled_questions
from memory_service.core.settings import Settings
from memory_service.server import running
from tests.support.environment import connected
from tests.support.factories import message

HIT_FIELDS = {
    "item_id": str,
    "conversation_id": str,
    "user_id": str,
    "seq": int,
    "role": str,
    "name": str,
    "created_at": int,
    "text": str,
    "score": float,
    "channels": dict,
    "rank": int,
}
# 28 of the 42 bundled questions had a gold turn among the ten best when this bound was set; three
# fewer are allowed.
RECALL_AT_TEN = 25 / 42
NUMBERS = count(1)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(data_dir=tmp_path_factory.mktemp("search"), port=0, log_level="warning")


@pytest.fixture(scope="module")
def http(settings: Settings) -> Iterator[httpx2.Client]:
    """Return a client of a server with the bundled conversation, `mara`, of user `mara`."""
    with running(settings, "tests") as base, httpx2.Client(base_url=base) as http:
        body = {"id": "mara", "user": "mara", "items": bundled_items()}
        http.post("/v1/conversations", json=body).raise_for_status()
        yield http


def search(http: httpx2.Client, query: str, **fields: Any) -> list[dict[str, Any]]:
    answer = http.post("/v1/search", json={"query": query, **fields}).raise_for_status()
    return list(answer.json()["data"])


def create(http: httpx2.Client, *items: Any, **fields: Any) -> str:
    """Create a conversation and return its id."""
    body = {"items": list(items), **fields}
    response = http.post("/v1/conversations", json=body).raise_for_status()
    return str(response.json()["id"])


def ids(hits: list[dict[str, Any]]) -> list[str]:
    return [hit["item_id"] for hit in hits]


def test_response_fields(http: httpx2.Client) -> None:
    body = {"query": "wallpaper", "conversation_id": "mara"}
    answer = http.post("/v1/search", json=body).json()
    assert set(answer) == {"object", "data", "trace_id"}
    assert answer["object"] == "list"
    assert answer["trace_id"].startswith("trace_")
    for hit in answer["data"]:
        assert {name: type(value) for name, value in hit.items()} == HIT_FIELDS
        assert all(isinstance(score, float) for score in hit["channels"].values())


def test_hit_equals_stored_turn(http: httpx2.Client) -> None:
    (hit,) = search(http, "message behind the old wallpaper", conversation_id="mara", top_k=1)
    stored = http.get(f"/v1/conversations/mara/items/{hit['item_id']}").json()
    assert (hit["conversation_id"], hit["user_id"]) == ("mara", "mara")
    assert hit["text"] == stored["content"][0]["text"]
    for name in ("seq", "role", "name", "created_at"):
        assert hit[name] == stored[name]


@given(
    query=st.sampled_from([question["question"] for question in bundled_questions()])
    | st.text(min_size=1),
    top_k=st.integers(1, 100),
    scope=st.sampled_from([{"user_id": "mara"}, {"conversation_id": "mara"}]),
)
def test_hits_are_ranked_by_score_without_duplicates(
    http: httpx2.Client, query: str, top_k: int, scope: dict[str, str]
) -> None:
    hits = search(http, query.replace("\0", "0"), top_k=top_k, **scope)
    assert len(hits) <= top_k
    assert [hit["rank"] for hit in hits] == list(range(1, len(hits) + 1))
    assert all(earlier["score"] >= later["score"] for earlier, later in pairwise(hits))
    assert len(set(ids(hits))) == len(hits)


def test_smaller_top_k_is_prefix_of_larger(http: httpx2.Client) -> None:
    whole = ids(search(http, "the code of my locker", conversation_id="mara", top_k=30))
    for top_k in (1, 3, 10, 29):
        part = search(http, "the code of my locker", conversation_id="mara", top_k=top_k)
        assert ids(part) == whole[:top_k]


@pytest.mark.parametrize("both", [{}, {"conversation_id": "mara", "user_id": "mara"}])
def test_exactly_one_scope_is_required(http: httpx2.Client, both: dict[str, str]) -> None:
    answer = http.post("/v1/search", json={"query": "x", **both})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "conversation_id"


@pytest.mark.parametrize("roles", [["user"], ["assistant"], ["tool"], ["user", "tool"]])
def test_roles_filter(http: httpx2.Client, roles: list[str]) -> None:
    hits = search(http, "weather forecast for the move", conversation_id="mara", roles=roles)
    assert hits
    assert {hit["role"] for hit in hits} <= set(roles)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, "abc"),
        ({"created_after": 2_000}, "bc"),
        ({"created_after": 2_001}, "c"),
        ({"created_before": 2_000}, "ab"),
        ({"created_before": 1_999.5}, "a"),
        ({"created_after": 1_500, "created_before": "1970-01-01T00:40:00Z"}, "b"),
        ({"created_after": "1970-01-01T02:33:20+02:00"}, "bc"),
        ({"created_after": 3_000, "created_before": 1_000}, ""),
    ],
)
def test_time_filter_includes_both_ends(
    http: httpx2.Client, limits: dict[str, Any], expected: str
) -> None:
    number = next(NUMBERS)
    times = {"a": 1_000, "b": 2_000, "c": 3_000}
    items = [
        message(f"a walrus at {name}", id=f"{name}{number}", created_at=when)
        for name, when in times.items()
    ]
    hits = search(http, "walrus", conversation_id=create(http, *items), **limits)
    assert sorted(ids(hits)) == [f"{name}{number}" for name in expected]


def test_user_scope_has_all_conversations_of_one_user(http: httpx2.Client) -> None:
    ann, bob = (f"{name}-{next(NUMBERS)}" for name in ("ann", "bob"))
    first = create(http, message("the red walrus"), user=ann)
    second = create(http, message("the blue walrus"), user=ann)
    create(http, message("the green walrus"), user=bob)
    create(http, message("the white walrus"))
    hits = search(http, "walrus", user_id=ann)
    assert {hit["conversation_id"] for hit in hits} == {first, second}
    assert {hit["user_id"] for hit in hits} == {ann}


def test_conversation_scope_has_one_conversation(http: httpx2.Client) -> None:
    user = f"user-{next(NUMBERS)}"
    here = create(http, message("the red walrus"), user=user)
    create(http, message("the blue walrus"), user=user)
    assert [hit["text"] for hit in search(http, "walrus", conversation_id=here)] == [
        "the red walrus"
    ]


@pytest.mark.parametrize("query", ["zebrafinch", "The ZEBRAFINCH!", "zebrafinches"])
def test_turn_is_found_as_soon_as_it_is_stored(http: httpx2.Client, query: str) -> None:
    conversation = create(http, *(message(f"filler number {number}") for number in range(30)))
    for number in range(5):
        item = f"fresh-{next(NUMBERS)}"
        body = {"items": [message(f"zebrafinch {number}", id=item)]}
        http.post(f"/v1/conversations/{conversation}/items", json=body).raise_for_status()
        assert item in ids(search(http, query, conversation_id=conversation))


def test_deleted_turn_is_not_found(http: httpx2.Client) -> None:
    conversation = create(
        http, message("red walrus", id="kept-1"), message("blue walrus", id="gone-1")
    )
    http.delete(f"/v1/conversations/{conversation}/items/gone-1").raise_for_status()
    assert ids(search(http, "blue walrus", conversation_id=conversation)) == ["kept-1"]


def test_only_active_branch_is_searched(
    http: httpx2.Client,
) -> None:
    number = next(NUMBERS)
    items = [message(f"the {name} walrus", id=f"{name}-{number}") for name in ("red", "blue")]
    conversation = create(http, *items)
    where = f"/v1/conversations/{conversation}"
    body = {"items": [message("a green walrus")], "parent": f"red-{number}"}
    http.post(f"{where}/items", json=body).raise_for_status()
    assert f"blue-{number}" not in ids(search(http, "blue walrus", conversation_id=conversation))
    http.post(where, json={"head": f"blue-{number}"}).raise_for_status()
    assert f"blue-{number}" in ids(search(http, "blue walrus", conversation_id=conversation))


@pytest.mark.parametrize("now", [1_700_000_000, 1.5, "2025-03-04T18:12:07+01:00"])
def test_now_is_accepted(http: httpx2.Client, now: Any) -> None:
    assert search(http, "wallpaper", conversation_id="mara", now=now)


@pytest.mark.parametrize("scope", ["conversation_id", "user_id"])
def test_empty_scope_has_no_hits(http: httpx2.Client, scope: str) -> None:
    user = f"user-{next(NUMBERS)}"
    given_id = {"conversation_id": create(http, user=user), "user_id": user}[scope]
    assert search(http, "walrus", **{scope: given_id}) == []


def test_repeated_search_returns_same_hits(http: httpx2.Client) -> None:
    wait_until_indexed(http)
    hits = [search(http, "what did I pay?", user_id="mara", top_k=50) for _ in range(3)]
    assert hits[0] == hits[1] == hits[2]


def wait_until_indexed(http: httpx2.Client) -> None:
    """Wait until the index has all turns."""
    deadline = time.monotonic() + 60
    while http.get("/readyz").raise_for_status().json()["lag"]:
        assert time.monotonic() < deadline, "the index never had all turns"


@pytest.mark.parametrize("scope", [{"user_id": "mara"}, {"conversation_id": "mara"}])
@pytest.mark.parametrize("indexed", [False, True])
def test_recall_of_bundled_questions(
    http: httpx2.Client, scope: dict[str, str], *, indexed: bool
) -> None:
    if indexed:
        wait_until_indexed(http)
    questions = [question for question in bundled_questions() if question["gold"]]
    hits = [
        bool(set(question["gold"]) & set(ids(search(http, question["question"], **scope))))
        for question in questions
    ]
    assert sum(hits) / len(hits) >= RECALL_AT_TEN, [
        question["id"] for question, hit in zip(questions, hits, strict=True) if not hit
    ]


def test_openai_client_searches(http: httpx2.Client) -> None:
    with connected(str(http.base_url), "none") as client:
        body = {"query": "wallpaper", "conversation_id": "mara"}
        answer = client.post("/search", cast_to=dict[str, Any], body=body)
        assert answer["data"][0]["rank"] == 1
        with pytest.raises(openai.BadRequestError):
            client.post("/search", cast_to=dict[str, Any], body={**body, "top_k": 0})


def test_query_is_in_no_file(http: httpx2.Client, settings: Settings) -> None:
    assert search(http, "wallpaper xylophonequery", conversation_id="mara")
    files = [path for path in settings.data_dir.rglob("*") if path.is_file()]
    assert any(b"wallpaper" in path.read_bytes() for path in files)
    assert not any(b"xylophonequery" in path.read_bytes() for path in files)


DIARY = [
    ("2025-03-03T09:00:00+01:00", "The boiler was repaired."),
    ("2025-03-10T23:30:00+01:00", "I planted tulips."),
    ("2025-03-11T09:00:00+01:00", "Lovely weather."),
    ("2025-03-12T09:00:00+01:00", "The boiler is loud again."),
]


@pytest.fixture(scope="module")
def diary(http: httpx2.Client) -> str:
    items = [
        {**message(text), "id": f"d{number}", "created_at": time}
        for number, (time, text) in enumerate(DIARY)
    ]
    return create(http, *items)


@pytest.mark.parametrize(
    ("query", "now", "expected"),
    [
        ("What did we talk about yesterday?", "2025-03-12T18:00:00+01:00", ["d2"]),
        ("What did we talk about on Monday?", "2025-03-12T18:00:00+01:00", ["d1"]),
        ("What did we talk about yesterday?", "2025-03-11T12:00:00+01:00", ["d1"]),
        ("What did we talk about yesterday?", "2025-03-11T12:00:00+02:00", None),
        ("What did we talk about two sessions ago?", "2025-03-12T18:00:00+01:00", ["d2"]),
        ("What did we talk about last year?", "2024-03-12T18:00:00+01:00", None),
    ],
)
def test_time_expression_selects_turns(
    http: httpx2.Client, diary: str, query: str, now: str, expected: list[str] | None
) -> None:
    hits = ids(search(http, query, conversation_id=diary, now=now))
    assert hits == expected if expected is not None else len(hits) == len(DIARY)


@pytest.mark.parametrize(("week", "first"), [("last week", "d0"), ("this week", "d3")])
def test_time_expression_ranks_turn_of_that_time_first(
    http: httpx2.Client, diary: str, week: str, first: str
) -> None:
    query = f"What was with the boiler {week}?"
    hits = search(http, query, conversation_id=diary, now="2025-03-12T18:00:00+01:00")
    assert hits[0]["item_id"] == first
    assert hits[0]["channels"]["time"] > 0


def test_duplicate_turns_are_found_once(http: httpx2.Client) -> None:
    texts = ["The code is 8314.", "the CODE  is 8314.", "The code is 8315."]
    twice = create(
        http, *[{**message(text), "id": f"code-{number}"} for number, text in enumerate(texts)]
    )
    hits = ids(search(http, "Which code?", conversation_id=twice))
    assert len(hits) == 2
    assert "code-2" in hits
