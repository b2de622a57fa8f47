"""The engine's own process: llama.cpp's server on loopback, for as long as the parent lives.

It is started by its path, so it imports nothing of ours. The parent writes one line of JSON (what
to load, and the key that requests must bring) to its standard input and keeps that open; this
writes one line back, either the address or an error, and ends when the input does.
"""

import importlib
import json
import os
import sys
from typing import Any

_PROMPTS = 3
"""Those that choose, answer, and collect about the user are kept, each in a memory of its own."""
_LARGEST_OF_EACH = 8_192
_MORE_FOR_OTHERS = 4_096


def main() -> None:
    """Serve until standard input ends."""
    # Whatever the libraries print must not get between our lines.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    os.umask(0o077)
    try:
        server = _serve(json.loads(sys.stdin.readline()))
        answer = {"address": server.listening_address}
    except Exception as error:  # noqa: BLE001 - boundary: the parent reads it and says it
        server, answer = None, {"error": f"{type(error).__name__}: {error}"}
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
    if server is not None:
        sys.stdin.read()
    os._exit(0)  # the server's threads would be waited for, and an answer goes on being written


def _serve(wanted: dict[str, Any]) -> Any:  # noqa: ANN401 - the library has no types
    library: Any = importlib.import_module("xllamacpp")
    params = library.CommonParams()
    params.model.path = wanted["path"]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [wanted["key"]]
    params.n_parallel = _PROMPTS
    window: int = wanted["context_tokens"]
    # In a window for all, each token is held against what stands for the others, too. But a large
    # one three times over would take gigabytes, and only answers need it.
    params.kv_unified = window > _LARGEST_OF_EACH
    params.n_ctx = window + _MORE_FOR_OTHERS if params.kv_unified else _PROMPTS * window
    params.cache_ram_mib = 0
    # An answer can be given up between two batches only.
    params.n_batch = params.n_ubatch = 64
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = wanted["threads"]
    if wanted["readings"] is not None:
        # What was read of prompts is saved there and brought back, when the parent asks for it.
        params.slot_save_path = wanted["readings"] + os.sep
    params.n_threads_http = 4
    params.ui = params.endpoint_slots = False
    params.warmup = False
    return library.Server(params)


if __name__ == "__main__":
    main()
