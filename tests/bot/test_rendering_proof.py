"""Replies of all kinds, rendered and sent by PTB, are taken whole by the strict Bot API server."""

import re
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager

import anyio
import pytest
from telegram import Bot
from telegram.request import HTTPXRequest

from bot.rendering import Part, mark_possible_repeat, render_parts
from tests.bot.markdown_writer import Writing, write_nasty, write_reply
from tests.bot.running_bot import ADA, TOKEN
from tests.fakes.telegram.bot_api import FakeBotApi, open_bot_api

_MARKS = re.compile(r"\*|~~|\|\||`|\]\(|^#|^> |^ *- |\\", re.MULTILINE)


@asynccontextmanager
async def open_bot(api: FakeBotApi) -> AsyncGenerator[Bot]:
    request = HTTPXRequest(httpx_kwargs={"verify": False})  # loopback: reads no certificates
    api.user_says(ADA, "talk")
    async with Bot(TOKEN, f"{api.base_url}/bot", request=request) as bot:
        yield bot


async def send_all(bot: Bot, parts: Iterable[Part]) -> None:
    """As they are and as possible repeats. The server's `mistakes` and refusals end the test."""
    for part in parts:
        for shown in (part, mark_possible_repeat(part)):
            if shown.file is not None:
                await bot.send_document(ADA, shown.file.text.encode(), caption=shown.text or None)
            else:
                await bot.send_message(ADA, shown.text, entities=shown.entities or None)


def check_seen(writing: Writing, parts: list[Part]) -> None:
    """All that was written is there, and of its marks none."""
    text = "\n".join(part.text if part.file is None else part.file.text for part in parts)
    assert [word for word in writing.words if word not in text] == []
    assert [line for line in writing.code if line.strip() not in text] == []
    links = {entity.url for part in parts for entity in part.entities if entity.url}
    assert links == {*writing.urls}
    assert [found for part in parts for found in _MARKS.findall(prose_of(part))] == []


def prose_of(part: Part) -> str:
    """The text without its blocks of code, where marks are no marks."""
    units, prose, position = part.text.encode("utf-16-le"), b"", 0
    for entity in part.entities:
        if entity.type == "pre":
            prose += units[2 * position : 2 * entity.offset]
            position = entity.offset + entity.length
    return (prose + units[2 * position :]).decode("utf-16-le")


async def check_random(seeds: range, limit_seconds: float) -> None:
    with anyio.fail_after(limit_seconds):
        async with open_bot_api(TOKEN) as api, open_bot(api) as bot:
            for seed in seeds:
                markdown, writing = write_reply(seed)
                parts = render_parts(markdown)
                check_seen(writing, parts)
                await send_all(bot, parts)
    assert api.refusals == []


async def test_random_replies_arrive_with_all_their_words_and_no_marks() -> None:
    await check_random(range(5), limit_seconds=30)


@pytest.mark.slow
async def test_a_hundred_random_replies_arrive_so() -> None:
    await check_random(range(5, 105), limit_seconds=120)


@pytest.mark.long
async def test_three_thousand_random_replies_arrive_so() -> None:
    await check_random(range(3_000), limit_seconds=1_800)


@pytest.mark.slow
async def test_a_hundred_nasty_replies_are_taken() -> None:
    replies = write_nasty()
    assert len(replies) == 100
    with anyio.fail_after(120):
        async with open_bot_api(TOKEN) as api, open_bot(api) as bot:
            for markdown in replies:
                parts = render_parts(markdown)
                assert not any("tg-spoiler" in part.text for part in parts)
                await send_all(bot, parts)
    assert api.refusals == []
