"""The C reader of spec.json against pydantic's."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import acne_spec

from edgeskin.errors import InvalidSpec
from edgeskin.native import Recipe
from edgeskin.spec import InputSpec

SPEC = acne_spec()
GOOD = json.loads(SPEC.input.model_dump_json())


def test_a_whole_spec_is_read_as_pydantic_reads_it() -> None:
    for text in (SPEC.to_json(), SPEC.to_json(indent=2), SPEC.input.model_dump_json()):
        recipe = Recipe.from_json(text)
        expected = Recipe.from_spec(
            SPEC.input, type="float32", layout="nchw", mean=SPEC.input.mean, std=SPEC.input.std
        )
        assert recipe == expected


@settings(max_examples=500, deadline=None)
@given(
    st.tuples(*[st.floats(-1e6, 1e6)] * 3), st.tuples(*[st.floats(1e-6, 1e6)] * 3),
    st.sampled_from(["squash", "letterbox"]), st.sampled_from(["RGB", "BGR"]),
    st.integers(1, 8192), st.integers(0, 255),
)  # fmt: skip
def test_numbers_are_read_to_the_last_bit(mean, std, fit, order, side, pad) -> None:
    spec = InputSpec(
        height=side, width=7, resize=fit, mean=mean, std=std, color_order=order, pad_value=pad
    )
    recipe = Recipe.from_json(spec.model_dump_json())
    assert (recipe.mean, recipe.std) == (mean, std)
    assert (recipe.height, recipe.fit, recipe.pad_value) == (side, fit, pad)
    assert recipe.channels == order.lower()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, r"output is 0 x"),
        ({"height": 2.5}, r"input.height is no whole number"),
        ({"filter": "sinc"}, r"input.filter has an unknown value"),
        ({"mean": [0, 1]}, r"input.mean is not three numbers"),
        ({"std": [0, 1, 1]}, r"std\[0\] is 0"),
        ({"std": [1, 1, 1, 1]}, r"input.std is not three numbers"),
        ({"resize_to": 3}, r"resize_to is 3"),
    ],
)
def test_a_bad_spec_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(InvalidSpec, match=message):
        Recipe.from_json(json.dumps(GOOD | changes))


@pytest.mark.parametrize(
    "text", ["", "{", '{"input": }', "[1,", '{"a": "\\', "[" * 100, "nul\0", '{"x": 1} 2', '"\n"']
)
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(InvalidSpec, match="not JSON"):
        Recipe.from_json(text)


def test_a_newer_spec_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="version"):
        Recipe.from_json(json.dumps({"version": 2, "input": GOOD}))
