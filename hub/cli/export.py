"""`hub export`: write the categories, topics, templates, and rules of a hub to a folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from hub.cli.api_client import run_or_exit
from hub.cli.target_hub import DEFAULT_DATA, Data, Tenant, Token, Url, fail, resolve_hub

if TYPE_CHECKING:
    from hub.cli.setup_store import Kind

FILE_NAME_MAX_BYTES = 200
MJML = "<mjml"


def export(
    folder: Annotated[
        Path, typer.Argument(help="The folder, which must not exist yet or be empty.", show_default=False)
    ],
    url: Url = "",
    token: Token = "",
    tenant: Tenant = "default",
    data: Data = DEFAULT_DATA,
) -> None:
    """Write the categories, topics, templates, and rules of a hub to files, which hub apply stores again.

    Each key has one YAML file. The HTML of emails is in files of its own.

    Example: hub export notifications
    """
    from hub.cli.setup_store import KINDS, Calls

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        fail(f"{folder} is not empty. Name another folder, or remove its files first.")
    calls = Calls.of(resolve_hub(url, token, data), tenant)
    for kind in KINDS:
        entries = run_or_exit(kind.stored(calls), calls.hub, kind.folder).values()
        try:
            _write(kind, list(entries), folder)
        except OSError as error:
            fail(f"The files of {kind.folder} cannot be written: {error}")
        print(f"{len(entries)} {kind.noun if len(entries) == 1 else kind.folder}")


def _write(kind: "Kind", entries: list[Any], folder: Path) -> None:
    from hub.cli.setup_files import dump, fields_of

    by_key: dict[str, list[Any]] = {}
    for entry in entries:
        by_key.setdefault(entry.key, []).append(fields_of(entry))
    names: set[str] = set()
    for key, values in by_key.items():
        path = folder / kind.folder / f"{_file_name(key, names)}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        for value in values:
            if html := value.get("html"):
                value["html"] = {"file": _write_html(path, value, html)}
        path.write_text(dump(values[0] if len(values) == 1 else values), encoding="utf-8", newline="")


def _write_html(path: Path, value: dict[str, Any], html: str) -> str:
    """Write the HTML of an email to a file next to the one of the template. Return the name of the file."""
    suffix = "mjml" if html.lstrip().startswith(MJML) else "html"
    name = ".".join(filter(None, (path.stem, value.get("locale", "en"), value.get("channel"), suffix)))
    path.with_name(name).write_text(html, encoding="utf-8", newline="")
    return name


def _file_name(key: str, names: set[str]) -> str:
    """Return a name for the file of a key. `names`: those that are taken, in lower case, for every file system."""
    name = quote(key, safe=" ").replace("~", "%7E").lstrip(".")[:FILE_NAME_MAX_BYTES] or "%2E"
    unique, number = name, 2
    while unique.lower() in names:
        unique, number = f"{name}-{number}", number + 1
    names.add(unique.lower())
    return unique
