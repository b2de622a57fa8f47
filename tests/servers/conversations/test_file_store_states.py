"""The embedded store against the model: whatever is called, in any order, reopened anywhere."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.servers.conversations.states_of_store import StoreMachine


@pytest.mark.parametrize(
    ("examples", "steps"),
    [
        (8, 25),
        pytest.param(20, 50, marks=pytest.mark.slow),
        pytest.param(2_000, 100, marks=pytest.mark.long),
    ],
)
def test_any_sequence_of_verbs_is_answered_as_the_model_answers(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        StoreMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
            phases=[Phase.reuse, Phase.generate, *([] if examples > 10 else [Phase.shrink])],
            print_blob=True,
        ),
    )
