"""What tools return stands in the chat behind the reply, as what it is, and once."""

import base64
import struct
import zlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
import pytest

from bot.media import choose_kind
from client.hub.servers import HubServer, InProcessTarget
from client.llm.protocol import Completion, ModelRequest, ModelUnavailableError, ToolCall
from client.llm.scripted import Held, ScriptedModel, Step
from tests.assistant import Lab
from tests.bot.running_bot import ADA, CHAT, Bench, open_bench, run_in_background
from tests.fakes.telegram.bot_api import FakeBotApi
from tests.fakes.telegram.chats import Message
from tests.fakes.telegram.faults import DropAfter, Fault, Hang, Status

MARK = "(Possibly a repeat)"
GIF = b"GIF89a\x01\x00\x01\x00" + bytes(20)
MP3 = b"ID3\x04" + bytes(40)
PDF = b"%PDF-1.4\n" + bytes(40)


def png(width: int = 3, height: int = 2, *, more: int = 0) -> bytes:
    """A picture of that size, and so many bytes more."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rest = chunk(b"teXt", bytes(more)) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + rest


def picture(data: bytes, mime_type: str = "image/png") -> types.ImageContent:
    return types.ImageContent(
        type="image", data=base64.b64encode(data).decode(), mime_type=mime_type
    )


def sound(data: bytes, mime_type: str = "audio/mpeg") -> types.AudioContent:
    return types.AudioContent(
        type="audio", data=base64.b64encode(data).decode(), mime_type=mime_type
    )


def file(data: bytes, mime_type: str = "application/pdf") -> types.EmbeddedResource:
    blob = base64.b64encode(data).decode()
    contents = types.BlobResourceContents(uri="x://y", blob=blob, mime_type=mime_type)
    return types.EmbeddedResource(type="resource", resource=contents)


def drawing(number: int = 1) -> Completion:
    return Completion(text="", tool_calls=(ToolCall(f"call_{number}", "lab__read_draw", {}),))


@asynccontextmanager
async def open_with(directory: Path, *blocks: types.ContentBlock) -> AsyncGenerator[Bench]:
    """A bench with the tool `lab__read_draw`, which returns this."""
    lab = Lab({"read_draw": lambda _: types.CallToolResult(content=list(blocks))})
    server = HubServer("lab", InProcessTarget(lab.create_server()), ours=True)
    with anyio.fail_after(60):
        async with open_bench(directory, server) as bench:
            yield bench


async def draw(
    api: FakeBotApi, bench: Bench, steps: Sequence[Step] = (drawing(), Completion(text="There."))
) -> list[Message]:
    """What stands in the chat when a bot has answered."""
    async with run_in_background(bench, api, ScriptedModel(steps)):
        api.user_says(ADA, "draw")
        await bench.wait_for_states("answered", "", "", "delivered")
    return api.messages(ADA)


def shown(message: Message) -> str:
    """The kind of a message, and what is written on it."""
    kind = next(k for k in ("text", "photo", "animation", "audio", "document") if k in message)
    return f"{kind} {message.get('text', message.get('caption', ''))}".strip()


def data_of(api: FakeBotApi, message: Message) -> tuple[str, bytes]:
    """The name and the bytes of a message's file."""
    kind = shown(message).partition(" ")[0]
    facts = message[kind][0] if kind == "photo" else message[kind]
    kept = api.files.by_id(facts["file_id"])
    return kept.name, kept.data


