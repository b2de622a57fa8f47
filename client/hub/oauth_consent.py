"""A person's consent: shown a page of the authorization server, which sends them back to us."""

from urllib.parse import parse_qs, urlsplit

import anyio
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from mcp.client.auth import AuthorizationCodeResult, OAuthFlowError

from client.hub.plain_text import clean
from client.hub.servers import Show

_HOST = "127.0.0.1"
_PATH = "/callback"
_MAX_HEAD_BYTES = 16 * 1024
_HEAD_SECONDS = 10.0
_REASON_CHARACTERS = 300


def redirect_uri(port: int) -> str:
    """Where the authorization server sends the person's browser."""
    return f"http://{_HOST}:{port}{_PATH}"


class Consent:
    """The SDK's two handlers: for the URL to be shown, and for what comes back."""

    def __init__(self, show: Show, port: int) -> None:
        self._show = show
        self._port = port
        self._url = ""

    async def remember(self, url: str) -> None:
        """Take the URL; it is shown when the way back is open."""
        self._url = url

    async def wait(self) -> AuthorizationCodeResult:
        """Show the URL and wait for the browser to come back.

        Raises:
            OAuthFlowError: The person or the authorization server said no, or the port is taken.
        """
        try:
            listener = await anyio.create_tcp_listener(local_host=_HOST, local_port=self._port)
        except OSError as error:
            raise OAuthFlowError(
                f"cannot listen at {_HOST}:{self._port} for the answer: {error.strerror}"
            ) from None
        way_back = _WayBack(parse_qs(urlsplit(self._url).query).get("state", [""])[0])
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, way_back.answer)
            tasks.start_soon(self._tell)
            await way_back.taken.wait()
            tasks.cancel_scope.cancel()
        return way_back.result()

    async def _tell(self) -> None:
        await self._show(self._url)


class _WayBack:
    """A web server for one request: the one that carries our state."""

    def __init__(self, state: str) -> None:
        self.taken = anyio.Event()
        self._state = state
        self._given: dict[str, str] = {}

    def result(self) -> AuthorizationCodeResult:
        if "code" not in self._given:
            reason = self._given.get("error_description") or self._given.get("error", "no code")
            raise OAuthFlowError(f"consent was not given: {clean(reason, _REASON_CHARACTERS)}")
        return AuthorizationCodeResult(
            code=self._given["code"], state=self._state, iss=self._given.get("iss")
        )

    async def answer(self, stream: SocketStream) -> None:
        async with stream:
            try:
                with anyio.fail_after(_HEAD_SECONDS):
                    buffered = BufferedByteReceiveStream(stream)
                    line = await buffered.receive_until(b"\r\n", _MAX_HEAD_BYTES)
                    await buffered.receive_until(b"\r\n\r\n", _MAX_HEAD_BYTES)
                    is_ours = self._take(line)
                    await stream.send(_PAGE if is_ours else _NOT_FOUND)
            except (
                TimeoutError,
                OSError,
                anyio.EndOfStream,
                anyio.DelimiterNotFound,
                anyio.IncompleteRead,
                anyio.BrokenResourceError,
            ):
                return  # a browser's spare connection, or somebody else's
        if is_ours:
            self.taken.set()

    def _take(self, line: bytes) -> bool:
        method, _, rest = line.decode("latin-1").partition(" ")
        target = urlsplit(rest.partition(" ")[0])
        given = {name: values[0] for name, values in parse_qs(target.query).items()}
        if (method, target.path) != ("GET", _PATH) or given.get("state") != self._state:
            return False
        self._given = given
        return True


def _page(status: str, text: str) -> bytes:
    body = text.encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\n"
    return f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body


_PAGE = _page("200 OK", "Done. You can close this page and go back to the terminal.")
_NOT_FOUND = _page("404 Not Found", "There is nothing here.")
