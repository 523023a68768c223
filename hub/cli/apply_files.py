"""Store entries of files in a hub, and print what changes."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hub.cli.api_client import run_or_exit
from hub.cli.setup_files import SUFFIXES, SetupFileError, read_entries
from hub.cli.setup_store import TEMPLATE, Calls, Kind, changes_of
from hub.cli.target_hub import fail
from hub.cli.template_files import read_entries as read_templates


def read_files(kind: Kind, files: Iterable[Path]) -> list[Any]:
    """Return the entries of files. Raise SetupFileError, also if two entries have the same name."""
    entries: dict[str, Any] = {}
    origins: dict[str, Path] = {}
    for path in files:
        for entry in read_templates(path) if kind is TEMPLATE else read_entries(path, kind.type):
            name = kind.name(entry)
            if name in entries:
                raise SetupFileError(f"{path}: {origins[name]} also contains the {kind.noun} {name}. Remove one.")
            entries[name], origins[name] = entry, path
    return list(entries.values())


def files_of(kind: Kind, folder: Path) -> list[Path]:
    """Return the files of a kind in a folder, sorted by path. Files with other suffixes are texts of templates."""
    return sorted(path for path in (folder / kind.folder).rglob("*") if path.suffix in SUFFIXES)


def apply_entries(calls: Calls, found: Sequence[tuple[Kind, Sequence[Any]]], *, dry_run: bool) -> None:
    """Store the entries that differ from those of the hub, kind by kind, and print the differences."""
    counts = {"create": 0, "change": 0}
    only_stored: list[str] = []
    for kind, entries in found:
        changes, others = run_or_exit(changes_of(calls, kind, entries), calls.hub, kind.folder)
        only_stored += [f"{kind.noun} {name}" for name in others]
        for change in changes:
            if change.is_needed:
                counts["create" if change.before is None else "change"] += 1
                try:
                    run_or_exit(change.check(calls) if dry_run else change.apply(calls), calls.hub, change.title)
                except SetupFileError as error:
                    fail(str(error))
                print("\n".join(change.lines()))
    _print_summary(counts, dry_run=dry_run)
    if only_stored:
        print(f"Only the hub has these, and keeps them: {', '.join(only_stored)}.")


def _print_summary(counts: dict[str, int], *, dry_run: bool) -> None:
    if not any(counts.values()):
        print("No differences.")
        return
    text = f"{counts['create']} created, {counts['change']} changed."
    print(f"Nothing was stored, because of --dry-run. Otherwise: {text}" if dry_run else text)
