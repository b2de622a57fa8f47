from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from pydantic import ValidationError

from client.conversation_manager import ConversationManager
from client.same_history import HistoryDiffersError
from servers.conversations.contract import Message
from tests.assistant import Assistant, open_assistant


@asynccontextmanager
async def open_manager(
    kind: str, directory: Path
) -> AsyncGenerator[tuple[ConversationManager, Assistant]]:
    async with open_assistant(directory) as assistant:
        yield ConversationManager("c", assistant.store if kind == "store" else None), assistant


both = pytest.mark.parametrize("kind", ["store", "memory"])


@both
async def test_messages_come_back_in_order_without_thoughts(kind: str, tmp_path: Path) -> None:
    async with open_manager(kind, tmp_path) as (manager, _):
        await manager.add_message("user", "Hi", name="Ada")
        await manager.add_message("assistant", "<thinking>polite</thinking>Hello.")
        await manager.add_message("tool", "42", tool_call_id="u1")
        messages = await manager.get_messages()
    assert [(m["role"], m["content"]) for m in messages] == [
        ("user", "Hi"),
        ("assistant", "Hello."),
        ("tool", "42"),
    ]
    assert messages[0]["name"] == "Ada"
    assert messages[2]["tool_call_id"] == "u1"
    assert "thoughts" not in messages[1]


@both
async def test_the_last_message_has_its_thoughts(kind: str, tmp_path: Path) -> None:
    async with open_manager(kind, tmp_path) as (manager, _):
        assert await manager.get_last_message() is None
        await manager.add_interaction("Hi", "<think>hm</think>Hello.")
        last = await manager.get_last_message()
    assert last is not None
    assert (last["role"], last["content"], last["thoughts"]) == ("assistant", "Hello.", "hm")


@both
async def test_thoughts_stay_in_the_content_when_asked_for(kind: str, tmp_path: Path) -> None:
    async with open_manager(kind, tmp_path) as (manager, _):
        await manager.add_message("assistant", "<think>a</think>b", show_thinking=True)
        shown = await manager.get_last_message()
        await manager.add_message("assistant", "<think>a</think>b", extract_thoughts=False)
        untouched = await manager.get_last_message()
    assert shown is not None
    assert untouched is not None
    assert (shown["content"], shown["thoughts"]) == ("<think>a</think>b", "a")
    assert untouched["content"] == "<think>a</think>b"
    assert "thoughts" not in untouched


@both
async def test_what_cannot_be_a_message_is_refused(kind: str, tmp_path: Path) -> None:
    async with open_manager(kind, tmp_path) as (manager, _):
        with pytest.raises(ValidationError, match="must not be empty"):
            await manager.add_message("user", "")
        with pytest.raises(ValidationError, match="Input should be"):
            await manager.add_message("robot", "x")  # pyright: ignore[reportArgumentType]
        with pytest.raises(ValidationError, match="must not be empty"):
            await manager.add_interaction("", "x")
        assert await manager.get_messages() == []


@both
async def test_clearing_keeps_the_conversation_usable(kind: str, tmp_path: Path) -> None:
    async with open_manager(kind, tmp_path) as (manager, _):
        await manager.add_interaction("Hi", "Hello.")
        await manager.clear_messages()
        assert await manager.get_messages() == []
        await manager.add_message("user", "Again")
        assert [m["content"] for m in await manager.get_messages()] == ["Again"]


@both
async def test_deleting_says_whether_there_was_something(kind: str, tmp_path: Path) -> None:
    async with open_manager(kind, tmp_path) as (manager, _):
        await manager.add_message("user", "Hi")
        assert await manager.delete_conversation() is True
        assert await manager.delete_conversation() is False
        assert await manager.get_messages() == []


def test_an_id_that_cannot_be_one_is_refused_at_once() -> None:
    for conversation_id in ("", "a\0b", "x" * 1025, "\ud800"):
        with pytest.raises(ValueError, match=r"UTF-8|NUL|Unicode"):
            ConversationManager(conversation_id)
    assert ConversationManager().conversation_id == "default"


async def test_adding_fetches_nothing_and_sends_only_what_is_new(tmp_path: Path) -> None:
    async with open_assistant(tmp_path) as assistant:
        manager = ConversationManager("c", assistant.store)
        await manager.add_message("user", "one")
        await manager.add_message("user", "two")
        assert [tool for _, tool in assistant.hub.calls] == ["append_messages"] * 2


async def test_what_was_fetched_is_fetched_again_only_after_a_change(tmp_path: Path) -> None:
    async with open_assistant(tmp_path) as assistant:
        await assistant.store.append_messages(
            "c", [Message(role="user", content=str(n)) for n in range(750)]
        )
        manager = ConversationManager("c", assistant.store)
        assert len(await manager.get_messages()) == 750
        before = len(assistant.hub.calls)
        assert len(await manager.get_messages()) == 750
        assert len(assistant.hub.calls) == before + 1
        await assistant.store.append_messages("c", [Message(role="user", content="elsewhere")])
        assert (await manager.get_messages())[-1]["content"] == "elsewhere"


async def test_the_latest_go_back_to_a_given_message(tmp_path: Path) -> None:
    async with open_assistant(tmp_path) as assistant:
        manager = ConversationManager("c", assistant.store)
        await manager.append(
            [Message(role="user", content=str(n), message_id=f"m{n}") for n in range(100)]
        )
        assert len(await manager.latest(10)) == 10
        messages = await manager.latest(10, back_to="m55")
    assert any(message.message_id == "m55" for message in messages)
    assert [m.content for m in messages] == [str(n) for n in range(100 - len(messages), 100)]


