"""`agentic conversations stats`: how much is stored, and what a server has cost."""

import sys
from dataclasses import asdict

from rich import filesize

from agentic.cli.compose import is_kept_here, open_store_of_all
from agentic.cli.failures import UsageError
from agentic.cli.invocation import Invocation, note
from agentic.cli.terminal_text import one_line, to_json
from agentic.config.children import SECTIONS_OF_STORE_USERS, runs_our_command
from agentic.config.models import Config
from client.conversations import ConversationCallError
from servers.conversations.contract_results import StoreStats
from servers.conversations.file_upkeep import find_totals
from servers.host import open_files

_LABELS = {
    "deleted": "deleted conversations",
    "active_bytes": "open files",
    "sealed_bytes": "in sealed files",
    "index_bytes": "index of listings",
    "search_bytes": "index of searches",
}


def stats(invocation: Invocation, *, as_json: bool) -> int:
    """Of files of our own from the files, else what the conversation server tells."""

    async def work(config: Config) -> None:
        if is_kept_here(config):
            async with open_files(config) as engine:
                figures = asdict(await find_totals(engine))
            told = None
        else:
            told = await _ask(config)
            figures = told.model_dump(exclude={"units"}, exclude_none=True)
        if as_json:
            sys.stdout.write(to_json(figures if told is None else told.model_dump()) + "\n")
        else:
            _show(figures)
            if told is not None and told.counted_since is not None:
                _show_units(told, config)

    return invocation.run(work, sections=SECTIONS_OF_STORE_USERS)


async def _ask(config: Config) -> StoreStats:
    async with open_store_of_all(config) as store:
        try:
            return await store.get_stats()
        except ConversationCallError as error:
            if error.code != "forbidden":
                raise
            raise UsageError(
                f"{error}. These figures are of all owners: make a token with `agentic token "
                "create stats --scope conversations:read --scope delegate` where the server runs, "
                "and name its file as servers.conversations.token_file."
            ) from None


def _show(figures: dict[str, int | str]) -> None:
    for name, value in figures.items():
        label = _LABELS.get(name, name.replace("_", " "))
        if isinstance(value, str):
            shown = one_line(value)
        else:
            shown = filesize.decimal(value) if name.endswith("bytes") else f"{value:,}"
        sys.stdout.write(f"{label:<21}{shown:>14}\n")


def _show_units(told: StoreStats, config: Config) -> None:
    sys.stdout.write(f"\n{'units consumed by':<21}{'read':>14}{'write':>14}\n")
    for each in told.units:
        sys.stdout.write(f"{one_line(each.verb):<21}{each.read:>14,.1f}{each.write:>14,.1f}\n")
    read, write = sum(each.read for each in told.units), sum(each.write for each in told.units)
    sys.stdout.write(f"{'all':<21}{read:>14,.1f}{write:>14,.1f}\n")
    if runs_our_command(config.servers["conversations"]):
        note(
            "The server was started for this command, so its units are those of this command. Name "
            "one that runs (servers.conversations.url) to see its own; /metrics has them, too."
        )
