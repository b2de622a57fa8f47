"""A program that speaks to its parent and to HTTP clients as the engine's process does.

The "weights" that it is told to load are its script, a JSON file: `start` says how it starts, and
`replies` how it answers, one after the other. What it was asked is added to the file beside it that
ends in `.asked`, a line for each request.
"""

import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_LONG_SECONDS = 60


def main() -> None:
    wanted = json.loads(sys.stdin.readline())
    path = Path(wanted["path"])
    script = json.loads(path.read_text(encoding="utf-8"))
    asked = path.with_suffix(".asked")
    note(asked, {"pid": os.getpid(), "environment": dict(os.environ), "arguments": sys.argv})
    match script.get("start", "well"):
        case "refuses":
            say({"error": "RuntimeError: Failed to init server."})
            return
        case "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        case "ends":
            sys.exit(3)
        case "babbles":
            sys.stdout.write("warming up\n")
            sys.stdout.flush()
        case _:
            server = Script(wanted["key"], script.get("replies", []), asked)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            say({"address": f"http://127.0.0.1:{server.server_port}"})
    sys.stdin.read()
    os._exit(0)


def say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def note(asked: Path, what: dict[str, Any]) -> None:
    with asked.open("a", encoding="utf-8") as file:
        file.write(json.dumps(what) + "\n")


class Script(ThreadingHTTPServer):
    """Answers those who bring the key, with one reply after the other."""

    def __init__(self, key: str, replies: list[dict[str, Any]], asked: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.key = key
        self.replies = replies
        self.asked = asked


class Handler(BaseHTTPRequestHandler):
    server: Script  # pyright: ignore[reportIncompatibleVariableOverride] - the one that made it

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != f"Bearer {self.server.key}":
            self.fail(401, "Invalid API Key")
            return
        match self.path:
            case "/apply-template":
                said = "\n".join(message["content"] for message in body["messages"])
                self.send_object({"prompt": said})
                return
            case "/tokenize":
                self.send_object({"tokens": [1 for _ in body["content"].split()]})
                return
            case _:
                pass
        note(self.server.asked, {"path": self.path, "body": body})
        replies = self.server.replies
        reply = replies.pop(0) if replies else {"status": 500, "error": "no reply left"}
        try:
            self.reply(reply)
        except OSError:
            note(self.server.asked, {"departed": True})

    def send_object(self, value: dict[str, Any], status: int = 200) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def reply(self, reply: dict[str, Any]) -> None:
        if "status" in reply:
            self.fail(reply["status"], reply["error"])
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for piece in pieces(reply.get("text", "")):
            self.send({"choices": [{"delta": {"content": piece}}]})
        match reply.get("then", "ends"):
            case "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hangs":
                self.hang()
            case _:
                self.end(reply.get("stop", "stop"))

    def end(self, reason: str) -> None:
        self.send({"choices": [{"delta": {}, "finish_reason": reason}]})
        usage = {"prompt_tokens": 100, "completion_tokens": 7}
        cached = {"prompt_tokens_details": {"cached_tokens": 90}}
        self.send({"choices": [], "usage": usage | cached})
        self.wfile.write(b"data: [DONE]\n\n")

    def send(self, chunk: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        self.wfile.flush()

    def hang(self) -> None:
        for _ in range(_LONG_SECONDS * 20):
            self.wfile.write(b": \n\n")
            self.wfile.flush()
            time.sleep(0.05)

    def fail(self, status: int, message: str) -> None:
        self.send_object({"error": {"message": message, "code": status}}, status)

    def log_message(self, format: str, *args: object) -> None:
        pass


def pieces(text: str) -> list[str]:
    return [text[start : start + 5] for start in range(0, len(text), 5)]


if __name__ == "__main__":
    main()
