"""The factors between our token counts and the upstream's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.core.settings import Settings
from memory_service.service import Service
from memory_service.upstreams.token_corrections import HIGHEST, LOWEST, MARGIN, TokenCorrections
from tests.support.chatting import new_id
from tests.support.storing import idle_service


@pytest.fixture(scope="module")
def corrections(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenCorrections]:
    with idle_service(Settings(data_dir=tmp_path_factory.mktemp("counts"))) as service:
        yield TokenCorrections(service.log, service.deferred_writer)


@given(st.lists(st.integers(-5, 5_000), min_size=1, max_size=20))
def test_factor_is_bounded_and_covers_last_ratio(
    corrections: TokenCorrections, used: list[int]
) -> None:
    model = new_id()
    for tokens in used:
        corrections.learn(model, 1_000, tokens)
        factor = corrections.of(model)
        assert factor == 1.0 or LOWEST <= factor <= HIGHEST
        if tokens > 0:
            assert factor >= min(HIGHEST, max(LOWEST, tokens / 1_000))
    assert corrections.of(new_id()) == 1.0


def test_factor_is_kept_across_restarts(settings: Settings) -> None:
    for expected in (1.0, 1.5 + MARGIN):
        with Service.open(settings, purpose="tests") as service:
            corrections = TokenCorrections(service.log, service.deferred_writer)
            assert corrections.of("m") == pytest.approx(expected)
            corrections.learn("m", 1_000, 1_500)
