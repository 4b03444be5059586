"""What the Swift and Kotlin tests share: bad input as cases, and running tools."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from golden_cases import FOLDER, HEADING, Runner, parse

ROOT = Path(__file__).resolve().parents[2]
# 256 bytes of zeros, then 4 floats of which one is not a number.
DATA = bytes(256) + np.array([0, np.nan, 0, 0], np.float32).tobytes()
PICTURE = "image.width=8 image.height=6 recipe.width=4 recipe.height=4"
LOGITS = "logits.data=0:12 logits.type=float32"
BEHIND = "selection.mask.width=8 selection.mask.height=6"
MASK = "mask.width=8 mask.height=6 min_area=1 capacity=4"
REFUSED = f"""
preprocess no_planes {PICTURE}
preprocess one_plane_of_two {PICTURE} image.format=nv12 image.planes=0:48
preprocess a_byte_short {PICTURE} image.planes=0:143
preprocess short_chroma {PICTURE} image.format=i420 image.planes=0:48,0:12,0:11
preprocess narrow_rows {PICTURE} image.planes=0:144 image.strides=23
preprocess wide_rows {PICTURE} image.planes=0:144 image.strides=25
preprocess crop_outside {PICTURE} image.planes=0:144 recipe.crop=0,0,8.5,6
preprocess unknown_format {PICTURE} image.planes=0:144 image.format=99
preprocess unknown_orientation {PICTURE} image.planes=0:144 image.orientation=9
preprocess unknown_matrix {PICTURE} image.format=nv12 image.planes=0:48,0:24 image.matrix=2
preprocess unknown_range {PICTURE} image.format=nv12 image.planes=0:48,0:24 image.range=-1
preprocess unknown_fit {PICTURE} image.planes=0:144 recipe.fit=3
preprocess unknown_filter {PICTURE} image.planes=0:144 recipe.filter=6
preprocess unknown_channels {PICTURE} image.planes=0:144 recipe.channels=2
preprocess unknown_type {PICTURE} image.planes=0:144 recipe.type=4
preprocess unknown_layout {PICTURE} image.planes=0:144 recipe.layout=2
preprocess_masked of_another_size {PICTURE} image.planes=0:144 selection.mask.pixels=0:42 \
selection.mask.width=7 selection.mask.height=6 selection.keep=1
preprocess_masked turned {PICTURE} image.planes=0:144 selection.mask.pixels=0:48 \
selection.mask.width=6 selection.mask.height=8 selection.keep=1
preprocess_masked a_byte_short {PICTURE} image.planes=0:144 selection.mask.pixels=0:47 {BEHIND} \
selection.keep=1
preprocess_masked keeps_nothing {PICTURE} image.planes=0:144 selection.mask.pixels=0:48 {BEHIND}
preprocess_masked no_planes {PICTURE} selection.mask.pixels=0:48 {BEHIND} selection.keep=1
recipe_from_spec empty text=0:0
recipe_from_spec zeros text=0:9
classify unknown_activation {LOGITS} classes=3 activation=3 top_count=1
classify unknown_type logits.data=0:12 logits.type=7 classes=3 activation=softmax top_count=1
classify no_data logits.data=0:0 logits.type=float32 classes=3 activation=softmax top_count=1
classify nan logits.data=256:16 logits.type=float32 classes=4 activation=sigmoid top_count=1
measure sigmoid {LOGITS} size=3 activation=sigmoid first=0 step=1 share=0.9
segment nan logits.data=256:16 logits.type=float32 classes=1 width=2 height=2 {PICTURE}
segment short_logits logits.data=256:16 logits.type=float32 classes=2 width=2 height=2 {PICTURE}
components short_mask mask.pixels=0:47 {MASK} value=1 connectivity=8
components unknown_connectivity mask.pixels=0:48 {MASK} value=1 connectivity=6
find_crops two_sizes skin.pixels=0:48 skin.width=8 skin.height=6 lesion.pixels=0:42 lesion.width=7 \
lesion.height=6 rule.side=2 rule.step=1 rule.min_skin=0.8 rule.min_lesion=0.1 capacity=4
"""
# A buffer of the caller's, which the cases of README.md do not have.
SHORT_OUTPUT = (
    f"preprocess short_output {PICTURE} image.planes=0:144 output_bytes=47 "
    "=> status=ES_BUFFER_TOO_SMALL message=the output has 47 bytes, 48 are needed"
)


def refusals(folder: Path) -> int:
    """Write `REFUSED` as a folder of cases, with what C says to Python; return how many."""
    runner, lines = Runner(DATA), [HEADING, SHORT_OUTPUT]
    for line in REFUSED.strip().splitlines():
        (case,) = parse(f"{HEADING}\n{line} => status=")
        said = runner.run(case)
        assert set(said) == {"status", "message"}, f"{case.name} is not refused"
        lines.append(f"{line} => status={said['status']} message={said['message']}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cases.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "data.bin").write_bytes(DATA)
    return len(lines) - 1


def golden() -> tuple[Path, int]:
    """The folder of the golden vectors, and how many there are."""
    lines = (FOLDER / "cases.txt").read_text(encoding="utf-8").splitlines()
    return FOLDER, sum(bool(line) and not line.startswith("#") for line in lines)


def tool(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run one of scripts/, which may call this Python, or a program."""
    environment = {"PYTHON": sys.executable, **os.environ}
    return subprocess.run(
        [*map(str, command)], cwd=ROOT, env=environment, capture_output=True, text=True
    )


def run(*command: str | Path) -> str:
    """Run from the repository's root; what it said, or a failed test that shows it."""
    done = tool(*command)
    if done.returncode:
        pytest.fail(f"{command[0]}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def needs(*command: str | Path) -> str:
    """Have a tool, fetched on its first call; skip, loudly, where that is impossible."""
    done = tool(*command)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        pytest.skip(f"{command[0]} cannot be had here: {said[-1] if said else done.returncode}")
    return done.stdout.strip()
