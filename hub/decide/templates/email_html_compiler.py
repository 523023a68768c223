"""Compile the HTML of a template: MJML becomes HTML, and CSS is moved into `style` attributes.

Both parsers would move, cut or escape Liquid: a loop around table rows is lost, quotes in an attribute end it. So each
tag and output of Liquid is replaced by a placeholder before, and put back after: a comment between elements, and a
word inside a tag or in an element that has text only.

The parsers run in a process of their own, which ends at a limit of time and memory (see `convert_html`).
"""

import os
import re
import signal
import subprocess
import sys
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path

from hub.decide.templates.errors import TemplateError
from hub.decide.templates.source_limits import HTML_SOURCE_MAX_LENGTH, check_html, check_source
from hub.errors import Unavailable

PROCESSOR_MAX_S = 1
MEMORY_MAX_BYTES = 512 * 1024 * 1024
CONVERT_TIMEOUT_S = 15.0  # of waiting; the limit of processor time is much lower
TOO_EXPENSIVE = (
    f"compiling the HTML takes more than {PROCESSOR_MAX_S} s of processor time or {MEMORY_MAX_BYTES >> 20} MiB. "
    "Shorten the style sheets, or write `style` attributes"
)

_CONVERTER = Path(__file__).with_name("convert_html.py")  # not imported: its libraries take 10 MiB
_AT_A_LIMIT = {-signal.SIGKILL, -signal.SIGXCPU, -signal.SIGABRT}
_STOPPED = {-signal.SIGINT, -signal.SIGTERM}  # with the hub

_LIQUID = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_MARKUP = re.compile(r"<!--|-->|<(?=[a-zA-Z/!])|>|\{\{.*?\}\}|\{%.*?%\}|[\"']", re.DOTALL)
_TEXT_ONLY = re.compile(r"<(/?)(title|style|textarea|mj-title|mj-preview|mj-style)\b", re.IGNORECASE)
_INCLUDE = re.compile(r"<mj-include\b", re.IGNORECASE)


def is_mjml(source: str) -> bool:
    """Return True if the source is MJML, not HTML."""
    return source.lstrip()[:5].lower() == "<mjml"


def compile_html(source: str) -> str:
    """Return Liquid whose HTML is ready for email clients. The call waits for another process.

    Raises:
        TemplateError: the MJML is not valid, Liquid stands where HTML allows neither text nor a comment, or compiling
            exceeds a limit.
        Unavailable: the machine is too busy, or the hub is stopping.
    """
    check_source(source, HTML_SOURCE_MAX_LENGTH)
    check_html(source)
    if is_mjml(source) and _INCLUDE.search(source):
        raise TemplateError("`mj-include` is not supported")
    word = "liquid" + "q" * (1 + max(map(len, re.findall("liquid(q*)", source.lower())), default=-1))
    liquid: list[tuple[str, int]] = []
    compiled = _convert("".join(_with_placeholders(source, word, liquid)), mjml=is_mjml(source))
    # A loop around rows is a comment before the `tbody` that the parser adds, and has to stand in it.
    compiled = re.sub(rf"(<table\b[^<>]*>)((?:\s*<!--{word}\d+x-->)+)\s*(<tbody>)", r"\1\3\2", compiled)
    placeholder = re.compile(rf'<!--{word}(\d+)x-->|{word}(\d+)x(?:="")?')
    kept = {int(comment or attribute) for comment, attribute in placeholder.findall(compiled)}
    for number, (text, line) in enumerate(liquid):
        if number not in kept:
            raise TemplateError(f"`{text[:60]}` stands where HTML has no place for it", line)
    return placeholder.sub(lambda match: liquid[int(match[1] or match[2])][0], compiled)


def _convert(source: str, *, mjml: bool) -> str:
    """Compile a source without Liquid in another process. Raise TemplateError or Unavailable."""
    language = "mjml" if mjml else "html"
    command = [sys.executable, "-P", str(_CONVERTER), language, str(PROCESSOR_MAX_S), str(MEMORY_MAX_BYTES)]
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}  # without the secrets of the hub
    try:
        done = subprocess.run(  # noqa: S603 - this program
            command,
            input=source.encode(),
            capture_output=True,
            check=False,
            env=environment,
            timeout=CONVERT_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable("The HTML was not compiled in time, because the machine is busy. Try again.") from None
    if done.returncode == os.EX_DATAERR:
        raise TemplateError(done.stderr.decode())
    if done.returncode in _AT_A_LIMIT or b"MemoryError" in done.stderr:
        raise TemplateError(TOO_EXPENSIVE)
    if done.returncode in _STOPPED:
        raise Unavailable("The HTML was not compiled, because the hub is stopping. Try again.")
    if b"PanicException" in done.stderr:
        raise TemplateError(f"the {language.upper()} is not valid")
    if done.returncode:
        raise RuntimeError(
            f"The HTML compiler ended with {done.returncode}: {done.stderr.decode(errors='replace')[-1000:]}"
        )
    return done.stdout.decode()


def _with_placeholders(source: str, word: str, liquid: list[tuple[str, int]]) -> Iterator[str]:
    """Yield the source with placeholders, and add what they stand for to `liquid`, with its line."""
    text_only = _text_only(source)
    in_tag, quote, in_comment = False, "", False
    end = 0
    for match in _MARKUP.finditer(source):
        found = match[0]
        if _LIQUID.fullmatch(found):
            name = f"{word}{len(liquid)}x"
            start = match.start()
            as_word = in_tag or in_comment or found.startswith("{{") or bisect_right(text_only, start) % 2 == 1
            yield source[end:start]
            yield name if as_word else f"<!--{name}-->"
            liquid.append((found, source.count("\n", 0, start) + 1))
            end = match.end()
        elif in_comment:
            in_comment = found != "-->"
        elif quote:
            quote = "" if found == quote else quote
        elif found == "<!--":
            in_comment = True
        elif found in {'"', "'"}:
            quote = found if in_tag else ""
        else:
            in_tag = found == "<"
    yield source[end:]


def _text_only(source: str) -> list[int]:
    """Return where elements that contain only text start and end, in turn."""
    found: list[int] = []
    start = name = None
    for match in _TEXT_ONLY.finditer(source):
        if name is None and not match[1]:
            start, name = match.start(), match[2].lower()
        elif start is not None and match[1] and match[2].lower() == name:
            found += [start, match.end()]
            start = name = None
    return found
