"""Find wording that docs/contributing/style.md rules out, in docs, comments, docstrings, messages and page texts.

python infra/checks/prose.py [PATH ...]    without a path: everything that `make check` covers
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

COVERED = ("hub", "docs", "infra", "frontend-demo", "README.md", "SECURITY.md", ".github", "pyproject.toml", "Makefile")
SUFFIXES = {".py", ".md", ".ts", ".html", ".css", ".yaml", ".yml", ".po"}
UNCHECKED = {"docs/contributing/style.md", "infra/checks/prose.py"}  # they quote what is ruled out

MACHINE = (
    r"(?:server|hub|process|worker|client|browser|Redis|MongoDB|provider|page|API|store|database|scheduler|dispatcher)"
)
RULES: dict[str, str] = {
    r"(?:^|[.:;] )(?:Who|Whom|Whose|Whoever)\b(?![^.]*\?)": "start the sentence with its subject",
    r"(?:^|[.:;] )What (?:is|was|has|a|the|it|they|nobody|nothing)\b(?![^.]*\?)": "start the sentence with its subject",
    r"\b[Ww]hoever\b|\b[Ww]homever\b|\bby whom\b|\bto whom\b(?![^.]*\?)": "name the subject",
    r"\b[Aa]new\b": "again",
    r"\b[Ll]ikewise\b": "also",
    r"\bas far as\b": "if, where, up to",
    r"\bany ?more\b": "no longer",
    r"\bso that\b": "so",
    r", for (?:it|he|she|they|we|there|this|that|these|those|no|nothing|nobody|each|both) ": "because",
    r"\bbeside\b": "next to, besides",
    r"\bis no (?!longer\b|more\b|other\b|such\b)\w+": "is not a (valid) ...",
    rf"\b{MACHINE}s? (?:tells?|told|says?|said|knows?|knew|hears?|heard|wants?|believes?|thinks?|learns?)\b": (
        "use returns, sends, stores, requires"
    ),
    r"^(?:Whether|Answers)\b(?![^.]*\?)": "start with a verb: Return True if ...",
    r"\b(?:farewell|dossiers?|strangers?|wish(?:es)?|thaw\w*|quieten\w*|called off|calls? off)\b": "use the usual term",
    r"\b[Ee]-mails?\b|\b[Ee]-[Mm]ail\b": "email",
    r"\b(?:behaviour|colour|honour|favour|neighbour|organis|recognis|initialis|serialis|normalis|summaris"
    r"|authoris|licence|catalogue)\w*": "American spelling",
}
PATTERNS = [(re.compile(pattern), advice) for pattern, advice in RULES.items()]


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, text) for everything in a file that a person reads."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        yield from python_texts(source)
    elif path.suffix == ".md":
        yield from markdown_texts(source)
    elif path.suffix == ".po":
        yield from ((n, line) for n, line in enumerate(source.splitlines(), 1) if line.startswith("msgid"))
    else:
        yield from enumerate(source.splitlines(), 1)


def python_texts(source: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("# ")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            for offset, line in enumerate(node.value.splitlines()):
                yield node.lineno + offset, line.strip()


def markdown_texts(source: str) -> Iterator[tuple[int, str]]:
    fenced = False
    for number, line in enumerate(source.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield number, re.sub(r"`[^`]*`", "`code`", line).strip(" |>-*#")


def main(paths: list[str]) -> int:
    listed = subprocess.run(  # noqa: S603
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *(paths or COVERED)],  # noqa: S607
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    faults = 0
    for name in listed:
        path = Path(name)
        is_translation = path.parent.parent.name == "locales" and path.stem != "en"
        if name in UNCHECKED or is_translation or path.suffix not in SUFFIXES or not path.is_file():
            continue
        for line, text in sorted(texts(path)):
            for pattern, advice in PATTERNS:
                if match := pattern.search(text):
                    faults += 1
                    print(f"{name}:{line}: {match[0].strip()!r}: {advice}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
