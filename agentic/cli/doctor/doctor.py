"""`agentic doctor`: looks at everything the assistant stands on, and says how to mend it."""

import sys
from collections.abc import Mapping

from agentic.cli.doctor.examination import examine
from agentic.cli.doctor.report import show, to_document
from agentic.cli.failures import FAILED, WRONG_USAGE
from agentic.cli.invocation import Invocation, note
from agentic.cli.terminal_text import to_json


def doctor(invocation: Invocation, *, seconds: float, as_json: bool) -> int:
    """0: no problem; 1: some; 2: the configuration can't be read."""

    async def work(environ: Mapping[str, str]) -> int:
        if sys.stderr.isatty():
            note(f"Looking at everything; this may take {seconds:g} seconds.")
        examination = await examine(environ, invocation.config_path, seconds)
        if as_json:
            document = to_document(examination.findings, is_ok=examination.is_ok)
            sys.stdout.write(to_json(document) + "\n")
        else:
            show(examination.findings)
        sys.stdout.flush()
        if not examination.is_readable:
            return WRONG_USAGE
        return 0 if examination.is_ok else FAILED

    return invocation.run_unconfigured(work)
