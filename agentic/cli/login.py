"""`agentic login SERVER`: a person's consent, for a server of others that wants it."""

from agentic.cli.compose import open_servers
from agentic.cli.failures import FAILED, UsageError
from agentic.cli.invocation import Invocation, note
from agentic.cli.server_states import render_status
from agentic.cli.terminal_text import one_line
from agentic.config.children import SECTIONS_OF_TALKERS
from agentic.config.models import Config

_CONSENT_SECONDS = 300.0
_MAX_URL_CHARACTERS = 8_000


def login(invocation: Invocation, name: str) -> int:
    """Connect; show the page to agree on if the server wants that. 0 when it lets us in."""

    async def work(config: Config) -> int:
        server = config.servers.get(name)
        if server is None or server.oauth is None:
            known = ", ".join(key for key, each in config.servers.items() if each.oauth)
            raise UsageError(
                f"{one_line(name)} is no server with `oauth:` in mcp.yml. Those are: "
                f"{known or 'none'}."
            )
        servers = {name: server.model_copy(update={"enabled": True})}
        only_it = config.model_copy(update={"servers": servers})
        async with open_servers(only_it, show=_show) as hub:
            await hub.wait_settled(_CONSENT_SECONDS)
            [status] = hub.status()
        note(render_status(status))
        return 0 if status.state == "ready" else FAILED

    return invocation.run(work, sections=SECTIONS_OF_TALKERS)


async def _show(url: str) -> None:
    minutes = _CONSENT_SECONDS // 60
    note("Open this page in a browser on this machine and agree there; it is waited for")
    note(f"{minutes:.0f} minutes:\n\n  {one_line(url, _MAX_URL_CHARACTERS)}\n")
