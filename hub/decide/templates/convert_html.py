"""A program that compiles MJML to HTML and moves CSS into `style` attributes.

`python -P convert_html.py mjml|html PROCESSOR_MAX_S MEMORY_MAX_BYTES` reads the source from standard input, and writes
HTML to standard output. If the source is not valid, it writes the reason to standard error and exits with
`os.EX_DATAERR`.

Neither library limits its time or memory, and both keep the interpreter lock: 15 KB of CSS can take 20 s. So the hub
starts this file as a process of its own, with a low priority, and the operating system ends it at a limit. It starts
quickly, because it imports nothing of the hub.
"""

import os
import resource
import sys

import mrml
from css_inline import CSSInliner, InlineError

NICENESS = 5  # other processes of the machine go first
RESULT_MAX_CHARS = 1024 * 1024
_RENDER_OPTIONS = mrml.RenderOptions(fonts={})  # without the library's font from a server of somebody else


def set_limits(processor_max_s: int, memory_max_bytes: int) -> None:
    """Limit this process. macOS has no limit of memory: it refuses every value."""
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (processor_max_s, processor_max_s))
    if sys.platform != "darwin":
        resource.setrlimit(resource.RLIMIT_AS, (memory_max_bytes, memory_max_bytes))


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
    set_limits(int(sys.argv[2]), int(sys.argv[3]))
    try:
        result = convert(sys.stdin.buffer.read().decode(), mjml=sys.argv[1] == "mjml")
    except ValueError as error:
        sys.stderr.buffer.write(str(error).encode())
        sys.exit(os.EX_DATAERR)
    sys.stdout.buffer.write(result.encode())
