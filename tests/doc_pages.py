"""README.md and the pages of docs/ whose examples the tests run."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def example_pages() -> list[Path]:
    """Return the pages whose `sh` blocks run as written, in one shell and in this order."""
    first = [ROOT / "README.md", DOCS / "getting-started.md"]
    folders = [sorted((DOCS / name).glob("*.md")) for name in ("guides", "frontend", "operations")]
    return [*first, *(page for pages in folders for page in pages), DOCS / "reference" / "commands.md"]


def text_of(*pages: Path) -> str:
    """Return the text of all pages as one."""
    return "\n".join(page.read_text() for page in pages)
