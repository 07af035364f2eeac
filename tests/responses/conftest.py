"""Fixtures: running services in front of upstreams with and without the Responses API."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.responses.native_upstream import NativeUpstream, running_native_upstream
from tests.support.chatting import RunningGateway, gateway
from tests.support.upstream import Upstream


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with gateway(tmp_path_factory.mktemp("chat-only"), light=True) as running:
        yield running


@pytest.fixture
def chat(world: RunningGateway) -> RunningGateway:
    """Return a service whose upstream has only chat completions, its requests forgotten."""
    world.upstream.reset()
    return world


@pytest.fixture
def upstream(chat: RunningGateway) -> Upstream:
    return chat.upstream


@dataclass(frozen=True)
class NativeWorld:
    """A service, and its upstream that has the Responses API."""

    service: RunningGateway
    upstream: NativeUpstream


@pytest.fixture(scope="module")
def native_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NativeWorld]:
    folder = tmp_path_factory.mktemp("native")
    with (
        running_native_upstream() as upstream,
        gateway(folder, light=True, upstream_base_url=upstream.base_url) as service,
    ):
        yield NativeWorld(service, upstream)


@pytest.fixture
def native(native_world: NativeWorld) -> NativeWorld:
    """Return a service whose upstream has the Responses API, its requests forgotten."""
    native_world.upstream.bodies.clear()
    native_world.upstream.contents.clear()
    native_world.upstream.cut_after = None
    return native_world
