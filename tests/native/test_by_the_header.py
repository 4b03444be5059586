"""edgeskin.h says all: an implementation written from its text alone gives the core's bytes."""

import numpy as np
import pytest
from by_the_header import ByTheHeader
from golden_cases import FOLDER, Case, Runner, read
from golden_make import FILTERS, FORMATS, Writer, image, recipe, stored
from spec_table import fields, python

DATA = (FOLDER / "data.bin").read_bytes()
CASES = [case for case in read() if "status" not in case.expected]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.function}-{case.name}")
def test_the_golden_vectors(case: Case) -> None:
    if case.function == "recipe_from_spec":  # by edgeskin/spec.py
        spec = python(Runner(DATA).blob(case.given["text"]))
        assert spec is not None
        found = fields(spec)
    else:
        found = ByTheHeader(DATA).run(case.function, case.given)
    expected = {
        key: Runner(DATA).blob(word) if isinstance(found.get(key), bytes) else word
        for key, word in case.expected.items()
    }
    assert found == expected


def random_case(seed: int) -> tuple[bytes, Case]:
    """A picture of some 10,000 random pixels with any format, turn, crop, fit and filter."""
    rng = np.random.default_rng(seed)
    width, height, out_width, out_height = (int(x) for x in 2 * rng.integers(20, 90, 4))
    format_, turn = str(rng.choice(FORMATS)), int(rng.integers(1, 9))
    planes = stored(format_, rng.integers(0, 256, (height, width, 3), np.uint8))
    upright = (width, height) if turn <= 4 else (height, width)
    corners = rng.random((2, 2)) * [[0.4], [-0.4]] + [[0.0], [1.0]]  # left, top; right, bottom
    crop = tuple(float(np.float32(x)) for x in (corners * upright).reshape(-1))
    fit = str(rng.choice(["squash", "shortest_edge", "letterbox"]))
    more = {"resize_to": max(out_width, out_height) + 3} if fit == "shortest_edge" else {}
    filter_, channels = FILTERS[seed % len(FILTERS)], str(rng.choice(["rgb", "bgr", "grey"]))
    more |= {"fit": fit, "filter": filter_, "channels": channels, "crop": crop, "pad_value": 7}
    writer = Writer()
    arguments = image(format_, width, height, *planes, orientation=turn)
    arguments |= recipe(out_width, out_height, **more)
    words = {key: writer.word(value) for key, value in arguments.items()}
    return bytes(writer.data), Case("preprocess", f"random_{seed}", words, {})


@pytest.mark.parametrize("seed", range(60))
def test_random_pictures(seed: int) -> None:
    data, case = random_case(seed)
    found = ByTheHeader(data).run(case.function, case.given)
    assert found == Runner(data).run(case)
