"""One row of the systems: trained, calibrated, trained again for INT8, converted and measured.

Each step leaves its result in the row's folder, and a step whose result is there is not done
again, so that the same call after a kill goes on.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgeskin.benchmarks import latency
from edgeskin.benchmarks.pack import read
from edgeskin.benchmarks.peers.setting import machine
from edgeskin.benchmarks.systems.rows import FEATURES, ROWS, SKIN, Row
from edgeskin.benchmarks.systems.sets import made
from edgeskin.benchmarks.systems.systems_documents import (
    KINDS,
    Emulated,
    FileRow,
    Quantized,
    SystemRecord,
    Trained,
)
from edgeskin.calibration.from_run import calibrate
from edgeskin.calibration.header import read_header
from edgeskin.calibration.options import CalibrationOptions
from edgeskin.calibration.qat_run import qat, qat_recipe
from edgeskin.converters.audit.inspect import inspect
from edgeskin.converters.from_source import convert
from edgeskin.converters.options import ConversionOptions
from edgeskin.converters.parity.compare import Reference
from edgeskin.converters.parity.reference import of_run
from edgeskin.data.grouping import SKIN_TONE, GroupOptions, group_images
from edgeskin.data.listing import FILE, PICTURE_OF
from edgeskin.data.manifest import Dataset, load_split
from edgeskin.data.stage_data import stage_data
from edgeskin.errors import NotBetter, RunFailed
from edgeskin.evaluation import MetricChange, compare
from edgeskin.files import sha256, size_bytes, write_json
from edgeskin.models.run import load_run
from edgeskin.predictor import load
from edgeskin.progress import Progress, silent
from edgeskin.statistics import ratio_of_medians
from edgeskin.subgroups import Grouping
from edgeskin.training.cross_validation import cross_validate
from edgeskin.training.pretrain import RECIPE, pretrain
from edgeskin.training.recipe import Recipe, find_recipe
from edgeskin.training.train import TrainingRecord, recipe_for, train
from edgeskin.verbs import bench, pack

EMULATED, EMULATED_IMAGES = "cortex-a76", 12
TIMED = ("tflite", "onnx")
"""Core ML files run by the meaning of their program here, which is no speed."""
RUNS = 60
BEHIND = "acne_presence"
"""The rules of a mask over the image."""


@dataclass(frozen=True)
class Workspace:
    """Where the sets lie, and where the rows are made."""

    data: Path
    out: Path
    emulate: bool = True
    progress: Progress = silent

    def folder(self, name: str) -> Path:
        return self.out / name

    def run(self, name: str) -> Path:
        return self.folder(name) / "run"

    def set_of(self, row: Row) -> Path:
        folder = made(row.data, self.data, self.out, self.progress)
        if row.behind is None:
            return folder
        return self._behind(row.behind, folder)

    def _behind(self, first: str, folder: Path) -> Path:
        """The images of a set as the mask of another row's run leaves them."""
        out = self.out / "sets" / f"{folder.name}-behind-{first}"
        if not (out / "manifest.csv").is_file():
            stage_data(self.run(first), folder, out, rules=BEHIND, progress=self.progress)
        return out


def measure(row: Row, workspace: Workspace) -> SystemRecord:
    """Everything of a row; rows that it starts from, looks through or stands beside are trained."""
    network = trained(row, workspace)
    for other in filter(None, (row.beside, SKIN if SKIN_TONE in row.by else None)):
        trained(ROWS[other], workspace)
    data = workspace.set_of(row)
    test = load_split(data, "test")
    record = SystemRecord(
        name=row.name,
        page=row.page,
        machine=machine_line(),
        data=row.data,
        images=len(test),
        trained=network,
        weights=None if row.folds else weights_of(workspace.run(row.name)),
    )
    if row.beside is not None:
        changes = _changes(row.beside, row.name, test, workspace)
        record = record.model_copy(update={"beside": row.beside, "changes": changes})
    if row.files:
        quantized = _programs(row, data, workspace)
        files = _files(row, test, data, workspace)
        control = read_header(workspace.folder(row.name) / "ptq.pt2").calibration.accuracy_control
        record = record.model_copy(
            update={"qat": quantized, "files": files, "accuracy_control": control}
        )
    write_json(workspace.folder(row.name) / "record.json", record.to_json())
    return record


def _changes(
    before: str, after: str, test: Dataset, workspace: Workspace
) -> dict[str, MetricChange]:
    """From one row's float network to another's."""
    spec = load_run(workspace.run(after)).spec
    reference, candidate = (outputs_on(test, workspace.run(name)) for name in (before, after))
    return compare(spec, reference, candidate, test.truth(spec))


def weights_of(run: Path) -> str:
    """SHA-256 of a run's weights, as hex."""
    return sha256(run / "weights.safetensors")


