"""Which routes pass with the service's own upstream key, and which paths are refused."""

from __future__ import annotations

import pytest

from memory_service.core.errors import Forbidden, InvalidRequest
from memory_service.upstreams.pass_routes import PassPolicy, checked_path

RUNS_A_MODEL = [
    *("POST completions", "POST embeddings", "POST moderations", "POST rerank"),
    *("POST audio/speech", "POST audio/transcriptions"),
    *("POST audio/translations", "POST images/generations", "POST images/edits"),
    *("POST images/variations", "GET models", "GET models/gpt-5", "GET models/meta/llama"),
    *("HEAD models/m", "POST embeddings/", "POST messages"),
]
ADMINISTRATIVE = [
    *("GET files", "POST files", "GET files/f/content", "DELETE files/f", "POST uploads"),
    *("POST fine_tuning/jobs", "GET fine_tuning/jobs", "POST batches", "GET batches"),
    *("GET organization/users", "GET organization/costs", "POST organization/admin_api_keys"),
    *("POST assistants", "POST threads", "GET threads/t/messages", "POST vector_stores"),
    *("GET vector_stores/v", "POST containers", "GET containers/c/files", "DELETE models/m"),
    *("GET responses/r", "DELETE responses/r", "GET chat/completions", "GET evals"),
    *("DELETE chat/completions/c", "POST realtime/client_secrets", "POST realtime/sessions"),
    *("POST load_lora_adapter", "GET anything", "PUT embeddings", "GET embeddings", "POST models"),
    *("POST embeddings/x", "POST xembeddings", "POST v1/embeddings", "POST Embeddings", "GET "),
    *("POST embeddings/../files", "GET modelsx", "POST audio", "POST audio/voices"),
]


def passes(route: str, *further: str) -> bool:
    method, _, path = route.partition(" ")
    try:
        PassPolicy(further).check(method, path)
    except Forbidden:
        return False
    return True


@pytest.mark.parametrize("route", RUNS_A_MODEL)
def test_routes_that_run_a_model_pass(route: str) -> None:
    assert passes(route)


@pytest.mark.parametrize("route", ADMINISTRATIVE)
def test_other_routes_need_the_callers_key(route: str) -> None:
    assert not passes(route)


@pytest.mark.parametrize(
    ("pattern", "passing", "refused"),
    [
        ("files", ["GET files", "POST files", "POST files/"], ["GET files/f", "GET xfiles"]),
        ("files/*", ["GET files/f", "DELETE files/f/content"], ["GET files", "GET filesx"]),
        ("/v1/files", ["GET files"], ["GET v1/files"]),
        ("GET /v1/files/*", ["GET files/f"], ["DELETE files/f"]),
        ("get batches", ["GET batches"], ["POST batches"]),
        ("*", ["DELETE organization/users/u"], []),
        ("f.les", [], ["GET files"]),
    ],
)
def test_settings_name_further_routes(pattern: str, passing: list[str], refused: list[str]) -> None:
    assert [route for route in passing if not passes(route, pattern)] == []
    assert [route for route in refused if passes(route, pattern)] == []


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("embeddings", "embeddings"),
        ("embeddings/", "embeddings/"),
        ("models/meta-llama/Llama 3:8b", "models/meta-llama/Llama%203:8b"),
        ("models/ü?x#y%", "models/%C3%BC%3Fx%23y%25"),
        ("models/a%2Fb", "models/a%252Fb"),
        ("models/...", "models/..."),
    ],
)
def test_path_is_encoded_once(path: str, expected: str) -> None:
    assert checked_path(path) == expected


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "models//x", "/embeddings", "models/./x", "models/../files", "..", "models/.."),
        *("models/..;/files", "models/..;a=b/files", "models/.. /files", "models/%2e%2e/files"),
        *("models/%2e%2e%2ffiles", "models/%252e%252e/files", "models/x%2f%2fy", "models/%2E./x"),
        *("models\\..\\files", "models/%5c..", "models/%5C..%5Cfiles", "models/x\r\ny"),
        *("models/%0d%0ax", "models/%00", "models/\x7f", "models/\ud800"),
        "models/%2525252525252e%2525252525252e/x",
    ],
)
def test_ambiguous_path_is_refused(path: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        checked_path(path)
    assert caught.value.code == "invalid_path"
