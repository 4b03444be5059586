import json
import re

import pytest
from samples import acne_spec

from edgeskin.errors import InvalidSpec
from edgeskin.spec import Spec, json_schema


def test_a_spec_survives_the_round_trip() -> None:
    spec = acne_spec()
    assert Spec.from_json(spec.to_json()) == spec
    assert spec.output_names("app") == ("severity", "count", "count_distribution")
    assert spec.output_names("tensor") == ("severity", "count")


def broken(path: str, value: object) -> str:
    document = json.loads(acne_spec().to_json())
    *parents, last = path.split(".")
    place = document
    for key in parents:
        place = place[int(key) if key.isdigit() else key]
    place[last] = value
    return json.dumps(document)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("version", 2, "version 2; this edgeskin reads up to 1. Upgrade"),
        ("input.std", [0.2, 0.0, 0.2], "input: .*std must be positive|std must be positive"),
        ("input.resize_to", 60, "resize_to of at least 64"),
        ("input.antialias", False, "antialias"),
        ("input.surprise", 1, "Extra inputs are not permitted"),
        ("heads", [], "at least 1 item"),
        ("heads.0.labels", ["only"], "labels of a softmax are at least 2, got 1"),
        ("heads.1.name", "severity", "same name"),
        ("heads.1.kind", "oracle", "oracle"),
        ("heads.1.ranges.upper", [5, 50, 20], "must increase"),
        ("heads.1.ranges.upper", [5, 20], "need 3 bounds, got 2"),
        ("name", "../escape", "String should match pattern"),
    ],
)
def test_a_wrong_field_is_named(path: str, value: object, message: str) -> None:
    with pytest.raises(InvalidSpec, match=message):
        Spec.from_json(broken(path, value), where="spec.json")


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", b"\xff\xfe", '"spec"'])
def test_what_is_no_spec_is_refused_in_one_line(text: str | bytes) -> None:
    with pytest.raises(InvalidSpec, match=re.escape("here")) as caught:
        Spec.from_json(text, where="here")
    assert "\n" not in str(caught.value)


def test_the_schema_names_every_field_of_a_real_spec() -> None:
    schema = json_schema()
    assert set(json.loads(acne_spec().to_json())) <= set(schema["properties"])
    assert schema["$schema"].endswith("2020-12/schema")


def test_a_softmax_classification_is_written_as_before_it_could_be_another() -> None:
    """So that cores and versions that know no activation there read it."""
    head = acne_spec().heads[0]
    assert json.loads(head.model_dump_json()) == {
        "name": "severity", "kind": "classification", "labels": list(head.labels)
    }  # fmt: skip
    several = head.model_copy(update={"activation": "sigmoid"})
    assert json.loads(several.model_dump_json())["activation"] == "sigmoid"
