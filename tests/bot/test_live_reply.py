"""A reply is shown while it grows, and what was shown becomes the reply."""

from pathlib import Path

import anyio
import pytest
from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

from bot import wording
from client.hub.servers import HubServer, InProcessTarget
from client.llm.protocol import Completion, ModelUnavailableError, ToolCall
from client.llm.scripted import Held, Interrupted, ScriptedModel
from tests.bot.running_bot import ADA, BOB, Bench, open_bench, run_in_background
from tests.fakes.telegram.bot_api import FakeBotApi
from tests.fakes.telegram.faults import DropAfter, Status, too_many_requests

LONG = " ".join(f"**word{number}**" for number in range(60))
PLAIN = LONG.replace("**", "")
MARK = "(Possibly a repeat) "


async def test_a_reply_grows_in_one_message(api: FakeBotApi, bench: Bench) -> None:
    held = Held(Completion(text=LONG))
    with anyio.fail_after(20):
        async with run_in_background(bench, api, ScriptedModel([held])):
            api.user_says(ADA, "talk")
            (draft,) = await api.wait_for_message(ADA)
            early = draft["text"]
            held.release.set()
            _, reply = await bench.wait_for_states("answered", "delivered")

    (message,) = api.messages(ADA)
    assert PLAIN.startswith(early.replace("*", ""))
    assert len(early) < len(PLAIN)
    assert message["text"] == PLAIN
    assert reply.annotations is not None
    assert reply.annotations["delivery"]["sent"] == [draft["message_id"]]


async def test_a_short_reply_that_comes_soon_is_sent_once(api: FakeBotApi, bench: Bench) -> None:
    with anyio.fail_after(20):
        async with run_in_background(bench, api, ScriptedModel([Completion(text="yes")])):
            api.user_says(ADA, "well?")
            await bench.wait_for_states("answered", "delivered")

    assert len(api.calls_of("sendMessage")) == 1
    assert api.calls_of("editMessageText") == []


async def test_code_that_becomes_too_long_for_a_message_moves_into_a_file(
    api: FakeBotApi, bench: Bench
) -> None:
    code = "\n".join(f"x = {number}" for number in range(2_400))
    prose = "words " * 600
    held = Held(Completion(text=f"{prose}\n\n```py\n{code}\n```\n\nThat is all."))
    with anyio.fail_after(20):
        async with run_in_background(bench, api, ScriptedModel([held])):
            api.user_says(ADA, "talk")
            first, surplus = await api.wait_for_message(ADA, 2)
            held.release.set()
            _, reply = await bench.wait_for_states("answered", "delivered")
            text, file = await api.until(
                lambda: shown if surplus not in (shown := api.messages(ADA)) else None
            )

    assert text["message_id"] == first["message_id"]
    assert text["text"].endswith("x = 11\n(All 2,400 lines are in code-1.py.)\n\nThat is all.")
    sent = api.files.take("document", file["document"]["file_id"], {})
    assert (sent.name, sent.data.decode()) == ("code-1.py", code)
    assert reply.annotations is not None
    assert reply.annotations["delivery"]["sent"] == [text["message_id"], file["message_id"]]
    assert api.refusals == []


async def test_after_a_crash_what_was_shown_becomes_the_reply(
    api: FakeBotApi, bench: Bench
) -> None:
    with anyio.fail_after(20):
        async with run_in_background(bench, api, ScriptedModel([Held(Completion(text=LONG))])):
            api.user_says(ADA, "talk")
            await api.wait_for_message(ADA)
            await bench.wait_for_calls("append_messages", *["annotate_message"] * 2)
        async with run_in_background(bench, api, ScriptedModel([Completion(text=LONG)])):
            await bench.wait_for_states("answered", "delivered")

    assert [message["text"] for message in api.messages(ADA)] == [PLAIN]


async def test_a_draft_that_may_have_arrived_makes_the_reply_a_possible_repeat(
    api: FakeBotApi, bench: Bench
) -> None:
    api.fail_next("sendMessage", DropAfter())
    held = Held(Completion(text=LONG))
    with anyio.fail_after(20):
        async with run_in_background(bench, api, ScriptedModel([held])):
            api.user_says(ADA, "talk")
            await api.wait_for_message(ADA)
            held.release.set()
            await bench.wait_for_states("answered", "delivered")

    _, reply = api.messages(ADA)
    assert reply["text"] == MARK + PLAIN


