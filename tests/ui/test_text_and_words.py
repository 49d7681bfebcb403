"""Text of data stays inert in every component, and numbers read as people write them."""

import html
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_studio.ui import text, words

HOSTILE = '<img src=x onerror="alert(1)"> *a* _b_ `c` [d](http://e) # f -- (c) ... "q" \'r\' ~~s~~ |t| &amp; $x$ :y:'


def visible(markdown: str) -> str:
    """What a reader sees of Markdown in Wave: HTML allowed, links found, quotes and dashes made typographic."""
    library = pytest.importorskip("markdown_it")
    parser = library.MarkdownIt("default", {"html": True, "linkify": False, "typographer": True, "breaks": False})
    rendered = parser.enable(["replacements", "smartquotes"]).render(markdown)
    assert not re.search(r"<(?!/?p>|br ?/?>)", rendered), rendered
    return html.unescape(re.sub(r"<[^>]*>", "", rendered)).strip("\n")


def test_plain_text_shows_exactly_its_characters() -> None:
    assert visible(text.plain(HOSTILE)) == HOSTILE


@settings(max_examples=400, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp", "Zs")) | st.just(" "), min_size=1))
def test_plain_text_is_inert_whatever_it_holds(words_: str) -> None:
    one_line = " ".join(words_.split())
    assert visible(text.plain(one_line)) == one_line


@given(st.text())
def test_a_models_markdown_holds_no_tag_outside_code(words_: str) -> None:
    outside = "".join(re.split(r"```.*?(?:```|\Z)|`[^`\n]*`", text.markdown(words_), flags=re.DOTALL))
    assert "<" not in outside


@given(st.text())
def test_markup_holds_no_tag_and_no_quote(words_: str) -> None:
    safe = text.markup(words_)
    assert not set("<>\"'") & set(safe) and html.unescape(safe) == html.unescape(html.escape(words_))


def test_links_lead_into_the_studio_only() -> None:
    assert text.link("<b>", "#home") == '<a href="#home">&lt;b&gt;</a>'
    for address in ("javascript:alert(1)", "http://evil.example", "//evil.example", "data:text/html,x"):
        with pytest.raises(ValueError, match="not an address of the studio"):
            text.link("x", address)


def test_cells_are_one_line_and_not_longer_than_asked() -> None:
    assert text.cell("a\n\tb   c") == "a b c"
    assert text.cell("x" * 500) == "x" * 399 + "…"


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        (words.count(12473), "12,473"), (words.count(None), "–"), (words.short_count(7241732096), "7.24 B"),
        (words.short_count(9999), "9,999"), (words.short_count(12500), "12.5 k"), (words.size(3200000000), "3.2 GB"),
        (words.size(999), "999 B"), (words.size(0), "0 B"), (words.size(1500), "1.5 kB"), (words.size(2e12), "2 TB"),
        (words.duration(7500), "2 h 05 min"), (words.duration(65), "1 min 05 s"), (words.duration(4.2), "4 s"),
        (words.duration(90000), "1 d 1 h"), (words.duration(float("nan")), "–"), (words.about(170), "about 3 min"),
        (words.about(5), "a few seconds"), (words.about(32), "about 30 s"), (words.about(None), ""),
        (words.about(9000), "about 2.5 h"), (words.score(1.28437), "1.284"), (words.score(2e-4), "0.0002"),
        (words.score(float("inf")), "–"), (words.percent(0.423), "42 %"), (words.plural(1, "row"), "1 row"),
        (words.plural(3, "row"), "3 rows"), (words.plural(2, "entry", "entries"), "2 entries"),
        (words.ago(100, 120), "just now"), (words.ago(0, 300), "5 min ago"), (words.ago(0, 7200), "2 h ago"),
        (words.ago(0, 86400), "1 day ago"), (words.ago(None), "–"),
    ],
)  # fmt: skip
def test_numbers_read_as_people_write_them(shown: str, wanted: str) -> None:
    assert shown == wanted


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_no_number_breaks_the_words(number: float) -> None:
    for function in (words.duration, words.about, words.score, words.percent):
        assert isinstance(function(number), str)


@given(st.floats(0, 1e18))
def test_a_size_never_shows_an_exponent(number: float) -> None:
    assert "e" not in words.size(number).lower()


def test_moments_are_exact() -> None:
    assert re.fullmatch(r"\d{1,2} \w+ \d{4}, \d\d:\d\d:\d\d", words.moment(time.time()))
