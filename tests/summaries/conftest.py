"""Fixtures: a service that summarises only when a test calls it, and its model."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from memory_service.core.settings import Settings
from memory_service.service import Service
from memory_service.testing import RepeatingModel
from tests.support.summarising import summarising


@pytest.fixture
def model() -> RepeatingModel:
    """Return the model that `service` asks."""
    return RepeatingModel()


@pytest.fixture
def service(settings: Settings, model: RepeatingModel) -> Iterator[Service]:
    """Return a service that summarises only when a test calls it."""
    with summarising(settings, model) as opened:
        yield opened
