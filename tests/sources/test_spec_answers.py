"""What a person says of a model, as the command line writes it."""

from __future__ import annotations

import pytest

from edgeskin.errors import UnknownName
from edgeskin.sources.spec_answers import HeadAnswer, parse_head


@pytest.mark.parametrize(
    "text",
    [
        "age=distribution:years:0",
        "age=distribution:years:0:a",
        "age=distribution:years:nan:1",
        "age=distribution:years:0:1:2",
        "age=distribution:years:0:0",
        "age=regression:years:0",
    ],
)
def test_a_head_that_is_not_read(text: str) -> None:
    with pytest.raises(UnknownName, match=f"--head {text} is not read: .*:years:0:1"):
        parse_head(text)


def test_heads_that_are_read() -> None:
    assert parse_head("age=distribution:years") == HeadAnswer("age", "distribution", "years", 0, 1)
    assert parse_head("age=regression:years") == HeadAnswer("age", "regression", "years")
    assert parse_head("age") == HeadAnswer("age")
    assert parse_head("age=embedding") == HeadAnswer("age", "embedding")
