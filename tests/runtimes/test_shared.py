"""A model that several threads share, and one that was closed: alike on every runtime."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tiny_network import network, tiny_job, tiny_spec

from edgeskin.errors import SessionClosed
from edgeskin.formats import FORMATS
from edgeskin.predictor import Predictor, load
from edgeskin.runtimes.pytorch import TorchSession, batch_of

pytestmark = pytest.mark.slow
KINDS = ["tflite", "onnx", "coreml", "pytorch"]


@pytest.fixture(scope="module", params=KINDS)
def predictor(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Predictor:
    if request.param == "pytorch":
        return Predictor(tiny_spec(), TorchSession(tiny_spec(), network("fp32")), "app")
    target = FORMATS[request.param]
    path = tmp_path_factory.mktemp("shared") / f"tiny{target.suffix}"
    target.convert(tiny_job("fp32"), path)
    return load(path)


def test_threads_share_a_model(predictor: Predictor) -> None:
    size = predictor.spec.input
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (8, size.height, size.width, 3), np.uint8)
    expected = [predictor.run(image) for image in pixels]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(predictor.run, [*pixels] * 10))
    for i, outputs in enumerate(found):
        for name, values in outputs.items():
            np.testing.assert_array_equal(values, expected[i % len(pixels)][name])


def test_closing_waits_for_the_run_and_is_said(predictor: Predictor) -> None:
    """The last test of a model: it is closed while another thread runs it."""
    size = predictor.spec.input
    image = np.zeros((size.height, size.width, 3), np.uint8)
    errors: list[BaseException] = []
    started = threading.Event()

    def work() -> None:
        try:
            while True:
                predictor.run(image)
                started.set()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert started.wait(30)
    predictor.close()
    thread.join(30)
    assert [type(error) for error in errors] == [SessionClosed]
    predictor.close()  # a second time does no harm
    with pytest.raises(SessionClosed, match="was closed"):
        predictor.predict(image)


def test_large_images_run_in_small_batches() -> None:
    assert [batch_of(size, size) for size in (32, 224, 448, 1024, 4096)] == [32, 32, 8, 1, 1]
