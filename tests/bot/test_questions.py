"""What waits for a yes, and what servers ask, is put into the chat and answered there."""

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

from bot import wording
from client.hub.servers import HubServer, InProcessTarget, StdioTarget
from client.llm.protocol import Completion, ToolCall
from client.llm.scripted import ScriptedModel
from tests.bot.running_bot import ADA, BOB, Bench, open_bench, run_in_background
from tests.bot.test_commands import labels
from tests.fakes.telegram.bot_api import FakeBotApi

DELETE = ToolCall("1", "lab__delete_file", {"path": "/tmp/a\u202eb", "text": "x" * 5_000})
BOOK = ToolCall("1", "asks__book", {})
PAY = ToolCall("1", "asks__pay", {})


class Lab:
    """A server whose tools ask."""

    def __init__(self) -> None:
        self.done: list[str] = []
        server = MCPServer("lab")

        @server.tool(annotations=ToolAnnotations(destructive_hint=True))
        async def delete_file(path: str, text: str) -> str:
            self.done.append(path)
            return "deleted"

        self.target = HubServer("lab", InProcessTarget(server), offer_to_model=True)


@pytest.fixture
def lab() -> Lab:
    return Lab()


@asynccontextmanager
async def running(
    api: FakeBotApi, tmp_path: Path, server: HubServer, call: ToolCall
) -> AsyncGenerator[Bench]:
    model = ScriptedModel([Completion(text="", tool_calls=(call,)), Completion(text="So be it.")])
    async with (
        open_bench(tmp_path, server) as bench,
        run_in_background(bench, api, model),
    ):
        yield bench


async def until_asked(api: FakeBotApi, text: str) -> dict[str, Any]:
    """The message that asks this."""
    return await api.until(lambda: next((m for m in api.messages(ADA) if text in m["text"]), None))


@pytest.mark.parametrize(
    ("how", "expected"), [(wording.DO_IT, True), (wording.DONT, False), ("Yes", True), ("n", False)]
)
async def test_a_call_is_made_only_after_a_yes(
    api: FakeBotApi, tmp_path: Path, lab: Lab, how: str, *, expected: bool
) -> None:
    with anyio.fail_after(30):
        async with running(api, tmp_path, lab.target, DELETE) as bench:
            api.user_says(ADA, "delete it")
            asked = dict(await until_asked(api, "May I use"))
            assert lab.done == []
            if how in (wording.DO_IT, wording.DONT):
                api.person(ADA).presses(asked, how)
            else:
                api.user_says(ADA, how)
            messages = await bench.wait_for_states("answered", "", "", "delivered")

    assert lab.done == (["/tmp/a\u202eb"] if expected else [])
    assert "lab__delete_file" in asked["text"]
    assert '"/tmp/ab"' in asked["text"]
    assert "and 4,002 more characters" in asked["text"]
    (shown,) = [m for m in api.messages(ADA) if m["message_id"] == asked["message_id"]]
    assert shown["text"].endswith(wording.AGREED if expected else wording.DECLINED)
    assert "reply_markup" not in shown
    assert [m.text() for m in messages if m.role == "user"] == ["delete it"]


async def test_nobody_else_and_no_other_button_answers(
    api: FakeBotApi, tmp_path: Path, lab: Lab
) -> None:
    with anyio.fail_after(30):
        async with running(api, tmp_path, lab.target, DELETE) as bench:
            asked_by = api.user_says(ADA, "delete it")["message"]["message_id"]
            asked = await until_asked(api, "May I use")
            data = asked["reply_markup"]["inline_keyboard"][0][0]["callback_data"]
            assert data == f"ask:{asked_by}.1:y"
            api.person(BOB).presses_data(asked, data)
            for forged in ("ask:", "ask:y", f"ask:{asked_by}.2:y", f"ask:{asked_by}.1:x"):
                api.person(ADA).presses_data(asked, forged)
            answers = await api.wait_for_call("answerCallbackQuery", 4)
            assert lab.done == []
            api.person(ADA).presses(asked, wording.DONT)
            await bench.wait_for_states("answered", "", "", "delivered")

    assert {answer.parameters["text"] for answer in answers} == {wording.BUTTON_IS_OLD}
    assert lab.done == []


