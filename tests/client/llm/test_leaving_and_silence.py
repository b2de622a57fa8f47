"""Streams that are left, cancelled, or fall silent."""

import anyio
import pytest
from anyio.lowlevel import checkpoint

from client.llm.protocol import LanguageModel, ModelUnavailableError, TextDelta
from tests.client.llm.vendors import BEDROCK, WITH_KEY, Vendor, ask, complete, listen
from tests.fakes.bedrock_server import encode_frame
from tests.fakes.replies import Hang, Say

QUIET_SECONDS = 0.3


SERVER_SENT = [
    b"",
    b": keep-alive\n\n",
    b'event: ping\ndata: {"type": "ping"}\n\n',
    b'event: news\ndata: {"type": "news", "choices": [{"delta": {"content": ""}}]}\n\n',
]
NEWS = encode_frame({":message-type": "event", ":event-type": "news"}, b'{"delta": {"text": ""}}')


@pytest.mark.parametrize("text", ["", "Once upon a time"])
@pytest.mark.parametrize(
    ("vendor", "pulse"),
    [
        *((vendor, pulse) for vendor in WITH_KEY for pulse in SERVER_SENT),
        (BEDROCK, b""),
        (BEDROCK, NEWS),
    ],
)
async def test_a_model_that_brings_nothing_is_given_up_after_its_time(
    vendor: Vendor, text: str, pulse: bytes
) -> None:
    async with vendor.open_server(Hang(text, pulse)) as server:
        model = vendor.connect(server.base_url, timeout_seconds=QUIET_SECONDS)
        with anyio.fail_after(10), pytest.raises(ModelUnavailableError, match=r"nothing for 0\.3"):
            await listen(model)
        with anyio.fail_after(5):
            await server.departed.wait()


async def test_leaving_early_ends_the_request_at_the_server(vendor: Vendor) -> None:
    async with vendor.open_server(Hang("Once upon a time")) as server:
        with anyio.fail_after(5):
            async with vendor.connect(server.base_url).stream(ask()) as events:
                async for event in events:
                    assert isinstance(event, TextDelta)
                    break
            await server.departed.wait()


async def test_leaving_without_listening_ends_the_request_at_the_server(vendor: Vendor) -> None:
    async with vendor.open_server(Hang("Once upon a time")) as server:
        with anyio.fail_after(5):
            async with vendor.connect(server.base_url).stream(ask()):
                pass
            await server.departed.wait()


async def test_an_error_of_the_listener_passes_unchanged(vendor: Vendor) -> None:
    async def listen_badly(model: LanguageModel) -> None:
        async with model.stream(ask()) as events:
            async for _ in events:
                raise ValueError("mine")

    async with vendor.open_server(Hang("Once upon a time")) as server:
        with anyio.fail_after(5):
            with pytest.raises(ValueError, match="mine"):
                await listen_badly(vendor.connect(server.base_url))
            await server.departed.wait()


async def test_a_cancelled_listener_ends_the_request_at_the_server(vendor: Vendor) -> None:
    async with vendor.open_server(Hang("Once upon a time")) as server:
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                heard = anyio.Event()

                async def hear() -> None:
                    async with vendor.connect(server.base_url).stream(ask()) as events:
                        async for _ in events:
                            heard.set()

                tasks.start_soon(hear)
                await heard.wait()
                tasks.cancel_scope.cancel()
            await server.departed.wait()


async def test_a_cancel_at_any_event_leaves_the_model_usable(vendor: Vendor) -> None:
    reply = Say("Once upon a time there was", thoughts="A tale, then")
    async with vendor.open_server(reply) as server:
        total = len(await listen(vendor.connect(server.base_url)))
    assert total > 4
    async with vendor.open_server(*[reply] * total, Say("Here")) as server:
        model = vendor.connect(server.base_url)
        for stop_at in range(total):
            with anyio.fail_after(10), anyio.CancelScope() as scope:
                async with model.stream(ask()) as events:
                    position = 0
                    async for _ in events:
                        if position == stop_at:
                            scope.cancel()
                            await checkpoint()
                        position += 1
            assert scope.cancelled_caught
        assert (await complete(model)).text == "Here"


async def test_a_cancel_before_the_answer_begins_ends_the_request(vendor: Vendor) -> None:
    async with vendor.open_server(Hang()) as server:
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listen, vendor.connect(server.base_url))
                while not server.requests:
                    await checkpoint()
                tasks.cancel_scope.cancel()
            await server.departed.wait()