async def test_a_draft_that_was_deleted_is_sent_anew(api: FakeBotApi, bench: Bench) -> None:
    held = Held(Completion(text=LONG))
    with anyio.fail_after(20):
        async with run_in_background(bench, api, ScriptedModel([held])):
            api.user_says(ADA, "talk")
            await api.wait_for_message(ADA)
            api.fail_next(
                "editMessageText", *[Status(400, "Bad Request: message to edit not found")] * 2
            )
            held.release.set()
            await bench.wait_for_states("answered", "delivered")

    assert [message["text"] for message in api.messages(ADA)][1:] == [PLAIN]


async def test_a_failed_turn_says_so_in_the_message_that_was_begun(
    api: FakeBotApi, bench: Bench
) -> None:
    broken = Interrupted(LONG, ModelUnavailableError("The model is gone."))
    with anyio.fail_after(20):
        async with run_in_background(bench, api, ScriptedModel([broken])):
            api.user_says(ADA, "talk")
            await bench.wait_for_states("delivered")

    (message,) = api.messages(ADA)
    assert message["text"].startswith("The model is gone. (reference ")


@pytest.mark.slow
async def test_a_chat_that_telegram_slows_down_gets_the_whole_reply_without_drafts(
    api: FakeBotApi, bench: Bench
) -> None:
    api.fail_next("sendMessage", too_many_requests(1))
    with anyio.fail_after(20):
        async with run_in_background(bench, api, ScriptedModel([Completion(text=LONG)])):
            api.user_says(ADA, "talk")
            await bench.wait_for_states("answered", "delivered")

    assert [message["text"] for message in api.messages(ADA)] == [PLAIN]
    assert api.calls_of("editMessageText") == []


@pytest.mark.slow
async def test_a_line_says_which_tool_works_until_the_reply_takes_its_place(
    api: FakeBotApi, tmp_path: Path
) -> None:
    server, release = MCPServer("lab"), anyio.Event()

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    async def measure_depth() -> str:
        await release.wait()
        return "12 m"

    lab = HubServer("lab", InProcessTarget(server), offer_to_model=True)
    call = ToolCall("1", "lab__measure_depth", {})
    model = ScriptedModel(
        [Completion(text="I'll look.", tool_calls=(call,)), Completion(text="It is 12 m.")]
    )
    with anyio.fail_after(30):
        async with open_bench(tmp_path, lab) as bench, run_in_background(bench, api, model):
            api.user_says(ADA, "how deep?")
            (draft,) = await api.wait_for_message(ADA)
            early = draft["text"]
            release.set()
            await bench.wait_for_states("answered", "", "", "delivered")

    assert early == "I'll look.\n\n⏳ measure_depth …"
    assert [message["text"] for message in api.messages(ADA)] == ["It is 12 m."]


@pytest.mark.parametrize("how", ["command", "button"])
async def test_an_answer_that_is_stopped_ends_with_what_was_said(
    api: FakeBotApi, bench: Bench, how: str
) -> None:
    model = ScriptedModel([Held(Completion(text=LONG)), Completion(text="At your service.")])
    with anyio.fail_after(20):
        async with run_in_background(bench, api, model):
            api.user_says(ADA, "talk")
            (draft,) = await api.wait_for_message(ADA)
            if how == "command":
                api.user_says(ADA, "/stop")
            else:
                api.person(ADA).presses(draft, wording.STOP)
            *_, end = await bench.wait_for_states("delivered", "")
            api.user_says(ADA, "good")
            await bench.wait_for_states("delivered", "", "answered", "delivered")

    stopped, reply = api.messages(ADA)
    assert stopped["text"].endswith("\n\n(Stopped, as you asked.)")
    assert PLAIN.startswith(stopped["text"].partition("\n\n")[0].replace("*", ""))
    assert "reply_markup" not in stopped
    assert reply["text"] == "At your service."
    assert LONG.startswith(end.text().partition("\n\n")[0])
    assert (end.metadata or {})["error"] == "cancelled"


async def test_a_button_of_another_answer_stops_nothing(api: FakeBotApi, bench: Bench) -> None:
    held = Held(Completion(text=LONG))
    with anyio.fail_after(20):
        async with run_in_background(bench, api, ScriptedModel([held])):
            asked = api.user_says(ADA, "talk")
            (draft,) = await api.wait_for_message(ADA)
            for data in ("stop:", "stop:99", "stop:²", "stop:-1", "other", "stop:1 "):
                api.person(ADA).presses_data(draft, data)
            api.user_says(BOB, "/stop")
            await api.wait_for_message(BOB)
            api.person(BOB).presses_data(draft, f"stop:{asked['message']['message_id']}")
            await api.wait_for_call("answerCallbackQuery", 6)
            held.release.set()
            await bench.wait_for_states("answered", "delivered")

    assert [message["text"] for message in api.messages(ADA)] == [PLAIN]
    assert [message["text"] for message in api.messages(BOB)] == [wording.NOTHING_RUNS]
