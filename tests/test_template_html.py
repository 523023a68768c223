"""HTML and MJML of templates: Liquid survives both parsers, and CSS ends up where email clients read it."""

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from hub.decide.templates import Syntax, TemplateError, compile_html, parse


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