async def test_each_is_sent_as_what_it_is_behind_the_reply(api: FakeBotApi, tmp_path: Path) -> None:
    large = png(more=300_000)
    async with open_with(
        tmp_path, picture(png()), picture(large), picture(GIF), sound(MP3), file(PDF)
    ) as bench:
        messages = await draw(api, bench)
        (reply,) = [m for m in await bench.messages() if (m.metadata or {}).get("final")]

    assert [shown(message) for message in messages] == [
        "text There.",
        "photo read_draw.png",
        "photo read_draw.png",
        "animation read_draw.png",
        "audio",
        "document",
    ]
    assert [data_of(api, message) for message in messages[1:]] == [
        ("read_draw.png", png()),
        ("read_draw.png", large),
        ("read_draw.png", GIF),
        ("read_draw.mp3", MP3),
        ("read_draw.pdf", PDF),
    ]
    assert (reply.annotations or {})["delivery"]["sent"] == [m["message_id"] for m in messages]
    assert api.refusals == []


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (png(), "photo"),
        (png(9_000, 1_000), "photo"),
        (png(9_001, 1_000), "document"),
        (png(2_000, 100), "photo"),
        (png(2_001, 100), "document"),
        (png(more=10_000_000), "document"),
        (b"\x89PNG\r\n\x1a\n", "document"),
        (b"\xff\xd8\xff\xe0 no picture", "document"),
        (b"RIFF\x04\x00\x00\x00WAVE", "document"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' width='3' height='2'/>", "document"),
        (b"\xff\xfb\x90\x00", "audio"),
        (b"\x00\x00\x00\x20ftypM4A ", "audio"),
        (b"\x00\x00\x00\x20ftypisom", "document"),
        (b"", "document"),
    ],
)
def test_the_bytes_decide_and_the_limits_of_telegram(data: bytes, kind: str) -> None:
    assert choose_kind(data) == kind


async def test_what_telegram_does_not_take_goes_as_a_document_or_is_told(
    api: FakeBotApi, tmp_path: Path
) -> None:
    refused = Status(400, "Bad Request: IMAGE_PROCESS_FAILED")
    api.fail_next("sendPhoto", refused, refused, Status(413, "Request Entity Too Large"))
    api.fail_next("sendDocument", Status(413, "Request Entity Too Large"))
    async with open_with(tmp_path, *[picture(png(side, 2)) for side in (1, 2, 3)]) as bench:
        messages = await draw(api, bench)

    assert [shown(message) for message in messages] == [
        "text There.",
        "text I can't send you read_draw.png: Telegram does not take it.",
        "document",
        "document",
    ]


async def test_a_file_that_is_gone_is_told_and_the_rest_arrives(
    api: FakeBotApi, tmp_path: Path
) -> None:
    def link(name: str) -> types.ResourceLink:
        uri = f"conversation://{CHAT.replace(':', '%3A')}/attachments/none"
        return types.ResourceLink(type="resource_link", uri=uri, name=name)

    async with open_with(tmp_path, link("a/../\u202eb\ngone"), picture(png())) as bench:
        messages = await draw(api, bench)
    assert [shown(message) for message in messages] == [
        "text There.",
        "text I can't send you a/../b gone: it can't be read any more.",
        "photo read_draw.png",
    ]


async def test_a_link_sends_only_what_its_reader_owns(api: FakeBotApi, tmp_path: Path) -> None:
    def link(conversation: str) -> types.ResourceLink:
        uri = f"conversation://{conversation}/attachments/plan"
        return types.ResourceLink(type="resource_link", uri=uri, name=conversation, title="Plan")

    async with open_with(tmp_path, link("hers"), link("both"), link("his")) as bench:
        for owner, conversation in (
            ("ada", "hers"),
            ("ada", "both"),
            ("bob", "both"),
            ("bob", "his"),
        ):
            store = bench.store(owner)
            await store.create_empty(conversation, metadata={})
            await store.put_attachment(
                conversation,
                f"{owner}'s".encode(),
                name="plan.pdf",
                mime_type="text/plain",
                attachment_id="plan",
            )
        messages = await draw(api, bench)

    assert [shown(message) for message in messages[1:]] == [
        "document Plan",
        "document Plan",
        "text I can't send you his: it can't be read any more.",
    ]
    sent = [data_of(api, message) for message in messages[1:3]]
    assert sent == [("hers", b"ada's"), ("both", b"ada's")]


