"""`agentic trust`: agree to what a `./mcp.yml` would do."""

import sys

from agentic.cli.input_lines import confirm
from agentic.cli.invocation import Invocation, note
from agentic.cli.terminal_text import clean
from agentic.config import trust as trusted_files
from agentic.config.models import Config


def trust(invocation: Invocation, *, yes: bool) -> int:
    """Show it, ask, and remember the answer for this content of the file."""

    async def work(config: Config) -> None:
        risks = trusted_files.needs_trust(config)
        if not risks:
            note(f"{config.path or 'The default configuration'} needs no trust.")
            return
        sys.stdout.write(f"By {config.path},\n")
        sys.stdout.writelines(f"  {clean(risk)}\n" for risk in risks)
        sys.stdout.flush()
        if not yes:
            await confirm("Do you agree?", instead="Say --yes where nobody can be asked.")
        trusted_files.trust(config)
        note("Trusted, until the file changes.")

    return invocation.run(work, needs_trust=False)