def outputs_on(data: Dataset, run: Path) -> dict[str, NDArray[Any]]:
    """What a run's float network says of the images, decoded."""
    model = of_run(load_run(run))
    return dict(model.run_all(data.pixels(model.spec.input)))


def machine_line() -> str:
    """This machine, as the tables name it."""
    here = machine()
    return f"{here.processor}, {here.processors} processors, {', '.join(here.cpu_features)}"


def trained(row: Row, workspace: Workspace) -> Trained:
    """The row's network, and what it is worth; the one that it looks through is trained first."""
    if row.behind is not None:
        trained(ROWS[row.behind], workspace)
    data = workspace.set_of(row)
    place, run = workspace.folder(row.name) / "trained.json", workspace.run(row.name)
    if place.is_file():
        return Trained.from_json(json.loads(place.read_bytes()))
    start = None if row.start is None else _features(row.start, workspace)
    recipe = recipe_for(row.recipe)
    if row.folds is not None:
        result = _cross_validated(row, recipe, data, workspace)
    else:
        record = train(
            recipe.task, recipe.arch, data, run, recipe=recipe, start=start, force=True,
            progress=workspace.progress,
        )  # fmt: skip
        result = _of_record(row, record)
    if start is not None:
        features = json.loads((start / "metrics.json").read_bytes())
        result = result.model_copy(update={"start_seconds": features.get("seconds")})
    place.parent.mkdir(parents=True, exist_ok=True)
    write_json(place, result.to_json())
    return result


def _of_record(row: Row, record: TrainingRecord) -> Trained:
    assert record.test is not None
    return Trained(
        recipe=row.recipe,
        task=record.recipe.task,
        arch=record.recipe.arch,
        started_from=record.started_from,
        train_images=record.train_images,
        epochs=record.recipe.epochs,
        seconds=record.seconds,
        threads=torch.get_num_threads(),
        test=record.test,
    )


def _cross_validated(row: Row, recipe: Recipe, data: Path, workspace: Workspace) -> Trained:
    assert row.folds is not None
    result = cross_validate(
        recipe, data, workspace.folder(row.name), row.folds, force=True, progress=workspace.progress
    )
    first = _of_record(row, result.folds[0])
    folds = {name: spread.folds for name, spread in result.spread.items()}
    seconds = [fold.seconds for fold in result.folds]
    return first.model_copy(
        update={
            "test": result.pooled,
            "folds": folds,
            "seconds": None if None in seconds else sum(filter(None, seconds)),
        }
    )


def _features(name: str, workspace: Workspace) -> Path:
    recipe, sets = FEATURES
    run = workspace.run(name)
    if not (run / "metrics.json").is_file():
        settings = Recipe.load(find_recipe(recipe), RECIPE)
        folders = [workspace.data / part for part in sets]
        pretrain(settings.arch, folders, run, recipe=settings, progress=workspace.progress)
    return run


def _programs(row: Row, data: Path, workspace: Workspace) -> Quantized:
    """Both programs, `ptq.pt2` and `qat.pt2`; the second only if it is better."""
    folder, run = workspace.folder(row.name), workspace.run(row.name)
    ptq, result = folder / "ptq.pt2", folder / "qat.json"
    if not ptq.is_file():
        options = CalibrationOptions(min_sqnr_db=row.min_sqnr_db)
        calibrate(run, data, ptq, options, progress=workspace.progress)
    if result.is_file():
        return Quantized.from_json(json.loads(result.read_bytes()))
    began, better = time.monotonic(), True
    recipe = qat_recipe(run, find_recipe(row.recipe))
    try:
        program = qat(
            run, data, folder / "qat.pt2", recipe=recipe, program=ptq,
            progress=workspace.progress,
        )  # fmt: skip
        record = program.calibration.qat
        assert record is not None
        best = record.epochs[record.best_epoch - 1]
        line = f"epoch {record.best_epoch} of {len(record.epochs)}"
        line += f", held-out loss {record.start} to {best}"
    except NotBetter as error:
        better, line = False, str(error)
    quantized = Quantized(better=better, line=line, seconds=time.monotonic() - began)
    write_json(result, quantized.to_json())
    return quantized


def groups_of(row: Row, test: Dataset, workspace: Workspace) -> dict[str, Grouping]:
    """The groups of a row's test images: behind a mask, those of the images that it is laid on.

    What a mask leaves of a photo is of another skin tone, by a class where it is near one.
    """
    skin = workspace.run(SKIN) if SKIN_TONE in row.by else None
    options = GroupOptions(by=row.by, skin_model=skin)
    if row.behind is None:
        return group_images(test, options)
    whole = load_split(workspace.set_of(replace(row, behind=None)), "test")
    places = {image[FILE]: place for place, image in enumerate(whole.rows)}
    order = [places[picture[PICTURE_OF]] for picture in test.rows]
    return {
        by: replace(grouping, labels=tuple(grouping.labels[place] for place in order))
        for by, grouping in group_images(whole, options).items()
    }


