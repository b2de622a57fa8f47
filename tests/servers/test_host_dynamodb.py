"""The conversation server over a table, as the configuration opens it."""

from pathlib import Path

import pytest
from mcp import Client

from agentic.config.models import Config
from servers.access.principal import create_operator
from servers.aws.api import create_api
from servers.errors import SetupError
from servers.host import check_conversations, open_server
from servers.metrics import Metrics
from tests.fakes.dynamodb_server import REGION, create_table
from tests.servers.connections import meta_for


def configure(tmp_path: Path, aws: str, table: str) -> Config:
    section = {"store": "dynamodb", "table": table, "region": REGION, "endpoint_url": aws}
    return Config.model_validate({"data_directory": tmp_path, "conversations": section})


async def test_switching_is_a_matter_of_configuration(tmp_path: Path, aws: str) -> None:
    table = create_table(create_api("conversations", REGION, aws))
    config = configure(tmp_path, aws, table)
    await check_conversations(config)
    operator = create_operator("ada")
    async with open_server("conversations", config, operator) as hosted:
        await hosted.check()
        async with Client(hosted.server) as client:
            given = {"conversation_id": "c", "messages": [{"role": "user", "content": "hi"}]}
            answer = await client.call_tool("append_messages", given)
            assert not answer.is_error
            found = await client.call_tool("search_conversations", {"query": "hi"})
            assert found.structured_content is not None
            assert found.structured_content["error"]["code"] == "unsupported"
        metrics = Metrics()
        assert hosted.units is not None
        metrics.watch_units(hosted.units)
        assert 'verb="append_messages"' in metrics.render().decode()


async def test_what_the_server_has_consumed_is_told_by_verb(tmp_path: Path, aws: str) -> None:
    table = create_table(create_api("conversations", REGION, aws))
    operator = create_operator("ada", delegate=True)
    async with open_server("conversations", configure(tmp_path, aws, table), operator) as hosted:
        async with Client(hosted.server) as client:
            bob = meta_for("bob")
            await client.call_tool("load_conversation", {"conversation_id": "c"}, meta=bob)
            stats = (await client.call_tool("get_stats", {})).structured_content
        assert stats is not None
        assert hosted.units is not None
        assert stats["back_end"] == "dynamodb"
        units = {each["verb"]: each for each in stats["units"]}
        assert units["load_conversation"]["read"] == hosted.units["load_conversation", "read"] > 0


async def test_a_table_that_is_not_there_is_told_before_anything_is_served(
    tmp_path: Path, aws: str
) -> None:
    config = configure(tmp_path, aws, "nowhere")
    with pytest.raises(SetupError, match=r"nowhere in .*create-table"):
        await check_conversations(config)
