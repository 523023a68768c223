"""The commands. Each explains itself with `--help`, and stands in a file of its own."""

import typer

from hub.cli import bench, dev, doctor, processes, schema, send, token, watch

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 110},
    help="A notification hub that a team runs itself. `hub dev` starts everything on this machine.",
)

for command in (
    dev.dev,
    send.send,
    watch.watch,
    token.token,
    doctor.doctor,
    processes.serve,
    processes.work,
    schema.schema,
    bench.bench,
):
    app.command()(command)


def main() -> None:
    app()
