"""Fixtures: a sterile environment, a real service in a temporary folder, the official client."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
import structlog
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from memory_service.core.settings import Settings
from memory_service.server import running
from memory_service.service import Service
from tests.support.environment import LONG

# `.ci/long` asks for the full counts; the gate has twenty minutes for everything.
hypothesis_settings.register_profile(
    "gate", max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.register_profile(
    "long", max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("long" if LONG else "gate")


@pytest.fixture(autouse=True)
def sterile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove settings of the machine and vocabularies of its user from the environment."""
    for name in list(os.environ):
        if name.startswith("MEMORY_") and name != "MEMORY_SERVICE_TESTS":
            monkeypatch.delenv(name)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "no-vocabularies"))


@pytest.fixture(autouse=True)
def own_logs() -> Iterator[None]:
    """Restore the logging that a command configures: its stream is closed after the test."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return the settings of a service in a folder of its own, on a free port."""
    return Settings(data_dir=tmp_path / "data", port=0, log_level="warning")


@pytest.fixture
def service(settings: Settings) -> Iterator[Service]:
    """Return an open service without HTTP around it."""
    with Service.open(settings, purpose="tests") as opened:
        yield opened


@pytest.fixture
def project(service: Service) -> int:
    """Return the key of the local project."""
    return service.local_project()


@pytest.fixture
def address(settings: Settings) -> Iterator[str]:
    """Return the address of a running server, such as http://127.0.0.1:41234."""
    with running(settings, "tests") as base:
        yield base


@pytest.fixture
def client(address: str) -> Iterator[openai.OpenAI]:
    """Return the official client of the running server; it does not retry."""
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as opened:
        yield opened
