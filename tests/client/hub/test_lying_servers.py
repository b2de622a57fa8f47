"""Servers that break the protocol: they cost themselves, and nobody else."""

import json

import anyio
import pytest

from client.hub.errors import HubError, ServerFaultError
from client.hub.hub import Hub, open_hub
from client.hub.servers import HubTool
from tests.client.hub.fakes import first_text, in_memory, stdio

ERAS = pytest.mark.parametrize("era", [(), ("modern",)], ids=["older", "modern"])


async def list_of(way: str, *era: str) -> list[HubTool]:
    """What the hub makes of a liar's list, while a server next to it goes on working."""
    async with open_hub([stdio("liar", "liar", way, *era), in_memory()]) as hub:
        await hub.wait_ready(timeout_seconds=10)
        await hub.call_tool("memory", "echo", {})
        return [tool for tool in hub.tools() if tool.server == "liar"]


@ERAS
@pytest.mark.parametrize("tool", ["not_a_list", "unknown_block", "empty", "number"])
async def test_an_answer_against_the_protocol_is_the_servers_fault(
    tool: str, era: tuple[str, ...]
) -> None:
    with anyio.fail_after(10):
        async with open_hub([stdio("liar", "liar", "results", *era)]) as hub:
            with pytest.raises(ServerFaultError, match=tool) as failure:
                await hub.call_tool("liar", tool, {})
            assert not failure.value.outcome_unknown
            assert first_text(await hub.call_tool("liar", "good", {})) == "true"


async def test_an_answer_against_the_tools_own_schema_is_handed_on_as_data() -> None:
    with anyio.fail_after(10):
        async with open_hub([stdio("liar", "liar", "results")]) as hub:
            result = await hub.call_tool("liar", "against_schema", {})
    assert result.structured_content == {"n": "no number"}


async def test_a_tool_that_asks_back_is_refused_in_words() -> None:
    with anyio.fail_after(10):
        async with open_hub([stdio("liar", "liar", "results", "modern")]) as hub:
            with pytest.raises(ServerFaultError, match="asks back"):
                await hub.call_tool("liar", "asks", {})


async def test_a_server_that_wants_to_use_our_model_is_told_no() -> None:
    with anyio.fail_after(10):
        async with open_hub([stdio("liar", "liar", "results")]) as hub:
            said = json.loads(first_text(await hub.call_tool("liar", "samples", {})))
    assert said["id"] == "mine"
    assert "not supported" in said["error"]["message"]


async def test_an_answer_of_five_megabytes_arrives() -> None:
    with anyio.fail_after(20):
        async with open_hub([stdio("liar", "liar", "results")]) as hub:
            assert len(first_text(await hub.call_tool("liar", "huge", {}))) == 5_000_000


async def test_ten_thousand_tools_are_cut_to_a_thousand() -> None:
    with anyio.fail_after(30):
        tools = await list_of("many")
    assert len(tools) == 1_000


async def test_a_list_without_end_is_cut() -> None:
    with anyio.fail_after(10):
        assert 1 <= len(await list_of("endless")) <= 50


@ERAS
async def test_of_tools_with_one_name_the_first_counts(era: tuple[str, ...]) -> None:
    with anyio.fail_after(10):
        tools = await list_of("twins", *era)
    assert [tool.definition.description for tool in tools if tool.tool == "good"] == ["good"]
    assert len({tool.definition.name for tool in tools}) == len(tools) == 3


async def test_odd_names_become_names_that_models_take() -> None:
    with anyio.fail_after(10):
        tools = await list_of("names")
    assert {tool.tool for tool in tools} == {
        "good",
        "x" * 100,
        "dotted.name",
        "ünïcode/✓",
        "\x1b[31mred",
    }
    for tool in tools:
        assert len(tool.definition.name) <= 64
        assert tool.definition.name.replace("_", "").replace("-", "").isalnum()
        assert tool.definition.name.isascii()


async def test_what_a_server_says_about_its_tools_is_cleaned_and_cut() -> None:
    with anyio.fail_after(10):
        (tool,) = await list_of("texts")
    assert tool.title == "Good"
    assert tool.definition.description.startswith("Does it. x")
    assert len(tool.definition.description) <= 4_000
    query = tool.definition.input_schema["properties"]["q"]
    assert query == {"type": "string", "description": "what", "enum": ["\u200b"]}


@ERAS
async def test_tools_no_model_could_be_shown_are_left_out_alone(era: tuple[str, ...]) -> None:
    with anyio.fail_after(10):
        assert [tool.tool for tool in await list_of("schemas", *era)] == ["good"]


@pytest.mark.slow
async def test_a_list_that_is_none_leaves_the_other_servers_usable() -> None:
    with anyio.fail_after(10):
        async with open_hub([stdio("liar", "liar", "no_list"), in_memory()]) as hub:
            await hub.wait_settled(10)
            await expect_only_memory(hub)


async def test_garbage_between_the_answers_is_passed_over() -> None:
    with anyio.fail_after(10):
        async with open_hub([stdio("noisy", "garbage")]) as hub:
            for _ in range(3):
                assert first_text(await hub.call_tool("noisy", "echo", {})) == "in spite of it"


async def expect_only_memory(hub: Hub) -> None:
    liar, memory = hub.status()
    assert liar.state != "ready"
    assert liar.reason
    assert memory.state == "ready"
    assert {tool.server for tool in hub.tools()} == {"memory"}
    with pytest.raises(HubError):
        await hub.call_tool("liar", "good", {})
    assert not (await hub.call_tool("memory", "echo", {})).is_error
