"""What one principal can take of a server over HTTP, and what is left to the others."""

from pathlib import Path

import pytest

from servers.http_sessions import SESSIONS_EACH
from tests.servers.http_by_hand import asking
from tests.servers.http_serving import Asker, serving

pytestmark = pytest.mark.slow


async def open_session(asker: Asker) -> str:
    asker.session = None
    answer = await asker.begin()
    assert (answer.status, answer.error_code) == (200, None)
    assert asker.session is not None
    return asker.session


async def status_in(asker: Asker, session: str) -> int:
    asker.session = session
    return (await asker.ask("tools/list")).status


async def test_who_opens_sessions_on_and_on_loses_its_own_that_was_left_alone_longest(
    tmp_path: Path,
) -> None:
    async with (
        serving(tmp_path) as served,
        asking(served, "conversations", "older", name="other") as other,
        asking(served, "conversations", "older") as greedy,
    ):
        used = greedy.session or ""
        left_alone = await open_session(greedy)
        assert await status_in(greedy, used) == 200
        more = [await open_session(greedy) for _ in range(SESSIONS_EACH - 1)]
        assert await status_in(greedy, left_alone) == 404
        assert await status_in(greedy, used) == 200
        assert await status_in(greedy, more[-1]) == 200
        assert (await other.ask("tools/list")).status == 200
    assert "Traceback" not in served.log


async def test_sessions_of_a_revoked_token_make_room(tmp_path: Path) -> None:
    async with (
        serving(tmp_path) as served,
        asking(served, "conversations", "older") as revoked,
        asking(served, "conversations", "older", name="other") as other,
    ):
        session = revoked.session or ""
        served.tokens.revoke("laptop")
        await open_session(other)
        revoked.token = served.create_token("laptop", "ada")  # as if nothing had been
        assert await status_in(revoked, session) == 404
