"""Random conversations through the gateway are compared with what was said in them."""

from __future__ import annotations

from collections.abc import Iterator

import hypothesis
import pytest
from hypothesis.stateful import run_state_machine_as_test

from memory_service.tokens.encodings import open_offline_counter
from tests.properties.gateway_machine import BUDGET, GatewayMachine
from tests.support.chatting import RunningGateway, gateway
from tests.support.environment import LONG


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("conversations")
    with gateway(folder, light=True, token_budget=BUDGET) as running:
        yield running


@pytest.mark.timeout(1_200)
def test_everything_said_is_stored_once_and_recalled(world: RunningGateway) -> None:
    class Machine(GatewayMachine):
        chat = world
        counter = open_offline_counter()

    examples, steps = (150, 25) if LONG else (15, 12)
    run_state_machine_as_test(
        Machine,
        settings=hypothesis.settings(
            max_examples=examples,
            stateful_step_count=steps,
            # The gate tries the same conversations each time; the long run tries new ones.
            derandomize=not LONG,
        ),
    )
