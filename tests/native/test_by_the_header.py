"""edgeskin.h says all: an implementation written from its text alone gives the core's bytes."""

import numpy as np
import pytest
from by_the_header import ByTheHeader
from golden_cases import FOLDER, Case, Runner, read
from golden_make import FILTERS, FORMATS, Writer, image, recipe, selection, stored
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


def masked(seed: int, data: bytes, case: Case) -> tuple[bytes, Case]:
    """The case behind a mask of tiles, noise or both, with any values kept and any fill."""
    rng = np.random.default_rng([seed, 1])
    height, width = (int(case.given[f"image.{side}"]) for side in ("height", "width"))
    tile, values = int(rng.integers(1, 30)), rng.choice(256, int(rng.integers(2, 6)), False)
    mask = rng.choice(values, (height // tile + 1, width // tile + 1)).astype(np.uint8)
    mask = np.ascontiguousarray(mask.repeat(tile, 0).repeat(tile, 1)[:height, :width])
    spots = rng.random(mask.shape) < rng.choice([0.0, 0.02, 0.5])
    mask[spots] = rng.choice(values, int(spots.sum()))
    kept = [int(x) for x in rng.choice(values, int(rng.integers(1, len(values))), False)]
    fill = [int(x) for x in rng.integers(0, 256, 3)]
    writer = Writer()
    writer.data += data
    words = {key: writer.word(x) for key, x in selection(mask, keep=kept, fill=fill).items()}
    return bytes(writer.data), Case("preprocess_masked", case.name, case.given | words, {})


@pytest.mark.parametrize("seed", range(60))
def test_random_pictures(seed: int) -> None:
    data, case = random_case(seed)
    found = ByTheHeader(data).run(case.function, case.given)
    assert found == Runner(data).run(case)


@pytest.mark.usefixtures("each_code_path")
@pytest.mark.parametrize("seed", range(60))
def test_random_pictures_behind_a_mask(seed: int) -> None:
    plain = random_case(seed)
    data, case = masked(seed, *plain)
    found = ByTheHeader(data).run(case.function, case.given)
    assert found == Runner(data).run(case)
    assert found != Runner(plain[0]).run(plain[1])  # the mask took something away
