"""The results of the checks of `hub doctor`."""

from msgspec import Struct, field


class CheckFailed(Exception):
    """A check failed. The text states what to change."""


class Findings(Struct):
    """The output lines of one check in order, each as ("ok" or "note", text)."""

    lines: list[tuple[str, str]] = field(default_factory=list)

    def ok(self, text: str) -> None:
        self.lines.append(("ok", text))

    def note(self, text: str) -> None:
        """Add a warning, which does not fail the check."""
        self.lines.append(("note", text))


def print_finding(word: str, text: str) -> None:
    print(f"{word:<5}  {text}", flush=True)
