"""Train the built-in model again: phantoms alone, from scratch, from its recipe.

    python -m edgeskin.training.builtin

Renders the phantoms, trains as `edgeskin train` does, and writes the run to
`edgeskin/models/builtin/` with its weights in half precision (two bytes each).
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from safetensors.torch import load_file, save_file

from edgeskin.data.phantoms import write_set
from edgeskin.files import write_json
from edgeskin.models.run import BUILTIN
from edgeskin.spec import Spec
from edgeskin.training.recipe import Recipe
from edgeskin.training.train import measure_run, train

SEED, SIZE = 1, 224
TRAIN, VAL, TEST = 3000, 200, 400
LICENSE = "CC0-1.0: trained on synthetic phantoms alone, from random weights"


def main(work: Path) -> None:
    """Make the set and the run under `work`, then install the run as the built-in one."""
    data, run = work / "phantoms", work / "run"
    shutil.rmtree(data, ignore_errors=True)  # those of earlier drawing code may lie there
    write_set(data, train=TRAIN, val=VAL, test=TEST, seed=SEED, size=SIZE)
    train("acne", "mobilenet_v2_050", data, run, recipe=recipe(), progress=_tell, force=True)
    install(run, data)


def recipe() -> Recipe:
    return Recipe.load(BUILTIN / "recipe.toml")


def install(run: Path, data: Path) -> None:
    """Halve the weights, state licence and limits, and measure what will be shipped."""
    spec = Spec.load(run).model_copy(
        update={
            "name": "acne-phantom",
            "license": LICENSE,
            "intended_use": "Demonstration and self-tests of edgeskin. Knows no real skin.",
            "limits": "Trained on rendered phantoms; on a photo its output means nothing.",
        }
    )
    weights = load_file(run / "weights.safetensors")
    halves = {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
    save_file(halves, BUILTIN / "weights.safetensors")
    (BUILTIN / "spec.json").write_text(spec.to_json(indent=2) + "\n", encoding="utf-8")
    metrics = {split: measure_run(BUILTIN, data, split).to_json() for split in ("val", "test")}
    write_json(BUILTIN / "metrics.json", metrics)


def _tell(what: str, done: int, total: int) -> None:
    if done == total or what.startswith("training"):
        print(f"{what}: {done}/{total}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/builtin"))
