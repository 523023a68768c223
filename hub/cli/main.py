"""The command-line application. Each command has its own module and a `--help` option."""

from typing import Annotated

import typer

from hub import __version__
from hub.cli import (
    bench,
    clock,
    command_reference,
    dev,
    doctor,
    metrics,
    replay,
    schema,
    send,
    sends,
    serve_and_work,
    settings,
    templates,
    token,
    topics,
    users,
    vapid,
    watch,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 110},
    help="A self-hosted notification hub. `hub dev` runs the hub and its servers on this machine.",
)

for command in (
    dev.dev,
    send.send,
    watch.watch,
    replay.replay,
    clock.clock,
    token.token,
    vapid.vapid,
    doctor.doctor,
    serve_and_work.serve,
    serve_and_work.work,
    settings.settings,
    metrics.metrics,
    command_reference.commands,
    schema.schema,
    bench.bench,
):
    app.command()(command)
app.add_typer(sends.app, name="sends")
app.add_typer(templates.app, name="templates")
app.add_typer(topics.app, name="topics")
app.add_typer(users.app, name="users")


def _print_version(requested: bool) -> None:
    if requested:
        print(f"hub {__version__}")
        raise typer.Exit


@app.callback()
def hub(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    app()
