"""The command line: names, arguments and help. What a command does is imported when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from agentic.cli.conversations_app import conversations_app
from agentic.cli.models_app import models_app
from agentic.cli.token_app import token_app
from agentic.cli.tools_app import tools_app

app = typer.Typer(
    name="agentic",
    help="A personal assistant you run yourself, made of MCP servers and MCP clients.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # rich would double the time of --help
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(tools_app, name="tools")
app.add_typer(conversations_app, name="conversations")
app.add_typer(token_app, name="token")
app.add_typer(models_app, name="models")

ConversationOption = Annotated[
    str | None, typer.Option("--conversation", "-c", metavar="ID", help="Which conversation.")
]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", "-m", metavar="NAME", help="A name under models: in mcp.yml."),
]


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer's callbacks get the flag
    if wanted:
        from importlib.metadata import version

        typer.echo(f"agentic {version('agentic-ai')}")
        raise typer.Exit


@app.callback()
def set_up(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="PATH", help="The mcp.yml to use."),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Logs, and where an error came from, on stderr.")
    ] = False,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="The version."),
    ] = False,
) -> None:
    """Keep what was said before the command's name."""
    if context.resilient_parsing or context.invoked_subcommand is None:
        return
    from agentic.cli.invocation import Invocation

    context.obj = Invocation(config, verbose)


@app.command()
def chat(
    context: typer.Context,
    conversation: ConversationOption = None,
    model: ModelOption = None,
    thoughts: Annotated[
        bool, typer.Option("--thoughts/--no-thoughts", help="Show the model's thoughts, dimmed.")
    ] = True,
) -> None:
    """Talk in the terminal.

    A conversation store that is away is waited for 10 seconds, with an answer that is there 3:
    then the answer waits on this machine and is stored when the store is back.
    """
    from agentic.cli.chat import chat as work

    raise typer.Exit(work(context.obj, conversation, model, thoughts=thoughts))


@app.command()
def ask(
    context: typer.Context,
    text: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TEXT]...", help="The question; `-` or nothing: read from stdin."),
    ] = None,
    conversation: ConversationOption = None,
    model: ModelOption = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow", metavar="TOOL", help="A tool (server__tool) to call without asking you."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object instead of the text.")
    ] = False,
) -> None:
    """Ask one question and print the answer. Without --conversation it begins a new one.

    Servers have 15 seconds to start. A conversation store that goes away is waited for 10 seconds,
    with an answer that is there 3: then the answer waits on this machine and is stored by whichever
    `agentic chat`, `ask` or `conversations` comes next.
    """
    from agentic.cli.ask import ask as work

    raise typer.Exit(
        work(context.obj, text or [], conversation, model, allowed=allow or (), as_json=as_json)
    )


@app.command()
def serve(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="conversations or tools; with --http also all.")],
    delegate: Annotated[
        bool,
        typer.Option("--delegate", help="On stdio: each call names the owner it acts for."),
    ] = False,
    http: Annotated[
        str | None,
        typer.Option("--http", metavar="HOST:PORT", help="Streamable HTTP at /NAME/mcp."),
    ] = None,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="With --http, on loopback only: no token needed.")
    ] = False,
) -> None:
    """Run one of the MCP servers, on stdio or HTTP."""
    from agentic.cli.serve import serve as work

    raise typer.Exit(work(context.obj, name, delegate=delegate, http=http, no_auth=no_auth))


@app.command()
def bot(
    context: typer.Context,
    pair: Annotated[
        bool,
        typer.Option("--pair", help="Print a code: whoever sends it to the bot first may talk."),
    ] = False,
    owner: Annotated[
        str | None, typer.Option("--as", metavar="OWNER", help="With --pair: as whom; else owner:.")
    ] = None,
    people: Annotated[bool, typer.Option("--people", help="Print who may talk.")] = False,
    unpair: Annotated[
        str | None,
        typer.Option("--unpair", metavar="ID", help="Take back that this Telegram id may talk."),
    ] = None,
) -> None:
    """Run the Telegram bot, or say who may talk to it.

    While the conversation store is away, messages wait with Telegram, answers that are there are
    sent after 3 seconds and wait on this machine, and each chat is told so once.
    """
    if pair + people + (unpair is not None) > 1 or (owner is not None and not pair):
        raise typer.BadParameter("--pair (with --as), --people and --unpair exclude each other.")
    if pair or people or unpair is not None:
        from agentic.cli import people as commands

        if pair:
            raise typer.Exit(commands.pair(context.obj, owner))
        if people:
            raise typer.Exit(commands.show_people(context.obj))
        raise typer.Exit(commands.unpair(context.obj, unpair or ""))
    from agentic.cli.bot import bot as work

    raise typer.Exit(work(context.obj))


