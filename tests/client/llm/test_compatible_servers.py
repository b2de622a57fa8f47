"""Chat completions as servers other than OpenAI's stream them."""

from collections.abc import Sequence
from typing import Any

import anyio
import pytest

from client.llm.model_spec import parse_endpoint
from client.llm.protocol import Completion, ThoughtDelta, ToolCall, Usage
from tests.client.llm.vendors import ANTHROPIC, OPENAI, complete, listen
from tests.fakes.replies import Chunks, Raw


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"delta": fields, "finish_reason": finish}]}


def fragment(**fields: Any) -> dict[str, Any]:
    function = {k: fields.pop(k) for k in ("name", "arguments") if k in fields}
    return delta(tool_calls=[{**fields, "function": function}])


async def answer(*events: dict[str, Any]) -> Completion:
    async with OPENAI.open_server(Chunks(events)) as server:
        return await complete(OPENAI.connect(server.base_url))


async def test_ids_model_figures_and_done_may_be_missing() -> None:
    completion = await answer(delta(content="Hi"), delta("stop"))
    assert completion == Completion(text="Hi")


async def test_the_last_words_may_come_with_the_reason() -> None:
    completion = await answer(delta("stop", content="Hi"))
    assert (completion.text, completion.stop_reason) == ("Hi", "end")


async def test_empty_choices_and_odd_fields_are_passed_over() -> None:
    completion = await answer(
        {"choices": [], "prompt_filter_results": []},
        {"choices": None},
        {"object": "chat.completion.chunk"},
        delta(content=None, role="assistant", tool_calls=None),
        delta(content="Hi", logprobs={}),
        delta("stop"),
    )
    assert completion.text == "Hi"


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_thoughts_have_two_names(field: str) -> None:
    thinking = delta(**{field: "Hmm"})
    async with OPENAI.open_server(Chunks([thinking, delta("stop", content="4")])) as server:
        events = await listen(OPENAI.connect(server.base_url))
    assert events[0] == ThoughtDelta("Hmm")
    assert isinstance(events[-1], Completion)
    assert events[-1].thoughts == "Hmm"


async def test_figures_in_every_chunk_are_cumulative() -> None:
    def usage(tokens: int) -> dict[str, Any]:
        return {"usage": {"prompt_tokens": 9, "completion_tokens": tokens}}

    completion = await answer(
        delta(content="a") | usage(1), delta(content="b") | usage(2), delta("stop") | usage(3)
    )
    assert completion.usage == Usage(9, 3, 0)


ONE = ToolCall("1", "a", {"x": 1}, '{"x": 1}')
TWO = ToolCall("2", "b", {"y": 2}, '{"y": 2}')


@pytest.mark.parametrize(
    "fragments",
    [
        [
            fragment(index=0, id="1", name="a", arguments='{"x": 1}'),
            fragment(index=0, id="2", name="b", arguments='{"y": 2}'),
        ],
        [
            fragment(id="1", name="a", arguments='{"x": 1}'),
            fragment(id="2", name="b", arguments='{"y": 2}'),
        ],
        [
            fragment(id="1", name="a", arguments={"x": 1}),
            fragment(id="2", name="b", arguments={"y": 2}),
        ],
        [
            fragment(id="1", name="a", arguments='{"x"'),
            fragment(arguments=": 1}"),
            fragment(id="2", name="b", arguments=""),
            fragment(arguments='{"y": 2}'),
        ],
        [
            fragment(index=0, id="1", name="a"),
            fragment(index=1, id="2", name="b"),
            fragment(index=1, arguments='{"y"'),
            fragment(index=0, arguments='{"x": 1}'),
            fragment(index=1, arguments=": 2}"),
        ],
        [
            fragment(index=0, id="1", name="a", arguments='{"x"'),
            fragment(index=0, id="1", name="a", arguments=": 1}"),
            fragment(index=1, id="2", name="b", arguments='{"y": 2}'),
        ],
    ],
)
async def test_calls_come_whole_or_in_any_fragments(fragments: Sequence[dict[str, Any]]) -> None:
    completion = await answer(*fragments, delta("tool_calls"))
    assert completion.tool_calls == (ONE, TWO)
    assert completion.stop_reason == "tool_use"


async def test_whole_calls_without_ids_and_indexes_stay_apart() -> None:
    completion = await answer(
        fragment(name="a", arguments='{"x": 1}'),
        fragment(name="b", arguments='{"y": 2}'),
        delta("stop"),
    )
    assert [(call.name, call.arguments) for call in completion.tool_calls] == [
        ("a", {"x": 1}),
        ("b", {"y": 2}),
    ]


async def test_a_refusal_is_told_as_one() -> None:
    completion = await answer(delta(refusal="I can't help with that."), delta("stop"))
    assert (completion.text, completion.stop_reason) == ("I can't help with that.", "refused")


async def test_a_stream_that_stays_open_after_its_end_does_not_hold_the_answer() -> None:
    said = Chunks([delta(content="Hi"), delta("stop")], stays_open=True)
    async with OPENAI.open_server(said) as server:
        model = OPENAI.connect(server.base_url, timeout_seconds=0.3)
        with anyio.fail_after(5):
            assert (await complete(model)).text == "Hi"


async def test_an_anthropic_stream_without_its_last_event_is_complete() -> None:
    events = [
        {"type": "message_start", "message": {"model": "x"}},
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "text", "text": "Hi"},
        },
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
    ]
    async with ANTHROPIC.open_server(Chunks(events)) as server:
        completion = await complete(ANTHROPIC.connect(server.base_url))
    assert (completion.text, completion.stop_reason) == ("Hi", "end")


async def test_an_anthropic_server_may_send_a_call_whole() -> None:
    block = {"type": "tool_use", "id": "1", "name": "a", "input": {"x": 1}}
    events = [
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
        {"type": "message_stop"},
    ]
    async with ANTHROPIC.open_server(Chunks(events)) as server:
        completion = await complete(ANTHROPIC.connect(server.base_url))
    assert completion.tool_calls == (ONE,)


async def test_without_a_key_none_is_sent() -> None:
    said = Raw(b'data: {"choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}]}\n\n')
    async with OPENAI.open_server(said, key=None) as server:
        model = OPENAI.connect(server.base_url, endpoint=parse_endpoint(server.base_url))
        assert (await complete(model)).text == "Hi"
