"""Templates: what they print, what they refuse, and that no template takes long or allocates much."""

import contextlib
import time
import tracemalloc
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.decide.templates import Syntax, TemplateError, liquid_rendering, parse

NOW = datetime(2026, 11, 29, 12, 30, tzinfo=UTC)
RENDER_BOUND_S = 0.2  # processor time
MEMORY_BOUND_BYTES = 32 * 1024 * 1024


def rendered(
    source: str,
    values: dict[str, Any] | None = None,
    syntax: Syntax = Syntax.TEXT,
    locale: str = "en",
    timezone: str = "UTC",
) -> str:
    return parse(source, syntax).render(values or {}, locale=locale, timezone=timezone, now=NOW)


def error(source: str, values: dict[str, Any] | None = None, syntax: Syntax = Syntax.TEXT) -> str:
    with pytest.raises(TemplateError) as caught:
        rendered(source, values, syntax)
    return str(caught.value)


@pytest.mark.parametrize(
    ("source", "values", "expected"),
    [
        ("Hello {{ user.name | upcase }}", {"user": {"name": "Ann"}}, "Hello ANN"),
        ("{% if a %}yes{% else %}no{% endif %}", {}, "no"),
        ("{{ a | default: 'none' }}", {}, "none"),
        ("{{ a }}", {"a": None}, ""),
        ("{{ a }} {{ b }} {{ c }}", {"a": True, "b": 1.5, "c": ["x", 2]}, "true 1.5 x2"),
        ("{% for i in (1..3) reversed %}{{ i }}{% endfor %}", {}, "321"),
        ("{% for x in l %}{% cycle 'odd', 'even' %} {% endfor %}", {"l": [1, 2, 3]}, "odd even odd "),
        ("{% for r in rows %}{{ r[2] }}{% endfor %}", {"rows": [[1, 2, 3]] * 900}, "3" * 900),
        ("{{ l | map: 'n' | join: ', ' }}", {"l": [{"n": "a"}, {"n": "b"}]}, "a, b"),
        ("{{ o | json }}", {"o": {"a": [1, None, "ü"]}}, '{"a": [1, null, "ü"]}'),
        ("{{ 'a b c' | split: ' ' | last }}", {}, "c"),
        ("{{ '<p>a &amp; b</p><script>c</script>' | strip_html }}", {}, "a & b"),
        ("{{ 3 | times: 4 | plus: 0.5 }}", {}, "12.5"),
        ("{{ 9223372036854775806 | plus: 1 }}", {}, "9223372036854775807"),
        ("{{ partial }} {{ now }}", {"partial": "p", "now": "n"}, "p n"),
        ("{% assign _hub_locale = 'de' %}{{ 1234.5 | decimal }}", {}, "1,234.5"),
    ],
)
def test_template_prints_as_liquid_does(source: str, values: dict[str, Any], expected: str) -> None:
    assert rendered(source, values) == expected


@pytest.mark.parametrize(
    ("source", "locale", "timezone", "expected"),
    [
        ("{{ '2026-12-24T23:30:00Z' | date: '%d.%m. %H:%M' }}", "de", "Europe/Berlin", "25.12. 00:30"),
        ("{{ '2026-12-24' | date: 'long' }}", "de-AT", "Pacific/Auckland", "24. Dezember 2026"),
        ("{{ 'now' | datetime: 'HH:mm' }}", "en", "Asia/Kolkata", "18:00"),
        ("{{ 1798135200 | datetime: 'short' }}", "de", "UTC", "24.12.26, 18:00"),
        ("{{ 1234.5 | currency: 'EUR' }}", "de", "UTC", "1.234,50\xa0€"),
        ("{{ '0.1' | money: 'JPY' }}", "en", "UTC", "¥0"),
        ("{{ 1234567 | decimal }}", "xx-unknown", "UTC", "1,234,567"),
    ],
)
def test_dates_and_numbers_are_formatted_for_the_recipient(
    source: str, locale: str, timezone: str, expected: str
) -> None:
    assert rendered(source, locale=locale, timezone=timezone) == expected


