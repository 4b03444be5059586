"""Documents go to JSON and come back the same; what does not fit is refused in one line."""

import json
import math

import pytest
from pydantic import ValidationError

from edgeskin.document import Document, PartialDocument
from edgeskin.errors import InvalidResult


class Part(Document):
    name: str
    sqnr_db: float
    limit_db: float | None
    note: str | None = None


class Whole(Document):
    version: int = 1
    parts: tuple[Part, ...]


WHOLE = Whole(parts=(Part(name="stem", sqnr_db=math.inf, limit_db=None),))


def test_unknown_is_null_and_what_does_not_apply_is_left_out() -> None:
    assert WHOLE.to_json() == {
        "version": 1,
        "parts": [{"name": "stem", "sqnr_db": math.inf, "limit_db": None}],
    }


def test_json_comes_back_as_the_same_document() -> None:
    assert Whole.from_json(json.loads(json.dumps(WHOLE.to_json()))) == WHOLE
    assert Whole.from_json(json.dumps(WHOLE.to_json())) == WHOLE


def test_documents_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        WHOLE.version = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"version": 1}', "results.json does not fit Whole: parts: Field required"),
        ('{"parts": [], "partz": []}', "results.json does not fit Whole: partz: Extra inputs"),
        ('{"parts": [{"name": "stem"', "results.json is not JSON: "),
    ],
)
def test_what_does_not_fit_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(InvalidResult, match=f"^{message}"):
        Whole.from_json(text, where="results.json")


class Kept(PartialDocument):
    name: str
    speed: float | None = None
    warnings: tuple[str, ...] = ()


@pytest.mark.parametrize(
    "document",
    [{"name": "a"}, {"name": "a", "speed": None}, {"name": "a", "warnings": [], "newer": [1, 2]}],
)
def test_a_partial_document_is_written_as_it_was_read(document: dict[str, object]) -> None:
    assert Kept.from_json(document).to_json() == document
    assert Kept.from_json(document).model_copy(update={"speed": 2.0}).to_json() == {
        **document,
        "speed": 2.0,
    }
