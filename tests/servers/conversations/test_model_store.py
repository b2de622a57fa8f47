"""The model that stores are compared with obeys the contract itself."""

import pytest

from tests.servers.conversations.model_store import ModelStore
from tests.servers.conversations.store_contract import ConversationStoreContract


class TestModelStore(ConversationStoreContract):
    @pytest.fixture
    async def store(self) -> ModelStore:
        return ModelStore()
