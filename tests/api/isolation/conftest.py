"""Fixtures: a running server, and projects with data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import httpx2
import pytest

from memory_service.composition.data_folder import open_log
from memory_service.core.settings import Settings
from memory_service.server import running
from tests.api.isolation.tenants import Tenant, World
from tests.support.factories import message
from tests.support.upstream import running_upstream


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("projects")
    with running_upstream() as upstream:
        settings = Settings(
            data_dir=folder,
            port=0,
            log_level="warning",
            upstream_base_url=upstream.base_url,
            summaries=False,
        )
        with (
            running(settings, "tests") as url,
            httpx2.Client(base_url=url) as http,
            closing(open_log(settings.data_dir)) as log,
        ):
            yield World(http, log, upstream)


@pytest.fixture(scope="module")
def ann(world: World) -> Tenant:
    """Return the project whose data other projects request."""
    return world.tenant()


@pytest.fixture
def bob(world: World) -> Tenant:
    """Return another project, created for one test."""
    return world.tenant()


@pytest.fixture
def twins(world: World) -> tuple[Tenant, Tenant]:
    """Return two projects that use the same ids for everything."""
    pair = world.tenant(filled=False), world.tenant(filled=False)
    for tenant in pair:
        items = [message(f"the walrus of {tenant.name}", id="i")]
        body = {"id": "c", "user": "u", "title": tenant.name, "items": items}
        tenant.call("POST", "/v1/conversations", json=body).raise_for_status()
    return pair
