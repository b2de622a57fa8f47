"""`agentic chat`: in a terminal as a person meets it, and through pipes."""

import json
import stat

import anyio
import pytest

from tests.agentic.cli.real_command import LIMIT_SECONDS, RealCommand
from tests.fakes.tool_endpoint import Hanging, serve_tool_endpoint

SCRIPT = r"""
- when: code
  say: "Some **bold** text:\n\n```python\nprint(1)\n```\n\n| a |\n|---|\n\nDone \e[2J\e]0;own\a."
- {when: slow, call: {tool: tools__slow, arguments: {q: x}}, say: never}
- {when: remember, say: I do}
"""
PROMPT = ">"


@pytest.mark.slow
async def test_a_talk_in_a_terminal(command: RealCommand) -> None:
    hanging = Hanging()
    async with serve_tool_endpoint() as endpoint:
        url = endpoint.on("/slow", hanging)
        command.script(
            SCRIPT, more=f"tools: {{slow: {{url: '{url}', parameters: {{q: {{type: string}}}}}}}}"
        )
        async with command.in_terminal("chat") as terminal:
            await terminal.wait_for("scripted/script · conversation default")
            await terminal.wait_for(PROMPT)

            terminal.type("show me code\r")
            await terminal.wait_for("Some bold text:")
            await terminal.wait_for("print(1)")
            await terminal.wait_for("Done")

            terminal.type("slow\r")
            with anyio.fail_after(LIMIT_SECONDS):
                await hanging.arrived.wait()
            terminal.interrupt()
            await terminal.wait_for("its outcome is unknown")
            await terminal.wait_for("Stopped.")

            await terminal.wait_for(PROMPT)
            terminal.type("/nonsense\r")
            await terminal.wait_for("There is no command /nonsense")
            terminal.type("/tools\r")
            await terminal.wait_for("tools__slow")
            terminal.type("what nobody scripted\r")
            await terminal.wait_for("reference")
            terminal.interrupt()  # too late: the turn is over
            await terminal.wait_for(PROMPT)
            terminal.type("\x03")
            await terminal.wait_for("/quit")
            await terminal.wait_for(PROMPT)  # before, it would be no key but the terminal's own
            terminal.type("\x04")
            assert await terminal.wait_for_end() == 0
            assert b"\x1b[2J" not in terminal.raw
            assert b"\x1b]0;" not in terminal.raw

        history = command.home / ".local/share/agentic/input_history"
        assert stat.S_IMODE(history.stat().st_mode) == 0o600
        assert "+show me code" in history.read_text(encoding="utf-8")

        async with command.in_terminal("chat", columns=20, lines=8) as terminal:
            await terminal.wait_for("earlier")
            terminal.type("/new\r")
            await terminal.wait_for("chat-")
            terminal.type("\x1b[200~remember\nboth lines\x1b[201~\r")
            await terminal.wait_for("I do")
            terminal.type("/quit\r")
            assert await terminal.wait_for_end() == 0

    listed = json.loads((await command.run("conversations", "list", "--json")).output)
    ids = [facts["conversation_id"] for facts in listed]
    assert ids[1:] == ["default"]
    shown = await command.run("conversations", "show", ids[0], "--json")
    assert json.loads(shown.output)["messages"][0]["content"] == "remember\nboth lines"


@pytest.mark.slow
async def test_through_pipes_each_line_is_a_turn_and_nothing_is_painted(
    command: RealCommand,
) -> None:
    command.script(SCRIPT)
    ended = await command.run("chat", stdin=b"code\n\n/help\nhuh\nremember\n/quit\nremember\n")
    assert ended.exit_code == 1  # one had no reply
    assert "reference" in ended.notes
    assert ended.output.startswith("Some **bold** text:\n\n```python\n")
    assert ended.output.endswith("Done .\nI do\n")
    assert "/new" in ended.notes
    assert "\x1b" not in ended.output + ended.notes


@pytest.mark.slow
async def test_what_looks_like_a_command_is_told_and_no_message(command: RealCommand) -> None:
    command.script(SCRIPT)
    ended = await command.run("chat", stdin=b"/tools extra\n/ help\n/nope now\n/HELP\n/QUIT\n")
    assert (ended.exit_code, ended.output) == (0, "")
    assert "/tools takes nothing after it. Not sent: /tools extra" in ended.notes
    assert "There is no command / help\n" in ended.notes
    assert "There is no command /nope now\n" in ended.notes
    assert ended.notes.count("/new    begin") == 3


@pytest.mark.slow
async def test_what_cannot_be_kept_is_not_sent_and_the_reason_says_what_to_do(
    command: RealCommand,
) -> None:
    command.script(SCRIPT)
    ended = await command.run("chat", stdin=b"a\0b\n")
    assert ended.exit_code == 1
    assert "Not sent: the message holds a NUL character: remove it." in ended.notes


@pytest.mark.slow
async def test_a_key_can_be_pasted_and_is_not_shown(command: RealCommand) -> None:
    key = "sk-ant-api03-0123456789abcdefghij"
    async with command.in_terminal("chat") as terminal:
        await terminal.wait_for("scripted tour")
        await terminal.wait_for(PROMPT)
        terminal.type("1\r")
        await terminal.wait_for("not shown")
        terminal.type("not a key\r")
        await terminal.wait_for("That is no key")
        await terminal.wait_for(PROMPT)
        terminal.type("1\r")
        await terminal.wait_for("not shown")
        terminal.type(f" {key}\r")
        await terminal.wait_for("anthropic/")
        await terminal.wait_for(PROMPT)
        terminal.type("\x04")
        assert await terminal.wait_for_end() == 0
        assert key.encode() not in terminal.raw
    kept = command.home / ".config/agentic/keys.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert key in kept.read_text(encoding="utf-8")


@pytest.mark.slow
async def test_the_tour_is_labelled_and_leaving_the_choice_leaves(command: RealCommand) -> None:
    async with command.in_terminal("chat") as terminal:
        await terminal.wait_for(PROMPT)
        terminal.type("3\r")
        await terminal.wait_for("scripted/tour")
        terminal.type("hello\r")
        await terminal.wait_for("Scripted tour")
        terminal.type("/quit\r")
        assert await terminal.wait_for_end() == 0
    async with command.in_terminal("chat") as terminal:
        await terminal.wait_for(PROMPT)
        terminal.type("q\r")
        assert await terminal.wait_for_end() == 2
