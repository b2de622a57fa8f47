"""`agentic tools …`: names, arguments and help."""

from pathlib import Path
from typing import Annotated

import typer

tools_app = typer.Typer(
    help="List, call and test the tools of all servers; see how ours were used.",
    no_args_is_help=True,
)
JsonOption = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]


@tools_app.command("list")
def list_tools(context: typer.Context, as_json: JsonOption = False) -> None:
    """Show every server and its tools."""
    from agentic.cli.tools import list_tools as work

    raise typer.Exit(work(context.obj, as_json=as_json))


@tools_app.command("call")
def call_tool(
    context: typer.Context,
    tool: Annotated[
        list[str],
        typer.Argument(
            metavar="SERVER TOOL [ARGUMENTS]",
            help="Or SERVER__TOOL. ARGUMENTS: one JSON object, or key=value pairs.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the answer, or what it links to, into a file."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Call one tool and print its result."""
    from agentic.cli.tools import call_tool as work

    raise typer.Exit(work(context.obj, tool, output, force=force, as_json=as_json))


@tools_app.command("test")
def check_tool(
    context: typer.Context,
    tool: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME [ARGUMENTS]",
            help="A tool of mcp.yml. ARGUMENTS: as for call; absent: its first example.",
        ),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the request, and send nothing.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Send it even if the tool may change something.")
    ] = False,
) -> None:
    """Check a declared tool against its endpoint: the request, secrets masked, and the answer."""
    from agentic.cli.tool_check import check_tool as work

    raise typer.Exit(work(context.obj, tool, dry_run=dry_run, yes=yes))


@tools_app.command("stats")
def stats(
    context: typer.Context,
    since: Annotated[
        str, typer.Option(metavar="DAY", help="From this day on (UTC), or 7d for a week.")
    ] = "30d",
    of_all: Annotated[bool, typer.Option("--all", help="Of all owners, each by itself.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show how often our own tools were called, how that went and how long it took."""
    from agentic.cli.tool_stats import stats as work

    raise typer.Exit(work(context.obj, since=since, of_all=of_all, as_json=as_json))