async def test_each_turn_shows_what_its_own_tools_returned_and_once(
    api: FakeBotApi, tmp_path: Path
) -> None:
    steps = [drawing(1), drawing(2), Completion(text="1"), Completion(text="2"), drawing(3)]
    model = ScriptedModel([*steps, Completion(text="3"), Completion(text="4")])
    async with (
        open_with(tmp_path, picture(png()), file(PDF), file(PDF)) as bench,
        run_in_background(bench, api, model),
    ):
        for number in range(1, 5):
            api.user_says(ADA, "go on")
            await api.until(lambda n=number: _has(api, f"text {n}") or None)
        api.user_says(ADA, "/resend")
        await api.wait_for_message(ADA, 9)

    files = ["photo read_draw.png", "document"]
    expected = ["text 1", *files, "text 2", "text 3", *files, "text 4", "text 4"]
    assert [shown(message) for message in api.messages(ADA)] == expected


async def test_resending_sends_the_files_again(api: FakeBotApi, tmp_path: Path) -> None:
    async with (
        open_with(tmp_path, picture(png()), file(PDF)) as bench,
        run_in_background(bench, api, ScriptedModel([drawing(), Completion(text="There.")])),
    ):
        api.user_says(ADA, "draw")
        await bench.wait_for_states("answered", "", "", "delivered")
        for command in ("/resend", "/fork", "/resend"):
            api.user_says(ADA, command)
        await api.wait_for_message(ADA, 10)

    messages = [shown(message) for message in api.messages(ADA)]
    del messages[6]  # of the fork
    assert messages == ["text There.", "photo read_draw.png", "document"] * 3


async def test_a_turn_that_fails_afterwards_shows_them_too(api: FakeBotApi, tmp_path: Path) -> None:
    steps = [drawing(), ModelUnavailableError("The model is tired.")]
    async with (
        open_with(tmp_path, picture(png())) as bench,
        run_in_background(bench, api, ScriptedModel(steps)),
    ):
        api.user_says(ADA, "draw")
        await bench.wait_for_states("delivered", "", "")

    sentence, drawn = api.messages(ADA)
    assert sentence["text"].startswith("The model is tired. (reference")
    assert shown(drawn) == "photo read_draw.png"


@pytest.mark.slow  # Telegram's pace
async def test_of_very_many_files_the_rest_is_told(api: FakeBotApi, tmp_path: Path) -> None:
    blocks = [picture(png(width)) for width in range(1, 17)]
    other = [picture(png(width)) for width in range(17, 33)]
    lab = Lab(
        {
            "read_draw": lambda _: types.CallToolResult(content=list(blocks)),
            "read_more": lambda _: types.CallToolResult(content=list(other)),
        }
    )
    both = tuple(ToolCall(name, f"lab__{name}", {}) for name in ("read_draw", "read_more"))
    server = HubServer("lab", InProcessTarget(lab.create_server()), ours=True)
    with anyio.fail_after(60):
        async with (
            open_bench(tmp_path, server) as bench,
            run_in_background(
                bench,
                api,
                ScriptedModel([Completion(text="", tool_calls=both), Completion(text="All.")]),
            ),
        ):
            api.user_says(ADA, "draw")
            await bench.wait_for_states("answered", "", "", "", "delivered")

    *_, last = messages = api.messages(ADA)
    assert [data_of(api, m)[1] for m in messages[1:31]] == [png(n) for n in range(1, 31)]
    assert last["text"] == "2 more files are kept with this conversation: too many to send."


@pytest.mark.slow
async def test_while_the_store_is_away_the_reply_comes_and_the_files_later(
    api: FakeBotApi, tmp_path: Path
) -> None:
    last = Held(Completion(text="There."))
    async with (
        open_with(tmp_path, picture(png()), file(PDF)) as bench,
        run_in_background(bench, api, ScriptedModel([drawing(), last])),
    ):
        api.user_says(ADA, "draw")
        await last.reached.wait()
        bench.away = True
        last.release.set()
        await api.wait_for_message(ADA, 2)  # the reply, and that the store is away
        bench.away = False
        await bench.wait_for_states("answered", "", "", "delivered")

    files = [shown(m) for m in api.messages(ADA) if "text" not in m]
    assert files == ["photo read_draw.png", "document"]


