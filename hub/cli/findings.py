"""The results of the checks of `hub doctor`."""

from typing import Any

from msgspec import Struct, field

from hub import __version__


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


class Section(Struct, frozen=True):
    """The findings about one subject, each as ("ok", "note", or "wrong", text)."""

    title: str
    findings: list[tuple[str, str]]


class Report:
    """The findings of all checks. They are printed as soon as they are known, unless `prints` is False."""

    def __init__(self, *, prints: bool = True) -> None:
        self._prints = prints
        self.sections = [Section("Environment", [])]
        self.failure = ""

    def begin(self, title: str) -> None:
        """Begin a section."""
        self.sections.append(Section(title, []))
        if self._prints:
            print(f"{title}:", flush=True)

    def add(self, word: str, text: str) -> None:
        self.sections[-1].findings.append((word, text))
        if self._prints:
            print(f"{word:<5}  {text}", flush=True)

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "version": __version__,
            "ok": not self.failure,
            "failure": self.failure or None,
            "sections": [
                {
                    "title": section.title,
                    "findings": [{"result": word, "text": text} for word, text in section.findings],
                }
                for section in self.sections
                if section.findings
            ],
        }
