"""`agentic token …`: names, arguments and help."""

from pathlib import Path
from typing import Annotated

import typer

token_app = typer.Typer(
    help="Tokens, by which MCP clients reach our servers over HTTP.", no_args_is_help=True
)
JsonOption = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]


@token_app.command("create")
def create_token(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(help="What it is for, such as `laptop`.", show_default=False)
    ] = None,
    named: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="The same, as an option.")
    ] = None,
    owner: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose data; else the operator's.")
    ] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(metavar="SCOPE", help="May be repeated; else all but `delegate`."),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="`90d`, `12h` or a date such as 2027-01-31; else never."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token and print it, this once."""
    from agentic.cli.token import create_token as work

    if (name is None) == (named is None):
        raise typer.BadParameter("give one name: what the token is for", param_hint="NAME")
    chosen = name or named or ""
    raise typer.Exit(work(context.obj, chosen, owner, scope, expires, as_json=as_json))


@token_app.command("list")
def list_tokens(context: typer.Context, as_json: JsonOption = False) -> None:
    """Show all tokens, without what makes them secret."""
    from agentic.cli.token import list_tokens as work

    raise typer.Exit(work(context.obj, as_json=as_json))


@token_app.command("revoke")
def revoke_token(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Or the token's id.")],
) -> None:
    """Take a token back, at once."""
    from agentic.cli.token import revoke_token as work

    raise typer.Exit(work(context.obj, name))


@token_app.command("copy")
def copy_tokens(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="tokens.sqlite3, or tokens.json of an old version.")],
) -> None:
    """Bring a file's tokens to where they are kept now, such as a table."""
    from agentic.cli.token import copy_tokens as work

    raise typer.Exit(work(context.obj, file))
