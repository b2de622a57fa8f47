"""In front of moto: answers that it doesn't give, such as refusals and unready tables."""

import json
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


class Answers:
    """Answers by operation, each given once and in order; then it is moto that answers."""

    def __init__(self, address: str) -> None:
        self.address = address
        """Where to ask."""
        self.asked: list[str] = []
        """The operations that were, in order."""
        self._always: dict[str, tuple[int, bytes]] = {}
        self._answers: dict[str, list[tuple[int, bytes]]] = {}

    def refuse(self, operation: str, code: str, message: str = "", *, status: int = 400) -> None:
        """Refuse it the next time."""
        self.give(operation, {"__type": f"aws#{code}", "message": message}, status=status)

    def forbid(self, operation: str, action: str) -> None:
        """Refuse it the next time, as IAM does."""
        text = f"User: arn:aws:iam::1:user/a is not authorized to perform: {action} on resource: x"
        self.refuse(operation, "AccessDeniedException", text)

    def give(self, operation: str, body: Mapping[str, Any], *, status: int = 200) -> None:
        """Answer it so the next time."""
        self._answers.setdefault(operation, []).append((status, json.dumps(body).encode()))

    def always(self, operation: str, body: Mapping[str, Any]) -> None:
        """Answer it so whenever nothing else is prepared."""
        self._always[operation] = (200, json.dumps(body).encode())

    def clear(self) -> None:
        """Forget what was asked, and prepared."""
        self.asked.clear()
        self._always.clear()
        self._answers.clear()

    def take(self, operation: str) -> tuple[int, bytes] | None:
        """What was prepared for it."""
        self.asked.append(operation)
        prepared = self._answers.get(operation)
        return prepared.pop(0) if prepared else self._always.get(operation)


@contextmanager
def open_aws_answers(moto: str) -> Generator[Answers]:
    """Serve until the end of the context."""
    behind = urlsplit(moto)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer in one packet, or the other side waits for its acknowledgement

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            prepared = answers.take(self.headers.get("X-Amz-Target", "").rpartition(".")[2])
            status, content = prepared or self._forward(body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _forward(self, body: bytes) -> tuple[int, bytes]:
            connection = HTTPConnection(str(behind.hostname), behind.port, timeout=10)
            try:
                connection.request(self.command, self.path, body, dict(self.headers.items()))
                answer = connection.getresponse()
                return answer.status, answer.read()
            finally:
                connection.close()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    answers = Answers(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield answers
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
