"""Fixture: a running server with small limits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import httpx2
import pytest

from memory_service.composition.data_folder import open_log
from memory_service.core.settings import Settings
from memory_service.server import running
from tests.api.limits.limited_server import (
    CREATE,
    MAX_BODY,
    MAX_ITEMS,
    MAX_NESTING,
    MAX_QUERY,
    MAX_TEXT,
    Server,
)
from tests.support.factories import message


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("limits"),
        port=0,
        log_level="warning",
        max_body_bytes=MAX_BODY,
        max_nesting=MAX_NESTING,
        max_text_chars=MAX_TEXT,
        max_items_per_call=MAX_ITEMS,
        max_query_chars=MAX_QUERY,
    )
    with (
        running(settings, "tests") as url,
        httpx2.Client(base_url=url) as http,
        closing(open_log(settings.data_dir)) as log,
    ):
        items = [message("hello", id="a"), message("hello again", "assistant", id="b")]
        body = {"id": "c", "items": items}
        http.post(CREATE, json=body).raise_for_status()
        http.post(CREATE, json={"id": "d", "user": "ann"}).raise_for_status()
        yield Server(http, log)
