"""DynamoDB against the model: whatever is called, by two who know nothing of each other."""

from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test

from servers.conversations.dynamodb_client import create_client
from servers.conversations.dynamodb_store import DynamoDBConversationStore
from servers.conversations.dynamodb_upkeep import sweep
from servers.conversations.dynamodb_writes import Writer
from tests.fakes.dynamodb_places import in_table
from tests.fakes.dynamodb_server import create_table
from tests.servers.conversations.model_conversation import by_number
from tests.servers.conversations.model_store import ModelStore
from tests.servers.conversations.states_of_store import (
    IDS,
    OWNERS,
    StoreMachine,
    queries,
    to_hits,
)


class TableMachine(StoreMachine):
    """Two openings of a table beside the model."""

    api: ClassVar[Any]

    @initialize(shards=st.sampled_from([1, 3]))
    def open(self, shards: int) -> None:
        """Make a table."""
        self._table = create_table(self.api)
        self._shards = shards
        self._stores = [self._open_table(), self._open_table()]
        self._model = ModelStore(by_number)

    @rule(which=st.sampled_from([0, 1]))
    def reopen(self, which: int) -> None:
        """Forget what one of them knows."""
        self._stores[which] = self._open_table()

    @rule()
    def remove_what_can_be_made_anew(self) -> None:
        """There is nothing of that kind; what has expired may be removed at any time."""
        self._portal.call(sweep, self._stores[0].writer)

    @rule(
        owner=st.sampled_from(OWNERS),
        query=queries,
        role=st.none() | st.sampled_from(["user", "tool"]),
        since=st.none() | st.just("2010-01-01T00:00:00Z"),
        conversation_id=st.sampled_from(IDS),
    )
    def search(self, owner: str, query: str, **filters: str | None) -> None:
        """Search one conversation."""
        wanted = {"limit": 100, **filters}
        theirs = self.call(self._model, "search_conversations", owner, query, **wanted)
        ours = self.call(self._stores[0], "search_conversations", owner, query, **wanted)
        assert to_hits(ours) == to_hits(theirs)

    def _open_table(self) -> DynamoDBConversationStore:
        client = create_client(self.api, self._table)
        return DynamoDBConversationStore(Writer(client, 0, self._shards), in_table(client))


@pytest.fixture
def machine(api: Any) -> type[TableMachine]:
    TableMachine.api = api
    return TableMachine


@pytest.mark.parametrize(
    ("examples", "steps"),
    [
        (2, 20),
        pytest.param(3, 40, marks=pytest.mark.slow),
        pytest.param(500, 80, marks=pytest.mark.long),
    ],
)
def test_any_sequence_of_verbs_is_answered_as_the_model_answers(
    machine: type[TableMachine], examples: int, steps: int
) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
            phases=[Phase.reuse, Phase.generate],
            print_blob=True,
        ),
    )
