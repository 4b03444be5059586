"""One spec, one verdict: the readers in C and Python on the table specs.json, and on any text."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import acne_spec
from spec_table import Row, python, rows

from edgeskin.errors import InvalidSpec
from edgeskin.native import Recipe
from edgeskin.spec import InputSpec

ROWS = rows()
SPEC = acne_spec()
GOOD = json.loads(ROWS[0].text)
EXAMPLES = int(os.environ.get("EDGESKIN_SPEC_EXAMPLES", 600))  # docs/decisions/0010: 300,000


def core(text: bytes) -> Recipe | None:
    """The recipe as C reads it; None where it refuses the text."""
    try:
        return Recipe.from_json(text)
    except InvalidSpec:
        return None


def as_recipe(spec: InputSpec) -> Recipe:
    return Recipe.from_spec(
        spec,
        type="float32",
        layout="nchw",
        channels=spec.color_order.lower(),
        mean=spec.mean,
        std=spec.std,
    )


def agree(text: bytes) -> bool:
    """Both read the same, or both refuse; whether they read it."""
    spec, recipe = python(text), core(text)
    assert (None if spec is None else as_recipe(spec)) == recipe, text
    return spec is not None


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_both_give_the_verdict_of_the_table(row: Row) -> None:
    assert agree(row.text) is row.good


def test_a_whole_spec_is_read_however_it_is_laid_out() -> None:
    for text in (SPEC.to_json(), SPEC.to_json(indent=2), SPEC.input.model_dump_json()):
        assert agree(text.encode())


@settings(max_examples=500, deadline=None)
@given(
    st.tuples(*[st.floats(-4, 4)] * 3), st.tuples(*[st.floats(0, 4, exclude_min=True)] * 3),
    st.sampled_from(["squash", "letterbox"]), st.sampled_from(["RGB", "BGR"]),
    st.integers(1, 8192), st.integers(0, 255),
)  # fmt: skip
def test_numbers_are_read_to_the_last_bit(mean, std, fit, order, side, pad) -> None:
    spec = InputSpec(
        height=side, width=7, resize=fit, mean=mean, std=std, color_order=order, pad_value=pad
    )
    assert core(spec.model_dump_json().encode()) == as_recipe(spec)


# What values and texts are changed to: near misses of every rule, then anything.
WORDS = [
    "0",
    "-0",
    "1",
    "1.0",
    "1e0",
    "64",
    "65",
    "255",
    "256",
    "8192",
    "8193",
    "0.5",
    "4.0001",
    "1e400",
    "01",
    ".5",
    "5.",
    "+1",
    "-",
    "NaN",
    "true",
    "True",
    "null",
    "nul",
    '"1"',
    '""',
    "[]",
    "{}",
    "[1,2,3]",
    '"RGB"',
    'squash"',
    '"mild',
    '"a\\u0062"',
    '"\\ud800"',
    '"count_distribution"',
]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["labels", "name", "height", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(document: object) -> list[tuple[dict | list, str | int]]:
    """Every (container, key) of a document."""
    if not isinstance(document, dict | list):
        return []
    keys = list(document) if isinstance(document, dict) else range(len(document))
    inner = (place for key in keys for place in places(document[key]))
    return [(document, key) for key in keys] + list(inner)


@st.composite
def changed_values(draw: st.DrawFn) -> bytes:
    """A spec, or an input, in which up to three values are left out, moved or other ones."""
    document = json.loads(json.dumps(draw(st.sampled_from([GOOD, GOOD["input"]]))))
    for _ in range(draw(st.integers(1, 3))):
        container, key = draw(st.sampled_from(places(document)))
        match draw(st.sampled_from(["leave out", "copy", "change"])):
            case "leave out" if len(places(document)) > 1:
                del container[key]
            case "copy":
                container[key] = draw(st.sampled_from(places(document)))[1]
            case _:
                container[key] = draw(values)
    return json.dumps(document, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")


@st.composite
def changed_texts(draw: st.DrawFn) -> bytes:
    """A row of the table in which up to three stretches of bytes are replaced."""
    text = draw(st.sampled_from(ROWS)).text
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = start + draw(st.sampled_from([0, 0, 1, 1, 2, 5, 20]))
        word = st.sampled_from(WORDS).map(str.encode) | st.binary(max_size=3)
        text = text[:start] + draw(word) + text[end:]
    return text


@settings(max_examples=EXAMPLES, deadline=None)
@given(changed_values() | changed_texts())
def test_both_agree_on_any_text(text: bytes) -> None:
    agree(text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, "input.width is no whole number from 1 to 8192"),
        ({"height": 2.5}, "input.height is no whole number from 1 to 8192"),
        ({"filter": "hamming"}, "input.filter has an unknown value"),
        ({"mean": [0, 1]}, "input.mean is not three numbers"),
        ({"std": [0, 1, 1]}, r"std\[0\] is 0"),
        ({"mean": [123.675, 116.28, 103.53]}, "input.mean looks like the 0 to 255 scale"),
        ({"resize_to": 3}, "resize_to is 3, must be 224"),
        ({"padding\n": 3}, r"input.padding\? is a field that this version does not know"),
    ],
)
def test_a_refusal_by_c_names_the_field(changes: dict, message: str) -> None:
    with pytest.raises(InvalidSpec, match=message):
        Recipe.from_json(json.dumps(GOOD["input"] | changes))


@pytest.mark.parametrize(
    "text", ["", "{", '{"input": }', "[1,", '{"a": "\\', "[" * 100, "nul\0", '{"x": 1} 2', '"\n"']
)
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(InvalidSpec, match="not JSON from byte"):
        Recipe.from_json(text)


def test_a_newer_spec_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="version is another than 1"):
        Recipe.from_json(json.dumps(GOOD | {"version": 2}))