@pytest.mark.parametrize(
    ("source", "values", "expected"),
    [
        ("a\nb {{ user.plan }}", {"user": {}}, "line 2: user.plan has no value"),
        ("a\n{{ x | frobnicate }}", {}, "line 2: the filter `frobnicate` does not exist"),
        ("{% render 'a' %}", {}, "line 1: unexpected tag 'render'"),
        ("{% include 'a' %}", {}, "line 1: unexpected tag 'include'"),
        ("{% macro 'a' %}{% endmacro %}", {}, "line 1: unexpected tag 'macro'"),
        ("{% call 'a' %}", {}, "line 1: unexpected tag 'call'"),
        ("{% extends 'a' %}", {}, "line 1: unexpected tag 'extends'"),
        ("{% block a %}{% endblock %}", {}, "line 1: unexpected tag 'block'"),
        ("{{ o }}", {"o": {"a": 1}}, "line 1: an object cannot be printed: print one of its values, or use `json`"),
        ("{% cycle 'a', 'b' %}{% cycle o %}", {"o": {}}, "line 1: an object cannot be printed"),
        ("{{ 'soon' | date: '%d' }}", {}, "line 1: `soon` is not a date in ISO 8601"),
        ("{{ 5 | currency: 'euro' }}", {}, "line 1: `currency` requires an ISO 4217 code"),
        ("{{ 'x' | safe }}", {}, "line 1: the filter `safe` does not exist"),
        ("{% if %}", {}, "line 1: missing expression"),
        ("{{ 9223372036854775807 | plus: 1 }}", {}, "line 1: an integer does not fit into 64 bits"),
    ],
)
def test_template_error_names_the_line_and_the_reason(source: str, values: dict[str, Any], expected: str) -> None:
    assert error(source, values).startswith(expected)


def test_template_renders_20_000_nodes_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liquid_rendering, "RENDER_MAX_S", 60.0)
    assert rendered("{% for i in (1..100) %}" + "{{ i }}" * 190 + "{% endfor %}").startswith("1111")
    source = "{% for i in (1..100) %}" + "{{ i }}" * 201 + "{% endfor %}"
    assert error(source).endswith("the template renders more than 20000 nodes")


def test_values_are_escaped_for_the_syntax_of_the_template() -> None:
    source = "{{ x }}{% capture y %}<b>{{ x }}</b>{% endcapture %}{{ y }}{% cycle x %}"
    values = {"x": "<i>[a](javascript:b)*"}
    html, markdown = "&lt;i&gt;[a](javascript:b)*", r"\<i\>\[a\]\(javascript\:b\)\*"
    assert rendered(source, values) == f"{values['x']}<b>{values['x']}</b>{values['x']}"
    assert rendered(source, values, Syntax.HTML) == f"{html}<b>{html}</b>{html}"
    assert rendered(source, values, Syntax.MARKDOWN) == f"{markdown}<b>{markdown}</b>{markdown}"
    assert rendered("{{ x | safe }}", values, Syntax.HTML) == values["x"]


@pytest.mark.parametrize(
    ("source", "personal"),
    [
        ("{{ data.user }} {{ tenant.name }} {{ enriched.a }}", False),
        ("{{ name }}", False),
        ("/confirm?n={{ notification.id }}", True),
        ("{{ 'a' | append: user.name }}", True),
        ("{% for x in items %}{{ x }}{% endfor %}", True),
        ("{% if false %}{% assign user = 1 %}{% endif %}{{ user.name }}", True),
        ("{{ ['user'].name }}", True),
        ("{% assign n = 'user' %}{{ [n].name }}", True),
    ],
)
def test_template_that_reads_what_recipients_do_not_share_is_personal(source: str, personal: bool) -> None:
    assert parse(source).personal is personal


def test_template_says_whether_time_zone_or_locale_change_it() -> None:
    assert (parse("{{ a }}").uses_timezone, parse("{{ a }}").uses_locale) == (False, False)
    assert (parse("{{ a | date }}").uses_timezone, parse("{{ a | date }}").uses_locale) == (True, True)
    assert (parse("{{ a | decimal }}").uses_timezone, parse("{{ a | decimal }}").uses_locale) == (False, True)
    assert parse("{{ data.a.b }}{{ c }}").variables == ("c", "data.a.b")