def _files(row: Row, test: Dataset, data: Path, workspace: Workspace) -> tuple[FileRow, ...]:
    paths = _converted(row, workspace)
    model = load_run(workspace.run(row.name))
    reference = Reference.of(model, test, groups_of(row, test, workspace))
    times = _times(paths, reference)
    rows: list[FileRow] = []
    for (kind, target), path in paths.items():
        workspace.progress(f"verifying {path.name}", len(rows), len(paths))
        found = reference.verify(path)
        rows.append(
            FileRow(
                name=path.name,
                target=target,
                kind=kind,
                size_bytes=size_bytes(path),
                sqnr_db=found.sqnr_db,
                equal_decisions=found.equal_decisions,
                metrics=found.metrics,
                groups=found.subgroups,
                float_operators=_float_operators(path) if KINDS[kind].precision == "int8" else {},
                **times.get((kind, target), {}),  # type: ignore[arg-type]
            )
        )
    emulated = _emulated(row, paths, data, workspace) if workspace.emulate else {}
    return tuple(r.model_copy(update={"emulated": emulated.get((r.kind, r.target))}) for r in rows)


def _float_operators(path: Path) -> dict[str, int]:
    return {row.type: row.float for row in inspect(path).operators if row.float}


Key = tuple[str, str]


def _converted(row: Row, workspace: Workspace) -> dict[Key, Path]:
    """Files by kind and target."""
    folder, run = workspace.folder(row.name), workspace.run(row.name)
    options = ConversionOptions(timing=False)
    sources = {"fp32": run, "fp16": run, "ptq": folder / "ptq.pt2", "qat": folder / "qat.pt2"}
    paths: dict[Key, Path] = {}
    for kind, (precision, _) in KINDS.items():
        out = folder / f"files-{kind}"
        if kind == "qat" and not sources[kind].is_file():
            continue
        if not (out / "manifest.json").is_file():
            shutil.rmtree(out, ignore_errors=True)
            convert(
                sources[kind], out, precision=precision, options=options,
                progress=workspace.progress,
            )  # fmt: skip
        manifest = json.loads((out / "manifest.json").read_bytes())["artifacts"]
        paths |= {(kind, entry["target"]): out / name for name, entry in manifest.items()}
    return paths


def _times(paths: Mapping[Key, Path], reference: Reference) -> dict[Key, dict[str, object]]:
    """Medians, and ratios to the float file of the same format, the files taking turns."""
    with ExitStack() as stack:
        timed = {key: path for key, path in paths.items() if key[1] in TIMED}
        predictors = {str(key): stack.enter_context(load(path)) for key, path in timed.items()}
        pixels = list(reference.pixels[:8])
        found = latency.measure(predictors, pixels, runs=RUNS, warmup_runs=5)
    samples = {key: np.array(found[str(key)].samples_ms) for key in timed}
    return {
        (kind, target): {
            "p50_ms": found[str((kind, target))].p50_ms,
            "latency_ratio": ratio_of_medians(samples["fp32", target], values),
        }
        for (kind, target), values in samples.items()
    }


def _emulated(
    row: Row, paths: Mapping[Key, Path], data: Path, workspace: Workspace
) -> dict[Key, Emulated]:
    """The best INT8 files on an emulated arm64 CPU, beside this machine."""
    kind = "qat" if ("qat", "tflite") in paths else "ptq"
    chosen = {paths[kind, target].name: (kind, target) for target in TIMED}
    packed = workspace.folder(row.name) / "pack"
    if not (packed / "pack.json").is_file():
        pack(workspace.run(row.name), data, packed, samples=EMULATED_IMAGES, ready=True, force=True)
    results = bench(
        [paths[key] for key in chosen.values()], packed, workspace.folder(row.name) / "emulated",
        devices=(f"emulated:{EMULATED}",), protocol="none", force=True, progress=workspace.progress,
    )  # fmt: skip
    (found,) = results.values()
    if not isinstance(found, list):
        raise RunFailed(f"{row.name} did not run on {EMULATED}: {found}")
    return {
        chosen[result.artifact.name]: Emulated(
            cpu=EMULATED,
            images=len(read(packed)),
            sqnr_db=min(part.sqnr_db for part in result.accuracy.host.agreement.values()),
            equal_decisions=result.accuracy.host.equal_decisions,
            bit_equal=result.accuracy.host.bit_equal,
        )
        for result in found
        if result.accuracy is not None and result.accuracy.host is not None
    }
