"""`agentic models …`: names, arguments and help."""

from typing import Annotated

import typer

models_app = typer.Typer(
    help="The models, and the weights of those that run here.", no_args_is_help=True
)
_NAME_HELP = "The weights, as `agentic models list` names them."


@models_app.command("list")
def list_models(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
) -> None:
    """Show which models can be used, and which weights are here."""
    from agentic.cli.models import list_models as work

    raise typer.Exit(work(context.obj, as_json=as_json))


@models_app.command("pull")
def pull_model(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help=f"{_NAME_HELP} Else the usual ones.")
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Even if memory is too short to run them here.")
    ] = False,
) -> None:
    """Fetch weights, or go on fetching them, and print where they are."""
    from agentic.cli.models import pull_model as work

    raise typer.Exit(work(context.obj, name, anyway=anyway))


@models_app.command("remove")
def remove_model(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help=_NAME_HELP)],
) -> None:
    """Delete weights, and what came of them so far."""
    from agentic.cli.models import remove_model as work

    raise typer.Exit(work(context.obj, name))