DATA: dict[str, Any] = {
    "text": "x" * 60_000,
    "angles": "<" * 60_000,
    "objects": [{"n": n, "t": "y" * 50} for n in range(1000)],
    "nested": [{"x": {"y": list(range(1000))}}] * 2,
    "one": [1],
    "shared": [[list(range(1000))] * 1000] * 5,
}
HOSTILE = {
    "long range": "{% for i in (1..1000000000) %}x{% endfor %}",
    "range beyond 64 bits": "{% for i in (1..100000000000000000000000000000) %}x{% endfor %}",
    "reversed range": "{% for i in (1..3000000) reversed %}x{% endfor %}",
    "table of a range": "{% tablerow i in (1..3000000) %}x{% endtablerow %}",
    "joined range": "{{ (1..2000000) | join: '' | size }}",
    "assigned range": "{% assign r = (1..2000000) %}{{ r | reverse | size }}",
    "chained replace": "{{ 'xx' " + "| replace: 'x', 'xxxxxxxxxxxxxxxxxxxx'" * 8 + " }}",
    "replaced nothing": "{{ text | replace: '', text }}",
    "appended": "{% assign a = 'x' %}" + "{% assign a = a | append: a %}" * 40 + "{{ a }}",
    "captured": "{% assign a = 'xxxxxxxx' %}" + "{% capture a %}{{ a }}{{ a }}{% endcapture %}" * 40 + "{{ a }}",
    "a gigabyte": "{% for i in (1..999) %}{% for j in (1..20) %}" + "x" * 50_000 + "{% endfor %}{% endfor %}",
    "many loops": "{% for i in (1..999) %}{% endfor %}" * 40,
    "nested loops": "{% for i in (1..999) %}{% for j in (1..999) %}{{ j }}{% endfor %}{% endfor %}",
    "powers": "{% assign n = 1000000000 %}" + "{% assign n = n | times: n %}" * 22 + "{{ n }}",
    "large literal": "{{ " + "9" * 4000 + " | times: " + "9" * 4000 + " }}",
    "nested paths": "{{ " + "one[" * 500 + "0" + "]" * 500 + " }}",
    "long condition": "{% if " + " or ".join(["1==2"] * 7000) + " %}x{% endif %}",
    "too many filters": "{{ text " + "| upcase" * 6000 + " }}",
    "many strips": "{{ angles " + "| strip_html" * 990 + " }}",
    "unclosed tags": "{{" * 499 + "x" * 60_000,
    "many tags": "{{ 1 }}" * 9000,
    "deep blocks": "{% if true %}" * 900 + "{% endif %}" * 900,
    "shared arrays": "{% assign a = nested | map: 'x' %}"
    + "{% assign a = a | concat: a %}" * 9
    + "{{ a | map: 'y' | join }}",
    "joined arrays": "{{ shared | join | size }}",
    "reversed arrays": "{{ shared | reverse | size }}",
    "printed arrays": "{% for i in (1..1000) %}{{ objects }}{% endfor %}",
    "written objects": "{% for i in (1..1000) %}{% assign j = objects | json %}{% endfor %}",
    "compared objects": "{% for i in (1..1000) %}{{ objects | uniq | size }}{% endfor %}",
    "many names": "".join(f"{{% assign a{i} = text %}}" for i in range(495)),
    "wide format": "{{ 'now' | date: '" + "%9999999d" * 50 + "' }}",
    "split into letters": "{{ text | split: '' | size }}",
    "encoded": "{{ angles " + "| url_encode" * 20 + " }}",
}


def processor_time(source: str, syntax: Syntax) -> float:
    """Return the seconds of processor time that a template takes until it ends with a text or a TemplateError."""
    begun_at = time.thread_time()
    with contextlib.suppress(TemplateError):
        assert len(rendered(source, DATA, syntax)) <= 512 * 1024
    return time.thread_time() - begun_at


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("syntax", list(Syntax))
def test_hostile_template_is_stopped_in_bounded_time_and_memory(name: str, syntax: Syntax) -> None:
    rendered("{{ 1 }}")
    tracemalloc.start()
    try:
        with pytest.raises(TemplateError):
            rendered(HOSTILE[name], DATA, syntax)
        assert tracemalloc.get_traced_memory()[1] < MEMORY_BOUND_BYTES
    finally:
        tracemalloc.stop()
    assert min(processor_time(HOSTILE[name], syntax) for _ in range(3)) < RENDER_BOUND_S


EXPRESSIONS = st.sampled_from(
    ["text", "objects", "nested", "one", "1", "'a'", "(1..900)", "missing", "1.5", "nested[0]"]
)
FILTERS = st.sampled_from(
    [
        "append: text",
        "concat: objects",
        "replace: 'x', text",
        "join: text",
        "split: ''",
        "times: 9999999999",
        "map: 'x'",
        "sort",
        "uniq",
        "json",
        "date: '%Y'",
        "reverse",
        "url_encode",
        "size",
        "first",
        "sum",
        "round: 300",
        "truncate: 5",
        "slice: 0, 9",
        "default: text",
        "strip_html",
        "where: 'n'",
    ]
)
OUTPUTS = st.builds(
    lambda value, filters: "{{ " + " | ".join([value, *filters]) + " }}", EXPRESSIONS, st.lists(FILTERS, max_size=8)
)
BLOCKS = st.recursive(
    OUTPUTS,
    lambda inner: st.builds(
        lambda opening, body: opening[0] + "".join(body) + opening[1],
        st.sampled_from(
            [
                ("{% for i in (1..99) %}", "{% endfor %}"),
                ("{% for o in objects reversed %}", "{% endfor %}"),
                ("{% capture text %}", "{% endcapture %}"),
                ("{% if text contains 'y' %}", "{% endif %}"),
                ("{% assign objects = objects | concat: objects %}", ""),
            ]
        ),
        st.lists(inner, min_size=1, max_size=4),
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(source=BLOCKS, syntax=st.sampled_from(list(Syntax)))
def test_any_template_ends_in_bounded_time_with_a_text_or_a_template_error(source: str, syntax: Syntax) -> None:
    assert min(processor_time(source, syntax) for _ in range(2)) < RENDER_BOUND_S
