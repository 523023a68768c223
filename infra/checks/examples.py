"""Compare the code blocks of README.md and docs/ with the files in docs/examples/, which are type-checked or run.

python infra/checks/examples.py            fail if a block differs from its file, or has none
python infra/checks/examples.py --write    copy the files into the pages

A comment before the block names the file, and optionally a section of it: `<!-- example: token.js -->` or
`<!-- example: service-worker.js:worker -->`. A section is between the lines `[start:NAME]` and `[end:NAME]`.
"""

import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

EXAMPLES = Path("docs/examples")
LANGUAGES = {"js", "jsx", "ts", "tsx", "python"}  # blocks in other languages need no file
FENCE = re.compile(
    r"^(?:(?P<indent> *)<!-- example: (?P<file>[\w./-]+?)(?::(?P<section>\w+))? -->\n)?"
    r"(?P<open> *)```(?P<language>\w+)\n(?P<code>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)


def pages() -> Iterator[Path]:
    yield Path("README.md")
    yield from sorted(Path("docs").rglob("*.md"))


def example(file: str, section: str | None) -> str:
    """Return the code of a file or section. Raise ValueError if it does not exist."""
    path = EXAMPLES / file
    if not path.is_file():
        raise ValueError(f"{path} does not exist")
    text = path.read_text(encoding="utf-8")
    if section is None:
        return text
    match = re.search(rf"^[^\n]*\[start:{section}\]\n(.*?)^[^\n]*\[end:{section}\]$", text, re.MULTILINE | re.DOTALL)
    if match is None:
        raise ValueError(f"{path} has no section {section}")
    return textwrap.dedent(match[1]).strip("\n") + "\n"


def main(write: bool) -> int:
    faults = []
    for page in pages():
        text = page.read_text(encoding="utf-8")

        def replace(match: re.Match[str], page: Path = page) -> str:
            if match["file"] is None:
                if match["language"] in LANGUAGES:
                    faults.append(f"{page}: a {match['language']} block has no file: {match['code'].strip()[:40]!r}")
                return match[0]
            try:
                code = example(match["file"], match["section"])
            except ValueError as error:
                faults.append(f"{page}: {error}")
                return match[0]
            start = match.start("code") - match.start()
            end = match.end("code") - match.start()
            return match[0][:start] + textwrap.indent(code, match["open"]) + match[0][end:]

        updated = FENCE.sub(replace, text)
        if updated != text and write:
            page.write_text(updated, encoding="utf-8")
        elif updated != text:
            faults.append(f"{page}: a block differs from its file: run `python infra/checks/examples.py --write`")
    print("\n".join(faults), end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main("--write" in sys.argv[1:]))
