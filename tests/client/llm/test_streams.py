"""What all providers make of proper answers."""

import pytest

from client.llm.protocol import Completion, StopReason, TextDelta, ThoughtDelta, ToolCall, Usage
from tests.client.llm.vendors import ANTHROPIC, BEDROCK, OPENAI, Vendor, ask, complete, listen, user
from tests.fakes.replies import FakeCall, Say


async def test_text_comes_in_pieces_and_ends_with_one_completion(vendor: Vendor) -> None:
    text = "Good morning, Ada! Ça va? 早上好 🌅"
    async with vendor.open_server(Say(text)) as server:
        *deltas, completion = await listen(vendor.connect(server.base_url))
    assert all(isinstance(delta, TextDelta) for delta in deltas)
    assert len(deltas) > 1
    assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == text
    assert completion == Completion(
        text=text, stop_reason="end", usage=Usage(10, 5, 0), model=vendor.model
    )


async def test_thoughts_come_apart_from_the_text(vendor: Vendor) -> None:
    async with vendor.open_server(Say("Four.", thoughts="Two and two…")) as server:
        *deltas, completion = await listen(vendor.connect(server.base_url))
    thoughts = "".join(delta.text for delta in deltas if isinstance(delta, ThoughtDelta))
    assert thoughts == "Two and two…"
    assert isinstance(completion, Completion)
    assert (completion.text, completion.thoughts) == ("Four.", "Two and two…")


async def test_parallel_tool_calls_in_fragments_are_put_together(vendor: Vendor) -> None:
    calls = [
        FakeCall("tools__current_time", {"timezone": "Europe/Paris"}, "call_one"),
        FakeCall(
            "tools__current_time", {"timezone": "Asia/Tokyo", "n": [1, {"é": None}]}, "call_two"
        ),
        FakeCall("tools__ping", {}, "call_three", raw=""),
    ]
    async with vendor.open_server(Say("Let me see.", calls=calls)) as server:
        completion = await complete(vendor.connect(server.base_url))
    assert completion.text == "Let me see."
    assert completion.stop_reason == "tool_use"
    assert [(call.id, call.name, call.arguments) for call in completion.tool_calls] == [
        (call.id, call.name, dict(call.arguments)) for call in calls
    ]


@pytest.mark.parametrize(
    "raw",
    [
        '{"timezone": "Eur',
        "[1, 2]",
        '"text"',
        "null",
        "NaN",
        '{"a": NaN}',
        '{"a": "\\u0000"}',
        '{"a": "\\ud800"}',
        '{"a": ' + "9" * 5000 + "}",
        "[" * 5000,
    ],
)
async def test_arguments_that_are_no_storable_object_are_given_raw(
    vendor: Vendor, raw: str
) -> None:
    async with vendor.open_server(Say(calls=[FakeCall("t", raw=raw)])) as server:
        completion = await complete(vendor.connect(server.base_url))
    assert completion.tool_calls == (ToolCall("call_one", "t", None, raw),)


async def test_a_repeated_call_id_is_replaced_so_that_results_can_be_matched(
    vendor: Vendor,
) -> None:
    calls = [FakeCall("a", {"x": 1}, ""), FakeCall("b", {"x": 2}, "")]
    async with vendor.open_server(Say(calls=calls)) as server:
        completion = await complete(vendor.connect(server.base_url))
    first, second = completion.tool_calls
    assert (first.name, second.name) == ("a", "b")
    assert first.id
    assert second.id
    assert first.id != second.id


async def test_cached_tokens_count_as_input_tokens_too(vendor: Vendor) -> None:
    reply = Say("Hi", input_tokens=100, cached_tokens=80, output_tokens=7)
    async with vendor.open_server(reply) as server:
        completion = await complete(vendor.connect(server.base_url))
    assert completion.usage == Usage(100, 7, 80)


@pytest.mark.parametrize(
    ("vendor", "word", "meaning"),
    [
        (ANTHROPIC, "end_turn", "end"),
        (ANTHROPIC, "stop_sequence", "end"),
        (ANTHROPIC, "max_tokens", "max_tokens"),
        (ANTHROPIC, "model_context_window_exceeded", "max_tokens"),
        (ANTHROPIC, "refusal", "refused"),
        (ANTHROPIC, "tool_use", "end"),
        (BEDROCK, "end_turn", "end"),
        (BEDROCK, "stop_sequence", "end"),
        (BEDROCK, "max_tokens", "max_tokens"),
        (BEDROCK, "model_context_window_exceeded", "max_tokens"),
        (BEDROCK, "content_filtered", "refused"),
        (BEDROCK, "guardrail_intervened", "refused"),
        (BEDROCK, "tool_use", "end"),
        (OPENAI, "stop", "end"),
        (OPENAI, "eos", "end"),
        (OPENAI, "length", "max_tokens"),
        (OPENAI, "content_filter", "refused"),
        (OPENAI, "tool_calls", "end"),
    ],
)
async def test_stop_reasons_are_told_in_our_words(
    vendor: Vendor, word: str, meaning: StopReason
) -> None:
    async with vendor.open_server(Say("Some text", stop=word)) as server:
        completion = await complete(vendor.connect(server.base_url))
    assert completion.stop_reason == meaning


async def test_calls_make_a_tool_step_whatever_reason_the_server_gives(vendor: Vendor) -> None:
    async with vendor.open_server(Say(calls=[FakeCall("t", {})], stop="stop")) as server:
        completion = await complete(vendor.connect(server.base_url))
    assert completion.stop_reason == "tool_use"


async def test_an_answer_cut_by_its_limit_keeps_that_reason_beside_half_a_call(
    vendor: Vendor,
) -> None:
    stop = "length" if vendor is OPENAI else "max_tokens"
    reply = Say(calls=[FakeCall("t", raw='{"a": "half')], stop=stop)
    async with vendor.open_server(reply) as server:
        completion = await complete(vendor.connect(server.base_url))
    assert completion.stop_reason == "max_tokens"
    assert completion.tool_calls[0].arguments is None


async def test_an_empty_answer_that_ended_properly_is_an_empty_completion(vendor: Vendor) -> None:
    async with vendor.open_server(Say("")) as server:
        events = await listen(vendor.connect(server.base_url))
    assert events == [Completion(text="", usage=Usage(10, 5, 0), model=vendor.model)]


async def test_what_no_store_takes_is_cleaned_out_of_texts(vendor: Vendor) -> None:
    async with vendor.open_server(Say("a\0b\ud800c", thoughts="\0x")) as server:
        completion = await complete(vendor.connect(server.base_url))
    assert (completion.text, completion.thoughts) == ("ab?c", "x")


async def test_one_model_answers_several_requests_at_once(vendor: Vendor) -> None:
    async with vendor.open_server(Say("one"), Say("two")) as server:
        model = vendor.connect(server.base_url)
        assert (await complete(model)).text == "one"
        assert (await complete(model, ask(user("again")))).text == "two"
        assert len(server.requests) == 2
