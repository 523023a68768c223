"""HTML and MJML of templates: Liquid survives both parsers, and CSS ends up where email clients read it."""

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hub.decide.templates import Syntax, TemplateError, compile_html, email_html_compiler, parse
from hub.errors import Unavailable


def rendered(source: str, **values: Any) -> str:
    template = parse(compile_html(source), Syntax.HTML)
    return template.render(values, locale="en", timezone="UTC", now=datetime(2026, 11, 29, tzinfo=UTC))


def test_loop_around_table_rows_keeps_every_row() -> None:
    source = "<table>{% for r in rows %}<tr><td>{{ r }}</td></tr>{% endfor %}</table>"
    rows = "".join(f"<tr><td>{n}</td></tr>" for n in range(3))
    assert f"<table><tbody>{rows}</tbody></table>" in rendered(source, rows=[0, 1, 2])


def test_liquid_inside_tags_keeps_its_quotes_and_comparisons() -> None:
    source = (
        """<a href="{{ u | default: "/x" }}?a={{ n }}" {% if n < 2 %}class="one"{% endif %} {{ 'hidden' }}>"""
        """it's {% if n < 2 %}"few"{% endif %}</a>"""
    )
    assert '<a href="/x?a=1" class="one"  hidden>it\'s "few"</a>' in rendered(source, n=1)
    assert '<a href="/&lt;&#34;?a=2"  hidden>it\'s </a>' in rendered(source, n=2, u='/<"')


def test_styles_are_inlined_and_at_rules_stay() -> None:
    source = (
        "<style>.a { color: {{ color }} } @media (prefers-color-scheme: dark) { .a { color: white } }</style>"
        "<title>{% if color %}{{ color }}{% endif %}</title><p class=a>x</p>"
    )
    html = rendered(source, color="red")
    assert '<p class="a" style="color: red;">x</p>' in html
    assert "<title>red</title>" in html
    assert "@media (prefers-color-scheme: dark)" in html


def test_mjml_with_loops_around_sections_columns_and_rows_has_every_value() -> None:
    source = """<mjml><mj-head><mj-title>{{ title }}</mj-title></mj-head><mj-body>
        {% for s in n %}<mj-section><mj-column>{% if s > 1 %}<mj-text>text {{ s }}</mj-text>{% endif %}
        <mj-button href="{{ u }}/{{ s }}">Go</mj-button>
        <mj-table>{% for r in n %}<tr><td>row {{ s }}{{ r }}</td></tr>{% endfor %}</mj-table>
        </mj-column></mj-section>{% endfor %}</mj-body></mjml>"""
    html = rendered(source, n=[1, 2, 3], title="<b>", u="https://acme.example/?a&b")
    assert [f"row {s}{r}" in html for s in (1, 2, 3) for r in (1, 2, 3)] == [True] * 9
    assert [f"text {s}" in html for s in (1, 2, 3)] == [False, True, True]
    assert 'href="https://acme.example/?a&amp;b/3"' in html
    assert "<title>&lt;b&gt;</title>" in html
    assert "googleapis" not in html


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("<mjml><mj-body><mj-section></mj-body></mjml>", "the MJML is not valid"),
        ("<div>" * 20_000, "line 1: the HTML has more than 200 nested or unclosed elements"),
        ("<mjml><mj-body>\n" + "<mj-wrapper>" * 300, "line 2: the HTML has more than 200 nested or unclosed elements"),
        (
            "<mjml><mj-body><!--" + "</b>" * 3_200 + "-->" + "<mj-section>" * 3_200,
            "line 1: the HTML has more than 200 nested or unclosed elements",
        ),
        ("<div></b>" * 4_900, "line 1: the HTML has more than 200 nested or unclosed elements"),
        ("<div/>" * 9_000, "line 1: the HTML has more than 200 nested or unclosed elements"),
        ("<br>" * 10_001, "the HTML has more than 10000 elements"),
        ("<style>" * 300 + "x" * 200_000, "line 1: the HTML has more than 200 nested or unclosed elements"),
        ("{{" * 499 + "x" * 200_000, "line 1: `{{` is not closed"),
        ("\n{{ '" + "x" * 5_000 + "' }}", "line 2: a tag is longer than 4000 characters"),
        ("<mjml><mj-body><mj-include path='/etc/passwd' /></mj-body></mjml>", "`mj-include` is not supported"),
        (
            "<mjml><mj-head>\n{% if x %}<mj-title>x</mj-title>{% endif %}</mj-head><mj-body></mj-body></mjml>",
            "line 2: `{% if x %}` stands where HTML has no place for it",
        ),
    ],
)
def test_html_that_cannot_be_compiled_is_refused_with_its_reason(source: str, reason: str) -> None:
    with pytest.raises(TemplateError) as caught:
        compile_html(source)
    assert str(caught.value).startswith(reason)


def test_html_that_looks_like_a_placeholder_stays() -> None:
    assert "<p>liquid7x liquidq0x 1</p>" in rendered("<p>liquid7x liquidq0x {{ 1 }}</p>")


def test_html_full_of_words_like_placeholders_is_compiled_quickly() -> None:
    word = "liquid" + "q" * 32_000

    def render_s() -> float:
        begun_at = time.thread_time()
        assert word in rendered(f"<p>{word} {{{{ 1 }}}}</p>")
        return time.thread_time() - begun_at

    assert min(render_s() for _ in range(3)) < 0.5


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no limit of memory")
def test_html_that_needs_more_memory_than_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(email_html_compiler, "MEMORY_MAX_BYTES", 1024 * 1024)
    with pytest.raises(TemplateError, match="compiling the HTML takes more than"):
        compile_html("<p>" + "x" * 250_000 + "</p>")


def test_html_that_becomes_too_long_is_refused() -> None:
    source = f"<style>p {{ color: {'x' * 500} }}</style>" + "<p></p>" * 3_000
    with pytest.raises(TemplateError, match="the compiled HTML has more than 1048576 characters"):
        compile_html(source)


def test_compiler_that_the_machine_or_a_signal_stops_is_not_an_error_of_the_html(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stopped = tmp_path / "stopped.py"
    stopped.write_text("import os, signal; os.kill(os.getpid(), signal.SIGTERM)")
    with monkeypatch.context() as changed:
        changed.setattr(email_html_compiler, "_CONVERTER", stopped)
        with pytest.raises(Unavailable, match="the hub is stopping"):
            compile_html("<p></p>")
    monkeypatch.setattr(email_html_compiler, "CONVERT_TIMEOUT_S", 0.0)
    with pytest.raises(Unavailable, match="the machine is busy"):
        compile_html("<p></p>")


def test_compiler_has_a_low_priority_and_no_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HUB_JWT_SECRET", "secret")
    converter = email_html_compiler._CONVERTER
    probe = tmp_path / "probe.py"
    probe.write_text(
        "import os, runpy\n"
        f"runpy.run_path({str(converter)!r}, run_name='__main__')\n"
        "print(os.nice(0), sorted(name for name in os.environ if name.startswith('HUB_')), end='')\n"
    )
    monkeypatch.setattr(email_html_compiler, "_CONVERTER", probe)
    assert compile_html("<p>a</p>").endswith(f">{min(os.nice(0) + 5, 19)} []")
