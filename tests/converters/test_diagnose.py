"""A mistake is named where it can be told from rounding, and not where it cannot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tiny_network import network, tiny_spec

from edgeskin.converters.parity.diagnose import explain
from edgeskin.converters.parity.reference import Model, of_network
from edgeskin.converters.selfcheck import images
from edgeskin.models import MEAN, STD
from edgeskin.spec import InputSpec

SIZE = InputSpec(height=40, width=48, resize="squash", mean=MEAN, std=STD)


def model(**changes: Any) -> Model:
    spec = tiny_spec(input=SIZE.model_copy(update=changes))
    return of_network(spec.name, spec, network("fp32"), "")


@pytest.mark.parametrize(
    ("made", "precision", "mistake"),
    [
        # 127 and 128 for 127.5: less than what an INT8 file rounds by, and plain in float.
        ({"mean": (0.5,) * 3, "std": (0.5,) * 3}, "int8", None),
        ({"mean": (0.5,) * 3, "std": (0.5,) * 3}, "fp32", "mean and std are those for values of"),
        ({"color_order": "BGR"}, "int8", "red and blue are swapped"),
        ({"color_order": "BGR"}, "fp32", "red and blue are swapped"),
    ],
)
def test_what_is_named(made: dict[str, Any], precision: str, mistake: str | None) -> None:
    pixels = np.stack(images(SIZE))
    outputs = model(**made).run_all(pixels)
    found = explain(model(), pixels, outputs, precision, floor_db=10.0)
    if mistake is None:
        assert found is None
    else:
        assert found is not None
        assert found.name.startswith(mistake)


def test_labels_in_another_order_are_named_in_int8() -> None:
    """That changes how the file's answers are read, not the reference's."""
    pixels = np.stack(images(SIZE))
    reference = model()
    outputs = dict(reference.run_all(pixels))
    head = reference.spec.heads[0]
    outputs[head.name] = outputs[head.name][..., [1, 2, 0]]
    found = explain(reference, pixels, outputs, "int8", floor_db=10.0)
    assert found is not None
    assert found.name.startswith(f"the classes of '{head.name}' come in another order")
