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
            server = create_server(wanted["key"], script.get("replies", []), asked)
            say({"address": f"http://127.0.0.1:{server.server_port}"})
    sys.stdin.read()
    os._exit(0)


def say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def note(asked: Path, what: dict[str, Any]) -> None:
    with asked.open("a", encoding="utf-8") as file:
        file.write(json.dumps(what) + "\n")


def create_server(key: str, replies: list[dict[str, Any]], asked: Path) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # noqa: N802 - the library's name
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.headers["Authorization"] != f"Bearer {key}":
                self.fail(401, "Invalid API Key")
                return
            note(asked, {"path": self.path, "body": body})
            self.reply(replies.pop(0) if replies else {"status": 500, "error": "no reply left"})

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
                    self.wait_for_departure()
                case _:
                    end = {"delta": {}, "finish_reason": reply.get("stop", "stop")}
                    self.send({"choices": [end]})
                    usage = {"prompt_tokens": 100, "completion_tokens": 7}
                    usage |= {"prompt_tokens_details": {"cached_tokens": 90}}
                    self.send({"choices": [], "usage": usage})
                    self.wfile.write(b"data: [DONE]\n\n")

        def send(self, chunk: dict[str, Any]) -> None:
            self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
            self.wfile.flush()

        def wait_for_departure(self) -> None:
            try:
                for _ in range(_LONG_SECONDS * 20):
                    self.wfile.write(b": \n\n")
                    self.wfile.flush()
                    time.sleep(0.05)
            except OSError:
                note(asked, {"departed": True})

        def fail(self, status: int, message: str) -> None:
            content = json.dumps({"error": {"message": message, "code": status}}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def pieces(text: str) -> list[str]:
    return [text[start : start + 5] for start in range(0, len(text), 5)]


if __name__ == "__main__":
    main()
