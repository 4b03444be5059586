"""Names from a spec: valid in each language, distinct, and texts that stay texts."""

from __future__ import annotations

import ast
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgeskin.bundles.words import (
    KEYWORDS,
    Language,
    Style,
    identifier,
    identifiers,
    in_comment,
    joined,
    quoted,
    words,
)

LANGUAGES: tuple[Language, ...] = ("kotlin", "swift", "cpp")
STYLES: tuple[Style, ...] = ("camel", "pascal", "snake", "upper")
VALID = {
    "camel": r"[a-z][A-Za-z0-9]*(_\d*)?",
    "pascal": r"[A-Z][A-Za-z0-9]*(_\d*)?",
    "snake": r"[a-z][a-z0-9]*(_[a-z0-9]+)*_?",
    "upper": r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*_?",
}
# Whatever a person may type, and what bites: keywords, scripts, digits, marks, what looks alike.
BITING = sorted(KEYWORDS["cpp"] | KEYWORDS["kotlin"] | KEYWORDS["swift"])
BITING += ["", " ", "0", "1st", "皮膚", "кожа", "ß", "Größe", "é", "a b", "a_b", "A-B", "a2", "a 2"]
TEXTS = st.lists(st.one_of(st.text(max_size=12), st.sampled_from(BITING)), max_size=12)


@given(TEXTS, st.sampled_from(STYLES), st.sampled_from(LANGUAGES))
def test_identifiers_are_valid_and_distinct(
    texts: list[str], style: Style, language: Language
) -> None:
    names = identifiers(texts, style, language)
    assert len(names) == len(texts)
    assert len(set(names)) == len(names)
    for name in names:
        assert re.fullmatch(VALID[style], name), name
        assert name not in KEYWORDS[language]


@given(TEXTS, st.sampled_from(STYLES), st.sampled_from(LANGUAGES))
def test_an_identifier_does_not_depend_on_those_behind_it(
    texts: list[str], style: Style, language: Language
) -> None:
    """So that a label that a new model adds renames none of the old."""
    names = identifiers(texts, style, language)
    for count in range(len(texts)):
        assert identifiers(texts[:count], style, language) == names[:count]


@pytest.mark.parametrize(
    ("text", "style", "language", "expected"),
    [
        ("class", "camel", "kotlin", "class_"),
        ("default", "camel", "cpp", "default_"),
        ("default", "camel", "kotlin", "default"),
        ("Größe der Läsion", "camel", "swift", "groesseDerLaesion"),
        ("œdème léger", "snake", "cpp", "oedeme_leger"),
        ("very severe", "pascal", "kotlin", "VerySevere"),
        ("very-severe", "upper", "cpp", "VERY_SEVERE"),
        ("HTTPServer2", "snake", "cpp", "http_server_2"),
        ("1 to 3", "camel", "swift", "label1To3"),
        ("> 50 %", "camel", "swift", "label50Percent"),
        ("皮膚", "camel", "kotlin", "label1"),
        ("", "pascal", "swift", "Label1"),
    ],
)
def test_names_are_as_a_person_would_write_them(
    text: str, style: Style, language: Language, expected: str
) -> None:
    assert identifier(text, style, language) == expected


def test_equal_names_are_numbered() -> None:
    assert identifiers(["no lesion", "No Lesion", "no-lesion"], "camel", "swift") == [
        "noLesion",
        "noLesion2",
        "noLesion3",
    ]
    assert identifiers(["a2", "a 2"], "snake", "cpp") == ["a_2", "a_2_2"]


def test_words_of_a_name() -> None:
    assert words("acneGrader v2_final") == ["acne", "Grader", "v", "2", "final"]
    assert joined("ACNE04 set", "pascal") == "Acne04Set"


@given(st.text())
def test_a_literal_of_c_is_the_text(text: str) -> None:
    """Read back by Python, whose bytes literals have C's escapes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return  # half a surrogate pair, which no spec holds
    literal = quoted(text, "cpp")
    raw = "b" + "".join(
        c if c.isascii() else "".join(f"\\x{b:02x}" for b in c.encode()) for c in literal
    )
    assert ast.literal_eval(raw).decode() == text


@given(st.text(), st.sampled_from(LANGUAGES))
def test_a_literal_ends_where_it_should(text: str, language: Language) -> None:
    inside = quoted(text, language)[1:-1]
    assert not re.search(r'(?<!\\)(\\\\)*"', inside)
    assert not inside.endswith("\\") or inside.endswith("\\\\")
    assert "\n" not in inside
    assert "\u202e" not in inside
    if language == "kotlin":
        assert not re.search(r"(?<!\\)(\\\\)*\$", inside)
    if language == "swift":
        assert not re.search(r"(?<!\\)(\\\\)*\\\(", inside)


@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from("*/\u200b\u202e\n"))))
@example("*\u200b/")
@example("/*/")
def test_a_comment_holds_its_text(text: str) -> None:
    line = in_comment(text)
    assert "*/" not in line
    assert "/*" not in line
    assert "\n" not in line
    assert not {"\u202e", "\u2066", "\0"} & set(line)
