"""`agentic ask`: one turn, from the question to the exit code."""

import json
import os
import signal
from contextlib import suppress

import anyio
import pytest

from servers.conversations.contract import Message
from tests.agentic.cli.real_command import LIMIT_SECONDS, RealCommand, without_the_embedded_model
from tests.assistant import assert_whole
from tests.fakes.tool_endpoint import Hanging, compute, serve_tool_endpoint

ATTACK = "\x1b]0;owned\x07\x1b[31mred\u202e"


async def test_the_answer_is_on_stdout_and_what_happened_meanwhile_on_stderr(
    command: RealCommand,
) -> None:
    async with serve_tool_endpoint() as endpoint:
        url = endpoint.on("/look", compute(lambda request: f"found {ATTACK}"))
        command.script(
            '- {when: ., call: {tool: tools__look, arguments: {q: "\\e[2J"}}, say: "I {result}"}',
            more=f"tools: {{look: {{url: '{url}', parameters: {{q: {{type: string}}}}}}}}",
        )
        ended = await command.run("ask", "look", "for", "it")
    assert (ended.exit_code, ended.output) == (0, "I found red\n")
    assert ended.notes.startswith("✓ tools__look(q=")
    assert "\x1b" not in ended.output + ended.notes


async def test_json_is_one_object_and_loses_nothing(command: RealCommand) -> None:
    command.script(f"- {{when: ., say: {json.dumps('Hi ' + ATTACK)}}}")
    ended = await command.run("ask", "--json", "-c", "mine", "-", stdin=b"hello\n")
    result = json.loads(ended.output)
    assert ended.exit_code == 0
    assert "\x1b" not in ended.output
    assert "\u202e" not in ended.output
    assert result["content"] == "Hi " + ATTACK
    assert result["conversation_id"] == "mine"
    assert result["model"] == "scripted/script"
    assert result["tool_calls"] == []
    assert {"turn_id", "usage", "seconds"} <= set(result)


@pytest.mark.slow
async def test_a_turn_without_a_reply_fails_with_its_reason(command: RealCommand) -> None:
    command.script("- {when: never, say: x}")
    ended = await command.run("ask", "--json", "hello")
    result = json.loads(ended.output)
    assert ended.exit_code == 1
    assert result["error"]["code"] == "model"
    assert result["error"]["message"] in ended.notes
    assert "Traceback" not in ended.notes


@pytest.mark.parametrize(
    ("arguments", "stdin", "reason"),
    [
        (["ask"], b" \n", "no question"),
        (["ask", "-"], b"\xff\xfe", "UTF-8"),
        (["ask", "-"], b"a" * 600_000, "longer than a message"),
        (["ask", "-"], b"a\0b", "holds a NUL character: remove it"),
        (["ask", "-c", "", "hi"], b"", "1 to 1024 bytes"),
        (["ask", "-m", "nope", "hi"], b"", "nope"),
        (["--config", "nowhere.yml", "ask", "hi"], b"", "nowhere.yml"),
        (["ask", os.fsdecode(b"\xff")], b"", "UTF-8"),
    ],
)
async def test_wrong_usage_is_told_in_a_sentence(
    command: RealCommand, arguments: list[str], stdin: bytes, reason: str
) -> None:
    command.script("- {when: ., say: x}")
    ended = await command.run(*arguments, stdin=stdin)
    assert ended.exit_code == 2
    assert reason in ended.notes
    assert "Traceback" not in ended.notes
    assert ended.output == ""


@without_the_embedded_model
async def test_without_a_model_what_can_be_done_is_listed(command: RealCommand) -> None:
    ended = await command.run("ask", "hello")
    assert ended.exit_code == 2
    assert "ANTHROPIC_API_KEY" in ended.notes
    assert "Ollama" in ended.notes


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
@pytest.mark.slow
async def test_signals_in_the_middle_of_a_turn_leave_a_whole_history(
    command: RealCommand, number: signal.Signals
) -> None:
    hanging = Hanging()
    async with serve_tool_endpoint() as endpoint:
        url = endpoint.on("/slow", hanging)
        command.script(
            "- {when: ., call: {tool: tools__slow}, say: done}",
            more=f"tools: {{slow: {{url: '{url}'}}}}",
        )
        async with command.started("ask", "-c", "mine", "go") as process:
            with anyio.fail_after(LIMIT_SECONDS):
                await hanging.arrived.wait()
                # More of them come while it stores what was said, closes its servers and leaves.
                while process.returncode is None:
                    with suppress(ProcessLookupError):
                        os.kill(process.pid, number)  # `send_signal` might reap it
                    await anyio.sleep(0.001)
        assert process.returncode == 128 + number
    shown = await command.run("conversations", "show", "mine", "--json")
    messages = [Message.model_validate(each) for each in json.loads(shown.output)["messages"]]
    assert [message.role for message in messages[:3]] == ["user", "assistant", "tool"]
    assert_whole(messages)
