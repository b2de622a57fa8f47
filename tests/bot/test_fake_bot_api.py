"""The fake Bot API server keeps Telegram's rules, so that what passes it may pass there."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import anyio
import httpx
import pytest
from aiogram import methods as aiogram_methods
from aiogram.types import Update as AiogramUpdate
from pydantic import TypeAdapter

from tests.bot.running_bot import ADA, TOKEN
from tests.fakes.telegram.bot_api import FakeBotApi, open_bot_api
from tests.fakes.telegram.faults import DropAfter, DropBefore, Reversed, Twice, too_many_requests
from tests.fakes.telegram.http import HttpAnswer, HttpRequest, open_http_server
from tests.fakes.telegram.methods import find_strangers
from tests.fakes.telegram.pace import Pace

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
GROUP = -100_500


@pytest.fixture
async def client(api: FakeBotApi) -> AsyncGenerator[httpx.AsyncClient]:
    base_url = f"{api.base_url}/bot{TOKEN}/"
    async with httpx.AsyncClient(base_url=base_url, timeout=10, verify=False) as client:
        yield client


async def call(client: httpx.AsyncClient, method: str, **parameters: Any) -> Any:
    answer = (await client.post(method, json=parameters)).json()
    assert answer["ok"], answer
    return answer["result"]


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
        (f"/bot{TOKEN}/getMoney", (404, "Not Found: method not found")),
        (f"/file/bot{TOKEN}/photos/none.png", (404, "Not Found")),
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
    answers: list[httpx.Response] = []

    async def poll() -> None:
        answers.append(await client.post("getUpdates", json={"timeout": 30}))
        api.user_says(ADA, "hello")

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(poll)
            await api.until(lambda: True if api.is_polled else None)
            tasks.start_soon(poll)

    assert [answer.status_code for answer in answers] == [409, 200]
    assert "terminated by other getUpdates request" in answers[0].json()["description"]


async def test_only_updates_that_were_asked_for_come(
    api: FakeBotApi, client: httpx.AsyncClient
) -> None:
    ada = api.person(ADA)
    said = ada.writes("hello")
    ada.reacts(said["message"], "👍")  # by default not asked for
    assert await call(client, "getUpdates", allowed_updates=["message_reaction"]) == [said]
    ada.edits(said, "hello!")
    reaction = ada.reacts(said["message"], "👍")
    assert await call(client, "getUpdates", offset=said["update_id"] + 1) == [reaction]


async def test_updates_come_twice_or_out_of_order_on_demand(
    api: FakeBotApi, client: httpx.AsyncClient
) -> None:
    first, second = api.user_says(ADA, "1"), api.user_says(ADA, "2")
    api.fail_next("getUpdates", Twice(), Reversed())
    assert await call(client, "getUpdates") == [first, first, second, second]
    assert await call(client, "getUpdates") == [second, first]


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"text": "x", "colour": "red"}, "unknown parameter colour"),
        ({"text": "x", "link_preview_options": {"is_disable": True}}, "unknown field"),
        ({"text": "x", "reply_parameters": {"message_id": "one"}}, "can't parse reply_parameters"),
        ({"protect_content": True}, "message text is empty"),
        ({"text": "x", "entities": [{"offset": 0}]}, 'parameter "entities.0.type" is required'),
    ],
)
async def test_what_a_real_server_would_swallow_fails_the_test_at_its_end(
    parameters: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(AssertionError, match="broke the Bot API's rules") as caught:  # noqa: PT012
        async with open_bot_api(TOKEN) as api, httpx.AsyncClient(verify=False) as client:
            api.user_says(ADA, "hi")
            url = f"{api.base_url}/bot{TOKEN}/sendMessage"
            answer = await client.post(url, json={"chat_id": ADA, **parameters})
            assert answer.status_code == 400
            assert api.messages(ADA) == []
    assert complaint in str(caught.value)


async def test_form_json_and_multipart_are_understood_alike(
    api: FakeBotApi, client: httpx.AsyncClient
) -> None:
    api.user_says(ADA, "hi")
    entities = [{"type": "bold", "offset": 0, "length": 3}]
    form = {"chat_id": "42", "text": "abc", "entities": json.dumps(entities)}
    await client.post("sendMessage", data=form)
    await client.post("sendMessage", json={"chat_id": 42, "text": "abc", "entities": entities})
    await client.post("sendMessage", files={name: (None, value) for name, value in form.items()})

    assert [(m["text"], m["entities"]) for m in api.messages(ADA)] == [("abc", entities)] * 3


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


async def test_more_messages_than_the_pace_allows_are_refused(
    api: FakeBotApi, client: httpx.AsyncClient
) -> None:
    api.user_says(ADA, "hi")
    api.pace = Pace(messages=1, overall=30, seconds=600)
    await call(client, "sendMessage", chat_id=ADA, text="one")
    complaint = await refused(client, "sendMessage", chat_id=ADA, text="two")
    assert complaint.startswith("429 Too Many Requests: retry after ")


async def test_edits_and_deletions_have_their_limits(
    api: FakeBotApi, client: httpx.AsyncClient
) -> None:
    mine = api.user_says(ADA, "hi")["message"]["message_id"]
    sent = await call(client, "sendMessage", chat_id=ADA, text="x")
    place = {"chat_id": ADA, "message_id": sent["message_id"]}
    await call(client, "editMessageText", **place, text="y")

    async def edit(method: str = "editMessageText", **parameters: Any) -> str:
        return await refused(client, method, **{**place, "text": "z", **parameters})

    assert "message is not modified" in await edit(text="y")
    assert "message can't be edited" in await edit(message_id=mine)
    assert "message to edit not found" in await edit(message_id=999)
    assert "message is too long" in await edit(text="😀" * 2_049)
    complaint = await refused(client, "editMessageCaption", **place, caption="c")
    assert "there is no caption in the message to edit" in complaint
    await call(client, "deleteMessage", **place)
    complaint = await refused(client, "deleteMessage", **place)
    assert "message to delete not found" in complaint
    assert api.messages(ADA) == []


@pytest.mark.parametrize(
    ("button", "complaint"),
    [
        ({"text": "a"}, "text buttons are unallowed in the inline keyboard"),
        ({"text": "a", "callback_data": "😀" * 17}, "BUTTON_DATA_INVALID"),
        ({"text": "a", "url": "nonsense"}, "button URL 'nonsense' is invalid"),
    ],
)
async def test_buttons_are_checked(
    api: FakeBotApi, client: httpx.AsyncClient, button: dict[str, str], complaint: str
) -> None:
    api.user_says(ADA, "hi")
    markup = {"inline_keyboard": [[button]]}
    parameters = {"chat_id": ADA, "text": "x", "reply_markup": markup}
    assert complaint in await refused(client, "sendMessage", **parameters)


async def test_a_press_is_answered_once_and_only_of_a_button_that_is_shown(
    api: FakeBotApi, client: httpx.AsyncClient
) -> None:
    ada = api.person(ADA)
    ada.writes("hi")
    markup = {"inline_keyboard": [[{"text": "Yes", "callback_data": "y"}]]}
    sent = await call(client, "sendMessage", chat_id=ADA, text="Sure?", reply_markup=markup)
    query = ada.presses(sent, "Yes")["callback_query"]
    assert (query["data"], query["from"]["id"]) == ("y", ADA)
    await call(client, "answerCallbackQuery", callback_query_id=query["id"], text="Done")
    old = ada.presses(sent, "Yes")["callback_query"]
    api.callbacks.expire()
    for callback_id in (query["id"], old["id"]):
        complaint = await refused(client, "answerCallbackQuery", callback_query_id=callback_id)
        assert "query is too old" in complaint
    place = {"chat_id": ADA, "message_id": sent["message_id"]}
    await call(client, "editMessageText", **place, text="Done.")  # and so without buttons
    with pytest.raises(LookupError, match="shows no button 'Yes'"):
        ada.presses(sent, "Yes")


async def test_chats_close(api: FakeBotApi, client: httpx.AsyncClient) -> None:
    async def send(chat_id: int) -> str:
        return await refused(client, "sendMessage", chat_id=chat_id, text="x")

    ada = api.person(ADA)
    assert await send(ADA) == "400 Bad Request: chat not found"
    ada.blocks()
    assert await send(ADA) == "403 Forbidden: bot was blocked by the user"
    ada.unblocks()
    await call(client, "sendMessage", chat_id=ADA, text="x")
    ada.deletes_account()
    assert await send(ADA) == "403 Forbidden: user is deactivated"
    ada.kicks(GROUP)
    assert await send(GROUP) == "403 Forbidden: bot was kicked from the supergroup chat"


async def test_files_go_both_ways(api: FakeBotApi, client: httpx.AsyncClient) -> None:
    voice = api.person(ADA).sends_file("voice", b"ogg", name="v.ogg", mime_type="audio/ogg")
    file_id = voice["message"]["voice"]["file_id"]
    path = (await call(client, "getFile", file_id=file_id))["file_path"]
    fetched = await client.get(f"{api.base_url}/file/bot{TOKEN}/{path}")
    assert (fetched.content, fetched.headers["content-type"]) == (b"ogg", "audio/ogg")

    form = {"chat_id": str(ADA), "caption": "c"}
    sent = await client.post("sendPhoto", data=form, files={"photo": ("p.png", PNG, "image/png")})
    photo_id = sent.json()["result"]["photo"][0]["file_id"]
    await call(client, "sendPhoto", chat_id=ADA, photo=photo_id)
    media = [{"type": "photo", "media": photo_id}, {"type": "photo", "media": "attach://b"}]
    album = await client.post(
        "sendMediaGroup",
        data={"chat_id": str(ADA), "media": json.dumps(media)},
        files={"b": ("b.png", PNG, "image/png")},
    )
    assert len({m["media_group_id"] for m in album.json()["result"]}) == 1
    assert len(api.messages(ADA)) == 4

    for photo, complaint in (("nope", "wrong file identifier"), (file_id, "can't use file")):
        assert complaint in await refused(client, "sendPhoto", chat_id=ADA, photo=photo)
    broken = await client.post("sendPhoto", data=form, files={"photo": ("p.png", b"no picture")})
    assert broken.json()["description"] == "Bad Request: IMAGE_PROCESS_FAILED"
    api.person(ADA).sends_file("document", bytes(21 * 1024 * 1024))
    assert "file is too big" in await refused(client, "getFile", file_id="AgACdocument-4")


async def test_a_webhook_gets_each_update_with_the_secret_until_it_takes_it(
    api: FakeBotApi, client: httpx.AsyncClient
) -> None:
    got: list[tuple[str, int]] = []

    async def take(request: HttpRequest) -> HttpAnswer:
        update = json.loads(request.body)
        secret = request.headers["x-telegram-bot-api-secret-token"]
        got.append((secret, update["update_id"]))
        return HttpAnswer(500 if len(got) == 1 else 200, {})

    with anyio.fail_after(10):
        async with open_http_server(take) as url:
            await call(client, "setWebhook", url=url, secret_token="s3cret")
            first, second = api.user_says(ADA, "1"), api.user_says(ADA, "2")
            await api.wait_until_confirmed(second)
            assert "while webhook is active" in await refused(client, "getUpdates")
            info = await call(client, "getWebhookInfo")
            await call(client, "deleteWebhook")

    ids = [first["update_id"], first["update_id"], second["update_id"]]
    assert got == [("s3cret", update_id) for update_id in ids]
    assert (info["url"], info["pending_update_count"]) == (url, 0)
    assert info["last_error_message"].startswith("Wrong response from the webhook: 500")


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"url": "nonsense"}, "invalid webhook URL specified"),
        ({"url": "https://a.b", "secret_token": "a b"}, "contains unallowed characters"),
        ({"url": "https://a.b", "secret_token": "a" * 257}, "secret token is too long"),
    ],
)
async def test_a_webhook_that_can_not_be_is_refused(
    client: httpx.AsyncClient, parameters: dict[str, str], complaint: str
) -> None:
    assert complaint in await refused(client, "setWebhook", **parameters)


async def test_its_answers_and_updates_are_shaped_as_the_documentation_says(
    api: FakeBotApi, client: httpx.AsyncClient
) -> None:
    ada = api.person(ADA)
    said = ada.writes("/start now")
    file = ada.sends_file("document", b"text", name="a.txt")
    to_ada = {"chat_id": ADA, "message_id": said["message"]["message_id"]}
    markup = {"inline_keyboard": [[{"text": "Yes", "callback_data": "y"}]]}
    requests: list[tuple[str, dict[str, Any]]] = [
        ("getMe", {}),
        ("getChat", {"chat_id": ADA}),
        ("sendMessage", {"chat_id": ADA, "text": "*x*", "parse_mode": "MarkdownV2"}),
        ("sendMessage", {"chat_id": ADA, "text": "x", "reply_markup": markup}),
        ("sendMessage", {"chat_id": ADA, "text": "x", "reply_parameters": to_ada}),
        ("sendDocument", {"chat_id": ADA, "document": file["message"]["document"]["file_id"]}),
        ("copyMessage", {"chat_id": ADA, "from_chat_id": ADA, "message_id": to_ada["message_id"]}),
        ("forwardMessage", {**to_ada, "from_chat_id": ADA}),
        ("setMessageReaction", {**to_ada, "reaction": [{"type": "emoji", "emoji": "👍"}]}),
        ("sendChatAction", {"chat_id": ADA, "action": "typing"}),
        ("sendMessageDraft", {"chat_id": ADA, "draft_id": 1, "text": "thinking"}),
        ("setMyCommands", {"commands": [{"command": "help", "description": "what I can do"}]}),
        ("getMyCommands", {}),
        ("getWebhookInfo", {}),
    ]
    for method, parameters in requests:
        model = getattr(aiogram_methods, method[0].upper() + method[1:])
        result = await call(client, method, **parameters)
        parsed = TypeAdapter[Any](model.__returning__).validate_python(result)
        assert list(find_strangers(parsed, f"{method}: ")) == []

    sent = next(m for m in api.messages(ADA) if "reply_markup" in m)
    happened = [said, file, ada.edits(said, "x"), ada.presses(sent, "Yes"), ada.reacts(sent, "👍")]
    for update in [*happened, ada.blocks(), ada.unblocks()]:
        assert list(find_strangers(AiogramUpdate.model_validate(update), "")) == []
