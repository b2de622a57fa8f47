"""The embedded store: the contract, and what is its own."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from servers.conversations.file_store import FileConversationStore, open_file_store
from tests.servers.conversations.store_contract import ConversationStoreContract


class TestFileConversationStore(ConversationStoreContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncGenerator[FileConversationStore]:
        async with open_file_store(tmp_path / "conversations") as store:
            yield store
