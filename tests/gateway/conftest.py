"""Fixtures: a running service in front of the stand-in upstream."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.chatting import RunningGateway, gateway
from tests.support.upstream import Upstream


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture
def chat(world: RunningGateway) -> RunningGateway:
    """Return the running service, its upstream reset."""
    world.upstream.reset()
    return world


@pytest.fixture
def upstream(chat: RunningGateway) -> Upstream:
    return chat.upstream