async def test_two_files_at_a_time_are_in_memory_and_words_pass_them(
    api: FakeBotApi, tmp_path: Path
) -> None:
    hangs = [Hang(), Hang()]
    api.fail_next("sendPhoto", *hangs)

    def answer(request: ModelRequest) -> Completion:
        is_first = request.messages[-1].text() == "draw"
        return drawing() if is_first else Completion(text="There.")

    async with open_with(tmp_path, picture(png())) as bench:
        people = {str(user): "ada" for user in range(1, 5)}
        async with run_in_background(bench, api, ScriptedModel(answer), people=people):
            for user, hang in enumerate(hangs, 1):
                api.user_says(user, "draw")
                await hang.reached.wait()
            api.user_says(3, "draw")
            await api.wait_for_message(3)
            api.user_says(4, "hello")
            await api.wait_for_message(4)
            assert [len(api.messages(user)) for user in (1, 2, 3)] == [1, 1, 1]
            hangs[0].release.set()
            await api.wait_for_message(3, 2)
            hangs[1].release.set()
            await api.wait_for_message(2, 2)


@pytest.mark.slow
async def test_killed_at_any_step_each_comes_once_and_a_repeat_is_marked(
    api: FakeBotApi, tmp_path: Path
) -> None:
    """By what was sent and told of, and by what Telegram took without an answer."""

    def answer(request: ModelRequest) -> Completion:
        is_done = request.messages[-1].role == "tool"
        return Completion(text="There.") if is_done else drawing()

    steps = 9  # three are sent; seven facts are kept of that, the last of them is the end
    people = {str(user): str(user) for user in range(1, steps + 1)}
    async with open_with(tmp_path, picture(png()), file(PDF)) as bench:
        for user in range(1, steps + 1):
            await _kill_after(user, api, bench, partial(ScriptedModel, answer), people)
            async with run_in_background(bench, api, ScriptedModel(answer), people=people):
                place = {"conversation_id": f"telegram:{user}", "owner": str(user)}
                await bench.wait_for_states("answered", "", "", "delivered", **place)

    marked = 0
    for user in range(1, steps + 1):
        said = [shown(message) for message in api.messages(user)]
        once = [each for each in said if MARK not in each]
        seen = dict.fromkeys(" ".join(each.replace(MARK, "").split()) for each in said)
        assert list(seen) == ["text There.", "photo read_draw.png", "document"]
        assert len(once) == len({*once}), said
        marked += len(said) - len(once)
    assert marked >= 3


async def _kill_after(
    steps: int,
    api: FakeBotApi,
    bench: Bench,
    create_model: Callable[[], ScriptedModel],
    people: Mapping[str, str],
) -> None:
    """Run a bot until so many things were sent to that person, or kept of that."""
    end, left = anyio.Event(), steps

    def count() -> bool:
        nonlocal left
        left -= 1
        if left <= 0:
            end.set()
        return left <= 0

    def choose_fault(method: str, _: Mapping[str, Any]) -> Fault | None:
        is_shown = method.startswith("send") and method != "sendChatAction"
        return DropAfter() if is_shown and count() else None

    bench.lose_answer = lambda tool, _: tool == "annotate_message" and count()
    api.choose_fault = choose_fault
    async with run_in_background(bench, api, create_model(), people=people):
        api.user_says(steps, "draw")
        await end.wait()
    bench.lose_answer = lambda tool, _: False
    api.choose_fault = lambda method, _: None


def _has(api: FakeBotApi, text: str) -> bool:
    return any(shown(message) == text for message in api.messages(ADA))
