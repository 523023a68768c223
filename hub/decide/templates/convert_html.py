"""A program that compiles MJML to HTML and moves CSS into `style` attributes: `python -P convert_html.py mjml|html`.

It reads the source from standard input, and writes HTML to standard output. If the source is not valid, it writes the
reason to standard error and exits with INVALID.

Neither library limits its time or memory, and both keep the interpreter lock: 15 KB of CSS can take 20 s. So the hub
starts this file as a process of its own, with a low priority, and the operating system ends it at a limit. It starts
quickly, because it imports nothing of the hub.
"""

import os
import resource
import sys

import mrml
from css_inline import CSSInliner, InlineError

PROCESSOR_MAX_S = 1
MEMORY_MAX_BYTES = 512 * 1024 * 1024
NICENESS = 5  # other processes of the machine go first
RESULT_MAX_CHARS = 1024 * 1024
INVALID = 3
_RENDER_OPTIONS = mrml.RenderOptions(fonts={})  # without the library's font from a server of somebody else


def set_limits() -> None:
    """Limit this process."""
    os.nice(NICENESS)
    for name, limit in (
        (resource.RLIMIT_CPU, PROCESSOR_MAX_S),
        (resource.RLIMIT_AS, MEMORY_MAX_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(name, (limit, limit))


def convert(source: str, *, mjml: bool) -> str:
    """Return HTML for email clients. Raise ValueError if the source is not valid."""
    if mjml:
        try:
            source = mrml.to_html(source, render_options=_RENDER_OPTIONS).content
        except OSError as error:
            raise ValueError(f"the MJML is not valid: {error}") from error
    try:
        html = CSSInliner(load_remote_stylesheets=False, keep_at_rules=True).inline(source)
    except (InlineError, ValueError) as error:
        raise ValueError(f"the HTML is not valid: {error}") from error
    if len(html) > RESULT_MAX_CHARS:
        raise ValueError(f"the compiled HTML has more than {RESULT_MAX_CHARS} characters")
    return html


if __name__ == "__main__":
    set_limits()
    try:
        result = convert(sys.stdin.buffer.read().decode(), mjml=sys.argv[1] == "mjml")
    except ValueError as error:
        sys.stderr.buffer.write(str(error).encode())
        sys.exit(INVALID)
    sys.stdout.buffer.write(result.encode())
