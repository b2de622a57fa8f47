"""The fake Bot API server keeps Telegram's rules, so that what passes it may pass there."""

from collections.abc import AsyncGenerator
from typing import Any

import anyio
import httpx
import pytest

from tests.bot.running_bot import ADA, TOKEN
from tests.fakes.bot_api import DropAfter, DropBefore, FakeBotApi, too_many_requests


@pytest.fixture
async def client(api: FakeBotApi) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"{api.base_url}/bot{TOKEN}/", timeout=10) as client:
        yield client


async def refused(client: httpx.AsyncClient, method: str, **parameters: Any) -> str:
    answer = await client.post(method, json=parameters)
    assert answer.status_code == answer.json()["error_code"]
    assert not answer.json()["ok"]
    return f"{answer.status_code} {answer.json()['description']}"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"/bot{TOKEN}x/getMe", (401, "Unauthorized")),
        ("/bot1:abc/getMe", (401, "Unauthorized")),
        ("/botnonsense/getMe", (404, "Not Found")),
        ("/bot/getMe", (404, "Not Found")),
        (f"/bot{TOKEN}/getMoney", (404, "Not Found")),
    ],
)
async def test_tokens_and_methods_are_checked(
    api: FakeBotApi, path: str, expected: tuple[int, str]
) -> None:
    async with httpx.AsyncClient(base_url=api.base_url) as client:
        answer = await client.post(path)
    assert (answer.status_code, answer.json()["description"]) == expected


async def test_a_poll_is_held_and_an_offset_confirms(
    api: FakeBotApi, client: httpx.AsyncClient
) -> None:
    polls: list[list[dict[str, Any]]] = []
    said: list[dict[str, Any]] = []

    async def poll(**parameters: int) -> None:
        polls.append((await client.post("getUpdates", data=parameters)).json()["result"])

    async def say_while_polled() -> None:
        await api.until(lambda: True if api.is_polled else None)
        said.append(api.user_says(ADA, "hello"))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(say_while_polled)
            await poll(timeout=30)
        update = said[0]
        await poll()
        assert api.confirmed <= update["update_id"]
        await poll(offset=update["update_id"] + 1)

        assert api.confirmed == update["update_id"] + 1

    assert polls == [said, said, []]


async def test_two_pollers_conflict(api: FakeBotApi, client: httpx.AsyncClient) -> None:
    statuses: list[int] = []

    async def poll() -> None:
        statuses.append((await client.post("getUpdates", json={"timeout": 30})).status_code)
        api.user_says(ADA, "hello")

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(poll)
            await api.until(lambda: True if api.is_polled else None)
            tasks.start_soon(poll)

    assert statuses == [409, 200]


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"text": ""}, "400 Bad Request: message text is empty"),
        ({"text": "\u200b\u200d "}, "400 Bad Request: message text is empty"),
        ({"text": "😀" * 2_049}, "400 Bad Request: message is too long"),
        ({"text": "x", "chat_id": 7}, "400 Bad Request: chat not found"),
        ({"text": "x", "colour": "red"}, "400 Bad Request: unknown parameter colour"),
        ({"text": "x", "parse_mode": "HTML"}, "400 Bad Request: unknown parameter parse_mode"),
        ({"text": "x", "entities": [{"type": "bold", "offset": 0, "length": 2}]}, "outside"),
        ({"text": "😀", "entities": [{"type": "bold", "offset": 1, "length": 1}]}, "pair"),
        ({"text": "x", "entities": [{"type": "loud", "offset": 0, "length": 1}]}, "'loud'"),
        (
            {
                "text": "abc",
                "entities": [
                    {"type": "bold", "offset": 0, "length": 2},
                    {"type": "italic", "offset": 1, "length": 2},
                ],
            },
            "overlap",
        ),
    ],
)
async def test_messages_are_checked(
    api: FakeBotApi, client: httpx.AsyncClient, parameters: dict[str, Any], complaint: str
) -> None:
    api.user_says(ADA, "hi")
    assert complaint in await refused(client, "sendMessage", **{"chat_id": ADA, **parameters})
    assert api.messages(ADA) == []


async def test_form_and_json_are_understood_alike(
    api: FakeBotApi, client: httpx.AsyncClient
) -> None:
    api.user_says(ADA, "hi")
    bold = '[{"type": "bold", "offset": 0, "length": 3}]'
    await client.post("sendMessage", data={"chat_id": "42", "text": "abc", "entities": bold})
    entities = [{"type": "bold", "offset": 0, "length": 3}]
    await client.post("sendMessage", json={"chat_id": 42, "text": "abc", "entities": entities})

    first, second = api.messages(ADA)
    assert first["text"] == second["text"] == "abc"
    assert first["entities"] == second["entities"] == entities


async def test_faults_come_as_ordered(api: FakeBotApi, client: httpx.AsyncClient) -> None:
    api.user_says(ADA, "hi")
    api.fail_next("sendMessage", DropBefore(), DropAfter(), too_many_requests(3))
    for _ in range(2):
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post("sendMessage", json={"chat_id": ADA, "text": "x"})
    answer = await client.post("sendMessage", json={"chat_id": ADA, "text": "x"})

    assert answer.json()["parameters"] == {"retry_after": 3}
    assert len(api.messages(ADA)) == 1
    assert [call.status for call in api.calls_of("sendMessage")] == [0, 0, 429]


async def test_an_edit_must_change_something(api: FakeBotApi, client: httpx.AsyncClient) -> None:
    api.user_says(ADA, "hi")
    sent = (await client.post("sendMessage", json={"chat_id": ADA, "text": "x"})).json()["result"]
    edit = {"chat_id": ADA, "message_id": sent["message_id"], "text": "y"}
    assert (await client.post("editMessageText", json=edit)).status_code == 200
    assert "message is not modified" in await refused(client, "editMessageText", **edit)
    assert [message["text"] for message in api.messages(ADA)] == ["y"]