async def test_what_is_written_meanwhile_waits_and_stop_ends_the_question(
    api: FakeBotApi, tmp_path: Path, lab: Lab
) -> None:
    with anyio.fail_after(30):
        async with running(api, tmp_path, lab.target, DELETE):
            api.user_says(ADA, "delete it")
            asked = await until_asked(api, "May I use")
            api.user_says(ADA, "by the way")
            api.user_says(ADA, "/stop")
            await until_asked(api, "So be it.")
            shown = next(m for m in api.messages(ADA) if m["message_id"] == asked["message_id"])

    assert shown["text"].endswith(wording.NO_LONGER_OPEN)
    assert lab.done == []


async def test_after_a_restart_it_is_asked_again_and_the_old_button_answers(
    api: FakeBotApi, tmp_path: Path, lab: Lab
) -> None:
    with anyio.fail_after(30):
        async with running(api, tmp_path, lab.target, DELETE):
            asked_by = api.user_says(ADA, "delete it")["message"]["message_id"]
            first = await until_asked(api, "May I use")
        model = ScriptedModel([Completion(text="So be it.")])
        async with (
            open_bench(tmp_path, lab.target) as bench,
            run_in_background(bench, api, model),
        ):
            await api.until(
                lambda: sum("May I use" in m["text"] for m in api.messages(ADA)) == 2 or None
            )
            api.person(ADA).presses_data(first, f"ask:{asked_by}.1:y")
            await bench.wait_for_states("answered", "", "", "delivered")

    assert len(lab.done) == 1


@pytest.mark.parametrize("era", ["", "modern"])
async def test_a_form_is_asked_field_by_field_and_kept_nowhere(
    api: FakeBotApi, tmp_path: Path, era: str
) -> None:
    with anyio.fail_after(30):
        async with running(api, tmp_path, asking(era), BOOK) as bench:
            api.user_says(ADA, "a trip")
            head = await until_asked(api, "The server asks asks")
            await until_asked(api, "City: text, at least 2 characters")
            api.user_says(ADA, "X")
            await until_asked(api, "this has to be text, at least 2 characters")
            api.user_says(ADA, "Xanadu")
            nights = await until_asked(api, "nights: a whole number")
            assert labels(nights) == ["Take: 2", "Decline"]
            api.person(ADA).presses(nights, "Take: 2")
            mail = await until_asked(api, "mail: an address")
            api.person(ADA).presses(mail, wording.LEAVE_OUT)
            sending = await until_asked(api, "Shall this be sent to asks?")
            assert sending["text"].endswith("City: Xanadu\nnights: 2")
            api.person(ADA).presses(sending, wording.SEND)
            *_, result, _ = await bench.wait_for_states("answered", "", "", "delivered")
            said = [m["text"] for m in api.messages(ADA)]

    assert '"city": "Xanadu"' in result.text()
    assert '"nights": 2' in result.text()
    assert "Where to?" in head["text"]
    assert any(text.endswith("\n\nXanadu") for text in said)


async def test_a_form_can_be_declined_at_any_field(api: FakeBotApi, tmp_path: Path) -> None:
    with anyio.fail_after(30):
        async with running(api, tmp_path, asking("modern"), BOOK) as bench:
            api.user_says(ADA, "a trip")
            first = await until_asked(api, "City")
            api.person(ADA).presses(first, wording.DECLINE)
            *_, result, _ = await bench.wait_for_states("answered", "", "", "delivered")

    assert "decline" in result.text()


async def test_a_page_is_shown_with_where_it_leads(api: FakeBotApi, tmp_path: Path) -> None:
    with anyio.fail_after(30):
        async with running(api, tmp_path, asking("modern"), PAY) as bench:
            api.user_says(ADA, "pay")
            page = await until_asked(api, "to open a page of pay.example.com")
            api.person(ADA).presses(page, wording.DONE)
            *_, result, _ = await bench.wait_for_states("answered", "", "", "delivered")

    assert "https://pay.example.com/now?order=7" in page["text"]
    assert "accept" in result.text()
    sent = [c.parameters for c in api.calls_of("sendMessage")]
    assert all(each["link_preview_options"] == {"is_disabled": True} for each in sent)


def asking(era: str) -> HubServer:
    """A server that asks, in the older era or the newer one."""
    args = ["-m", "tests.fakes.mcp_servers.asks", *([era] if era else [])]
    target = StdioTarget(sys.executable, args, cwd=Path(__file__).parents[2])
    return HubServer("asks", target, offer_to_model=True)
