"""The command-line application. Each command has its own module and a `--help` option."""

import sys
from collections.abc import Collection
from importlib import import_module
from typing import Annotated

import typer

from hub import __version__

MODULES = {
    "dev": "dev",
    "send": "send",
    "watch": "watch",
    "tail": "tail",
    "simulate": "simulate",
    "replay": "replay",
    "find": "find",
    "explain": "explain",
    "deliveries": "deliveries",
    "clock": "clock",
    "token": "token",
    "console": "console",
    "keys": "keys",
    "vapid": "vapid",
    "doctor": "doctor",
    "migrate": "migrate",
    "support-bundle": "support_bundle",
    "healthcheck": "healthcheck",
    "serve": "serve_and_work",
    "work": "serve_and_work",
    "intake": "serve_and_work",
    "events": "events",
    "settings": "settings",
    "metrics": "metrics",
    "commands": "command_reference",
    "schema": "schema",
    "bench": "bench",
    "backup": "backup",
    "restore": "restore",
    "apply": "apply",
    "export": "export",
    "rules": "rules",
    "sends": "sends",
    "templates": "templates",
    "topics": "topics",
    "users": "users",
    "cancel": "cancel",
    "batches": "batches",
    "activity": "activity",
    "audit": "audit",
    "channels": "channels",
    "opt-outs": "opt_outs",
}
"""The module of each command. A module with commands of its own contains an `app`."""


def build_app(names: Collection[str] = MODULES.keys()) -> typer.Typer:
    """Return the application with these commands. Only their modules are imported."""
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"max_content_width": 110},
        help="A self-hosted notification hub. `hub dev` runs the hub and its servers on this machine.",
    )
    app.callback()(hub)
    for name in names:
        module = import_module(f"hub.cli.{MODULES[name]}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name)
        else:
            app.command(name)(getattr(module, name.replace("-", "_")))
    return app


def _print_version(requested: bool) -> None:
    if requested:
        print(f"hub {__version__}")
        raise typer.Exit


def hub(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command that the arguments name. The modules of the others are not imported, because that takes time."""
    name = next(iter(sys.argv[1:]), "")
    build_app([name] if name in MODULES else MODULES)()