@app.command()
def login(
    context: typer.Context,
    server: Annotated[str, typer.Argument(metavar="SERVER", help="One with `oauth:` in mcp.yml.")],
) -> None:
    """Give your consent to a server of others that wants it."""
    from agentic.cli.login import login as work

    raise typer.Exit(work(context.obj, server))


@app.command()
def trust(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
) -> None:
    """Allow ./mcp.yml, as it is now, to start its commands."""
    from agentic.cli.trust import trust as work

    raise typer.Exit(work(context.obj, yes=yes))


@app.command()
def doctor(
    context: typer.Context,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object instead of the text.")
    ] = False,
    timeout: Annotated[
        float,
        typer.Option("--timeout", min=5, max=600, metavar="SECONDS", help="For all of it."),
    ] = 10,
) -> None:
    """Check everything, and say how to mend what is wrong."""
    from agentic.cli.doctor.doctor import doctor as work

    raise typer.Exit(work(context.obj, seconds=timeout, as_json=as_json))


@app.command()
def connect(
    context: typer.Context,
    client: Annotated[
        str,
        typer.Argument(
            metavar="CLIENT", help="claude-desktop, claude-code, cursor, vscode or generic."
        ),
    ],
    servers: Annotated[
        list[str] | None, typer.Argument(metavar="SERVER", help="Only these; else all.")
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            "--url", metavar="URL", help="Where they are served over HTTP; else started here."
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file", metavar="FILE", help="With --url: holds the token; `-`: stdin."
        ),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Put it into the client's file, and keep a copy.")
    ] = False,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="PATH", help="With --write: into this file.")
    ] = None,
) -> None:
    """Print what another MCP client needs to reach our servers."""
    from agentic.cli.connect.connect import Wanted
    from agentic.cli.connect.connect import connect as work

    wanted = Wanted(client, servers or (), url, token_file, write, file)
    raise typer.Exit(work(context.obj, wanted))


@app.command()
def migrate(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Option("--from", metavar="NAME|URL", help="A name under servers:, or an address."),
    ],
    target: Annotated[
        str, typer.Option("--to", metavar="NAME|URL", help="The same, of where they go.")
    ],
    source_token_file: Annotated[
        Path | None,
        typer.Option("--from-token-file", metavar="FILE", help="Holds the token for --from."),
    ] = None,
    target_token_file: Annotated[
        Path | None,
        typer.Option("--to-token-file", metavar="FILE", help="Holds the token for --to."),
    ] = None,
    source_token_variable: Annotated[
        str | None,
        typer.Option("--from-token-variable", metavar="NAME", help="Or the variable that does."),
    ] = None,
    target_token_variable: Annotated[
        str | None,
        typer.Option("--to-token-variable", metavar="NAME", help="Or the variable that does."),
    ] = None,
    thorough: Annotated[
        bool,
        typer.Option("--thorough", help="Read again, too, what was found equal by an earlier run."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object instead of the text.")
    ] = False,
) -> None:
    """Copy all conversations of all owners to another server, and compare them.

    Run again, it goes on, and copies only what is new.
    """
    from agentic.cli.migrate.command import migrate as work
    from agentic.cli.migrate.ends import Given

    ends = (
        Given("--from", source, source_token_file, source_token_variable),
        Given("--to", target, target_token_file, target_token_variable),
    )
    raise typer.Exit(work(context.obj, *ends, thorough=thorough, as_json=as_json))
