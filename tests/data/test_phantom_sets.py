"""All kinds of phantom sets: the same bytes everywhere, tables that tasks can train on."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phantom_tables import rows_of

from edgeskin.data.manifest import load_split
from edgeskin.data.phantom_dermoscopy import render_dermoscopy
from edgeskin.data.phantom_faces import render_face
from edgeskin.data.phantom_longshots import render_longshot
from edgeskin.data.phantom_sets import SETS, find_set
from edgeskin.data.phantom_ultrasound import render_ultrasound
from edgeskin.errors import CannotWrite, InvalidData, UnknownName
from edgeskin.models import MEAN, STD
from edgeskin.spec import InputSpec, Spec
from edgeskin.tasks import find_task

RENDER: dict[str, Any] = {
    "face": render_face,
    "dermoscopy": render_dermoscopy,
    "longshot": render_longshot,
    "ultrasound": render_ultrasound,
}


def digest(kind: str, seed: int, size: int) -> str:
    """Of pixels and mask."""
    phantom = RENDER[kind](seed, size=size)
    return hashlib.sha256(phantom.image.tobytes() + phantom.mask.tobytes()).hexdigest()[:16]


# What changes one of these changes every set that was written before: say so in the changelog.
DIGESTS: dict[tuple[str, int, int], str] = {
    ("face", 0, 256): "080dcd7deb85496b",
    ("face", 12345, 128): "817f38d9ea41eafa",
    ("dermoscopy", 0, 256): "3df0ac37e24508cf",
    ("dermoscopy", 12345, 128): "99471ee9769f94ad",
    ("longshot", 0, 256): "5ff4b189f5b29730",
    ("longshot", 12345, 128): "c9e311b5a42a3432",
    ("ultrasound", 0, 256): "2e48f62a31e89f47",
    ("ultrasound", 12345, 128): "3f89104bda948b55",
}


@pytest.mark.parametrize(("kind", "seed", "size"), DIGESTS)
def test_bytes_are_the_pinned_ones(kind: str, seed: int, size: int) -> None:
    assert digest(kind, seed, size) == DIGESTS[kind, seed, size]


def test_bytes_do_not_depend_on_vector_instructions() -> None:
    config: Any = np.show_config(mode="dicts")
    found = config["SIMD Extensions"].get("found", [])
    if not found:
        pytest.skip("NumPy uses no optional vector instructions on this machine")
    program = (
        "import hashlib;"
        "from edgeskin.data.phantom_dermoscopy import render_dermoscopy as a;"
        "from edgeskin.data.phantom_faces import render_face as b;"
        "from edgeskin.data.phantom_longshots import render_longshot as c;"
        "from edgeskin.data.phantom_ultrasound import render_ultrasound as d;"
        "images = [f(s, size=128).image.tobytes() for f in (a, b, c, d) for s in range(4)];"
        "print([hashlib.sha256(image).hexdigest() for image in images])"
    )
    outputs = []
    for disabled in ("", " ".join(found)):
        env = {**os.environ, "NPY_DISABLE_CPU_FEATURES": disabled}
        env["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        outputs.append(subprocess.check_output([sys.executable, "-c", program], env=env))
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize("kind", RENDER)
def test_same_seed_same_bytes_other_seed_other_bytes(kind: str) -> None:
    digests = [digest(kind, seed, 128) for seed in (1, 2, 2**40, 1)]
    assert digests[0] == digests[3]
    assert len(set(digests)) == 3


@pytest.mark.parametrize(
    ("kind", "task"),
    [
        ("acne", "acne"),
        ("faces", "face_skin"),
        ("faces", "acne_presence"),
        ("ages", "perceived_age"),
        ("dermoscopy", "lesion_classification"),
        ("melanoma", "melanoma"),
        ("longshots", "skin_lesions"),
        ("ultrasound", "ultrasound_grading"),
    ],
)
def test_the_labels_are_those_that_its_task_trains_on(kind: str, task: str, tmp_path: Path) -> None:
    SETS[kind](tmp_path, train=6, val=0, test=0, size=128)
    module = find_task(task).load()
    spec = Spec(
        name="phantom",
        task=task,
        arch="resnet18",
        input=InputSpec(height=64, width=64, resize_to=72, mean=MEAN, std=STD),
        heads=module.heads(),
        license="CC0-1.0",
        intended_use="test",
        training_data="none",
        limits="none",
    )
    truth = load_split(tmp_path, "train").truth(spec)
    for head in module.TRAINS_ON:
        assert len(truth[head]) == 6
        assert len(np.unique(truth[head].reshape(6, -1), axis=0)) > 1


@pytest.mark.parametrize("kind", SETS)
def test_splits_share_no_seed_and_the_licence_is_said(kind: str, tmp_path: Path) -> None:
    steps: list[int] = []
    manifest = SETS[kind](
        tmp_path, train=2, val=1, test=2, size=128, progress=lambda _, done, __: steps.append(done)
    )
    rows = rows_of(manifest)
    assert [row["split"] for row in rows] == ["train"] * 2 + ["val"] + ["test"] * 2
    assert {row["license"] for row in rows} == {"CC0-1.0"}
    assert steps == [1, 2, 3, 4, 5]
    files = [(tmp_path / row["file"]).read_bytes() for row in rows]
    assert len(set(files)) == 5
    with pytest.raises(CannotWrite, match="exists already"):
        SETS[kind](tmp_path, train=1, val=0, test=0, size=128)
    with pytest.raises(InvalidData, match="size is 4 pixels"):
        SETS[kind](tmp_path / "other", train=1, val=0, test=0, size=4)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UnknownName, match="no phantoms of kind 'teeth'; there are acne, ages"):
        find_set("teeth")
