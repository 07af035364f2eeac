"""Requests generated from the OpenAPI document get a valid response."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation

from memory_service.api.app import create_app
from memory_service.core.settings import Settings
from memory_service.server import running
from tests.support.environment import LONG
from tests.support.upstream import running_upstream

SCHEMA = schemathesis.openapi.from_dict(create_app(Settings(port=0)).openapi())
OPERATIONS = {
    result.ok().label: result.ok()
    for result in SCHEMA.get_all_operations()
    if isinstance(result, Ok)
}
COUNT = 200 if LONG else 15


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a server with a conversation."""
    folder = tmp_path_factory.mktemp("schema")
    with running_upstream() as upstream:
        upstream.strict = False
        settings = Settings(
            data_dir=folder / "data",
            port=0,
            log_level="error",
            upstream_base_url=upstream.base_url,
            summaries=False,
        )
        with running(settings, "tests") as base:
            with openai.OpenAI(base_url=f"{base}/v1", api_key="none") as client:
                client.conversations.create(
                    items=[{"role": "user", "content": "hello"}],
                    extra_body={"user": "u", "id": "c"},
                )
            yield base


@pytest.mark.parametrize("label", OPERATIONS)
def test_any_request_of_openapi_gets_a_valid_response(server: str, label: str) -> None:
    operation: APIOperation[Any, Any, Any, Any] = OPERATIONS[label]

    @hypothesis_settings(max_examples=COUNT, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def ask(case: schemathesis.Case[Any]) -> None:
        response = case.call(base_url=server)
        assert response.status_code < 500, response.text
        if response.status_code >= 400:
            assert set(response.json()["error"]) == {"message", "type", "param", "code"}

    ask()
