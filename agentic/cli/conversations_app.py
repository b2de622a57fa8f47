"""`agentic conversations …`: names, arguments and help."""

from pathlib import Path
from typing import Annotated, Literal

import typer

conversations_app = typer.Typer(help="The stored conversations.", no_args_is_help=True)
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The conversation.")]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]


@conversations_app.command("list")
def list_conversations(
    context: typer.Context,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many; else all.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only with this tag.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show all conversations, the newest first."""
    from agentic.cli.conversations import list_conversations as work

    raise typer.Exit(work(context.obj, limit, tag, as_json=as_json))


@conversations_app.command("show")
def show_conversation(
    context: typer.Context,
    conversation_id: IdArgument,
    limit: Annotated[int, typer.Option(min=1, help="The latest so many messages.")] = 50,
    everything: Annotated[bool, typer.Option("--all", help="Every message.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the messages of a conversation."""
    from agentic.cli.conversations import show_conversation as work

    raise typer.Exit(
        work(context.obj, conversation_id, None if everything else limit, as_json=as_json)
    )


@conversations_app.command("search")
def search_conversations(
    context: typer.Context,
    words: Annotated[
        list[str],
        typer.Argument(metavar="WORDS", help="All must occur; '\"a phrase\"', a beginning*."),
    ],
    conversation_id: Annotated[
        str | None, typer.Option("--conversation", "-c", metavar="ID", help="Only in this one.")
    ] = None,
    role: Annotated[
        Literal["user", "assistant", "tool", "system"] | None,
        typer.Option(help="Only what this role said."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only from this day or time on.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="At most so many.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Find what was said, the best first."""
    from agentic.cli.search import search_conversations as work

    raise typer.Exit(
        work(
            context.obj,
            words,
            conversation_id=conversation_id,
            role=role,
            since=since,
            limit=limit,
            as_json=as_json,
        )
    )


@conversations_app.command("export")
def export_conversation(
    context: typer.Context,
    conversation_id: IdArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file; else stdout.")
    ] = None,
    format: Annotated[
        Literal["json", "markdown"],
        typer.Option(help="json loses nothing, markdown is for people to read."),
    ] = "json",
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write a conversation as a document."""
    from agentic.cli.export import export_conversation as work

    raise typer.Exit(work(context.obj, conversation_id, output, format=format, force=force))


@conversations_app.command("import")
def import_file(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="What `export` wrote, or the account export of ChatGPT or Claude (the zip as it "
            "came, or its conversations.json); - for JSON on standard input.",
        ),
    ],
    wanted: Annotated[
        Literal["auto", "agentic", "chatgpt", "claude"],
        typer.Option("--format", help="Take only what is of this format."),
    ] = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only read the file, and say what is in it.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Store the conversations of a file. Run again, it goes on, and adds nothing twice."""
    from agentic.cli.imports.command import import_file as work

    raise typer.Exit(work(context.obj, file, wanted, dry_run=dry_run, as_json=as_json))


@conversations_app.command("attach")
def attach_file(
    context: typer.Context,
    conversation_id: IdArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="At most 20 MiB.")],
    name: Annotated[str | None, typer.Option(help="What to call it; else the file's name.")] = None,
    mime_type: Annotated[
        str | None, typer.Option("--type", help="Its MIME type; else by the file's name.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Store a file with a conversation, new or old.

    Prints the URI that names it.
    """
    from agentic.cli.attachments import attach_file as work

    raise typer.Exit(
        work(context.obj, conversation_id, file, name=name, mime_type=mime_type, as_json=as_json)
    )


@conversations_app.command("attachment")
def fetch_attachment(
    context: typer.Context,
    named: Annotated[
        str, typer.Argument(metavar="URI|ID", help="The attachment's URI, or the conversation.")
    ],
    attachment_id: Annotated[
        str | None, typer.Argument(metavar="[ATTACHMENT]", help="Its id, after a conversation's.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file; else stdout.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Fetch a file that is stored with a conversation."""
    from agentic.cli.attachments import fetch_attachment as work

    raise typer.Exit(work(context.obj, named, attachment_id, output, force=force))


@conversations_app.command("verify")
def verify(context: typer.Context, as_json: JsonOption = False) -> None:
    """Read everything that is stored and name what is damaged."""
    from agentic.cli.upkeep import verify as work

    raise typer.Exit(work(context.obj, as_json=as_json))


@conversations_app.command("repair")
def repair(context: typer.Context) -> None:
    """Mend what is damaged; what can't be read is kept aside."""
    from agentic.cli.upkeep import repair_store as work

    raise typer.Exit(work(context.obj))


@conversations_app.command("compact")
def compact(context: typer.Context) -> None:
    """Compress older messages now, and drop what is outdated."""
    from agentic.cli.upkeep import compact_store as work

    raise typer.Exit(work(context.obj))


@conversations_app.command("reindex")
def reindex(context: typer.Context) -> None:
    """Make the index anew from what is stored."""
    from agentic.cli.upkeep import reindex as work

    raise typer.Exit(work(context.obj))


@conversations_app.command("stats")
def stats(context: typer.Context, as_json: JsonOption = False) -> None:
    """Show how much is stored, how much space it takes, and on DynamoDB the units of each verb."""
    from agentic.cli.stats import stats as work

    raise typer.Exit(work(context.obj, as_json=as_json))


@conversations_app.command("create-table")
def create_table(
    context: typer.Context,
    table: Annotated[
        str | None, typer.Option(metavar="NAME", help="Else what the configuration says.")
    ] = None,
    capacity: Annotated[
        Literal["on-demand", "provisioned"],
        typer.Option(help="Pay for each call, or for units that follow the load."),
    ] = "on-demand",
    read_units: Annotated[
        str | None, typer.Option(metavar="MIN:MAX", help="Provisioned: of reads; else 5:100.")
    ] = None,
    write_units: Annotated[
        str | None, typer.Option(metavar="MIN:MAX", help="Provisioned: of writes; else 5:100.")
    ] = None,
    scheduled: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'HH:MM MIN:MAX MIN:MAX'",
            help="Provisioned: other units of reads and writes from a time of day on; repeat it.",
        ),
    ] = None,
    time_zone: Annotated[
        str | None, typer.Option(metavar="ZONE", help="Of these times; else UTC.")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Of the table; may be repeated.")
    ] = None,
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="At most so long until it is ready.")
    ] = 300.0,
) -> None:
    """Make the DynamoDB table that conversations.store: dynamodb wants.

    Run again it changes nothing. A table that is there and is another one is never touched.
    """
    from agentic.cli.create_table import create_table as work

    raise typer.Exit(
        work(
            context.obj,
            table=table,
            capacity=capacity,
            read_units=read_units,
            write_units=write_units,
            scheduled=scheduled or (),
            time_zone=time_zone,
            tags=tag or (),
            limit_seconds=wait,
        )
    )


@conversations_app.command("fork")
def fork_conversation(
    context: typer.Context,
    conversation_id: IdArgument,
    up_to: Annotated[
        str | None,
        typer.Option(metavar="MESSAGE_ID", help="The last message of the fork; else all."),
    ] = None,
    to: Annotated[
        str | None, typer.Option(metavar="NEW_ID", help="The fork's id; else one is made.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Copy a conversation, or its beginning, into a new one."""
    from agentic.cli.copies import fork_conversation as work

    raise typer.Exit(work(context.obj, conversation_id, up_to=up_to, to=to, as_json=as_json))


@conversations_app.command("merge")
def merge_conversations(
    context: typer.Context,
    source_ids: Annotated[
        list[str], typer.Argument(metavar="SOURCE...", help="The conversations.")
    ],
    into: Annotated[
        str, typer.Option(metavar="ID", help="A new conversation, or one of the sources.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Bring several conversations into one, by time."""
    from agentic.cli.copies import merge_conversations as work

    raise typer.Exit(work(context.obj, source_ids, into, as_json=as_json))


@conversations_app.command("delete")
def delete_conversation(
    context: typer.Context,
    conversation_id: IdArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
) -> None:
    """Delete a conversation for good."""
    from agentic.cli.conversations import delete_conversation as work

    raise typer.Exit(work(context.obj, conversation_id, yes=yes))
