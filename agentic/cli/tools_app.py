"""`agentic tools …`: names, arguments and help."""

from typing import Annotated

import typer

tools_app = typer.Typer(help="List and call the tools of all servers.", no_args_is_help=True)
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
    as_json: JsonOption = False,
) -> None:
    """Call one tool and print its result."""
    from agentic.cli.tools import call_tool as work

    raise typer.Exit(work(context.obj, tool, as_json=as_json))