async def test_what_is_known_stays_right_while_another_program_writes(tmp_path: Path) -> None:
    async with open_assistant(tmp_path) as assistant:
        mine = ConversationManager("c", assistant.store)
        other = ConversationManager("c", assistant.store)
        texts: list[str] = []
        for number in range(30):
            writer = other if number % 3 == 2 else mine
            await writer.append([Message(role="user", content=str(number))])
            texts.append(str(number))
            if writer is mine:
                assert [m.content for m in await mine.latest(100)] == texts
        await assistant.store.delete_conversation("c")
        await mine.append([Message(role="user", content="after")])
        assert [m.content for m in await mine.latest(100)] == ["after"]


async def test_a_conversation_that_nobody_else_writes_is_read_once(tmp_path: Path) -> None:
    async with open_assistant(tmp_path) as assistant:
        manager = ConversationManager("c", assistant.store)
        for number in range(300):
            await manager.append([Message(role="user", content=str(number))])
            latest = await manager.latest(20)
            assert [m.content for m in latest] == [
                str(n) for n in range(max(0, number - 19), number + 1)
            ]
        calls = [tool for _, tool in assistant.hub.calls]
    assert calls.count("load_conversation") == 1
    assert calls.count("append_messages") == 300


@asynccontextmanager
async def open_moving(
    kind: str, directory: Path, count: int = 20
) -> AsyncGenerator[tuple[ConversationManager, Assistant, Assistant]]:
    """A conversation of messages, and the store it is to go on in, which has none of them."""
    async with open_manager(kind, directory / "old") as (manager, old):
        await manager.append(
            [Message(role="user", content=f"{n}", message_id=f"m{n}") for n in range(count)]
        )
        async with open_assistant(directory / "new") as new:
            yield manager, old, new


async def copy(manager: ConversationManager, new: Assistant, count: int | None = None) -> None:
    await new.store.append_messages("c", (await manager.latest(600))[:count])


@both
async def test_a_conversation_goes_on_in_another_store(kind: str, tmp_path: Path) -> None:
    async with open_moving(kind, tmp_path, 600) as (manager, old, new):
        await copy(manager, new)
        await new.store.append_messages("c", [Message(role="user", content="there already")])
        await manager.switch_store(new.store)
        await manager.add_message("user", "after")
        contents = [message["content"] for message in await manager.get_messages()]
        assert contents == [*map(str, range(600)), "there already", "after"]
        assert [message.content for message in await manager.latest(2)] == contents[-2:]
        assert await new.messages() == (await manager.latest(500))[-500:]
        assert len(await old.messages()) == (500 if kind == "store" else 0)
        assert await manager.delete_conversation()
        assert await new.messages() == []


@both
@pytest.mark.parametrize(
    ("count", "extra", "told"),
    [
        (0, [], "'m19' is not there"),
        (19, [], "'m19' is not there"),
        (19, [Message(role="user", content="other", message_id="m19")], "'m19' is another one"),
    ],
)
async def test_a_store_that_lacks_something_is_not_gone_on_in(
    kind: str, tmp_path: Path, count: int, extra: list[Message], told: str
) -> None:
    async with open_moving(kind, tmp_path) as (manager, _, new):
        await copy(manager, new, count)
        await new.store.append_messages("c", extra)
        with pytest.raises(HistoryDiffersError, match=told):
            await manager.switch_store(new.store)
        await manager.add_message("user", "after")
        assert len(await manager.get_messages()) == 21
        assert len(await new.messages()) == count + len(extra)


@both
async def test_a_hole_or_an_earlier_beginning_is_found_too(kind: str, tmp_path: Path) -> None:
    async with open_moving(kind, tmp_path) as (manager, _, new):
        messages = await manager.latest(20)
        for wrong, told in (
            ([*messages[:7], *messages[8:]], "'m7' is not there"),
            ([Message(role="user", content="x"), *messages], "begins there with messages"),
            (messages[1:], "'m0' is not there"),
        ):
            await new.store.append_messages("c", wrong)
            with pytest.raises(HistoryDiffersError, match=told):
                await manager.switch_store(new.store)
            await new.store.delete_conversation("c")


@both
async def test_an_empty_conversation_goes_on_wherever_it_is_wanted(
    kind: str, tmp_path: Path
) -> None:
    async with (
        open_manager(kind, tmp_path / "old") as (manager, old),
        open_assistant(tmp_path / "new") as new,
    ):
        await manager.switch_store(new.store)
        await manager.add_message("user", "first")
        assert [message.content for message in await new.messages()] == ["first"]
        assert await old.messages() == []


async def test_what_is_added_while_the_store_is_switched_goes_to_the_new_one(
    tmp_path: Path,
) -> None:
    async with open_moving("store", tmp_path) as (manager, old, new):
        await copy(manager, new)
        async with anyio.create_task_group() as tasks:

            def add(server: str, tool: str) -> None:
                new.hub.before = lambda server, tool: None
                tasks.start_soon(manager.add_message, "user", "meanwhile")

            new.hub.before = add
            await manager.switch_store(new.store)
        assert (await new.messages())[-1].content == "meanwhile"
        assert (await old.messages())[-1].content == "19"
