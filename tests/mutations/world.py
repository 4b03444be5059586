"""What mutants are made of: a run, its program, a data set, good files, and the commands."""

from __future__ import annotations

import io
import shutil
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from remembered import remembered
from tiny_network import Tiny, tiny_spec
from torch import nn

from edgeskin.artifacts import Metadata
from edgeskin.calibration.calibrate import calibrate_network
from edgeskin.calibration.program import Program, save_program
from edgeskin.calibration.record import RunIdentity
from edgeskin.cli.main import run as command
from edgeskin.converters.model import Job
from edgeskin.converters.selfcheck import images
from edgeskin.converters.worker import examine
from edgeskin.errors import EdgeskinError
from edgeskin.formats import FORMATS
from edgeskin.models.app_model import AppModel
from edgeskin.models.architectures import build
from edgeskin.models.run import load_run, save_run
from edgeskin.spec import Spec

SPEC = tiny_spec(arch="tiny_network:Tiny")


class World:
    """A run, its program, a data set, and files made of them, each when it is first asked for."""

    def __init__(self, folder: Path, spec: Spec = SPEC):
        self.folder = folder
        self.spec = spec
        self.file = remembered(self._file)

    @cached_property
    def run(self) -> Path:
        torch.manual_seed(2)
        network = build(self.spec).eval()
        if isinstance(network.network, Tiny):
            pixels = torch.from_numpy(np.stack(self.images))
            _enliven(network.network, AppModel(network, self.spec).normalize(pixels))
        save_run(self.folder / "run", self.spec, network)
        return self.folder / "run"

    @cached_property
    def images(self) -> list[np.ndarray]:
        return [image for seed in range(4) for image in images(self.spec.input, seed)]

    @cached_property
    def data(self) -> Path:
        folder = self.folder / "data"
        folder.mkdir()
        lines = ["file,split,severity,count"]
        for i, image in enumerate(self.images):
            Image.fromarray(image).save(folder / f"{i}.png")
            lines.append(f"{i}.png,test,{i % 3},{1 + i % 9}")
        (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
        return folder

    @cached_property
    def network(self) -> nn.Module:
        return load_run(self.run).network

    def calibrated(self, **options: Any) -> Program:
        return calibrate_network(self.network, self.spec, self.images, method="minmax", **options)

    @cached_property
    def program(self) -> Program:
        return self.with_run(self.calibrated())

    def with_run(self, program: Program) -> Program:
        """A program that says which run it was made from, as `edgeskin calibrate` writes it."""
        origin = RunIdentity(name="run", sha256=load_run(self.run).sha256)
        return replace(program, calibration=program.calibration.model_copy(update={"run": origin}))

    @cached_property
    def program_file(self) -> Path:
        save_program(self.folder / "program.pt2", self.program)
        return self.folder / "program.pt2"

    def job(self, precision: str, io: str = "app", **changes: Any) -> Job:
        network = self.program.module if precision == "int8" else self.network
        sha256 = load_run(self.run).sha256
        metadata = Metadata(self.spec, io, precision, weights_sha256=sha256)  # type: ignore[arg-type]
        return Job(**{"network": network, "metadata": metadata, **changes})

    def convert(self, job: Job, target: str) -> Path:
        """A fresh file in a folder of its own."""
        folder = self.folder / f"file-{len(list(self.folder.iterdir()))}"
        folder.mkdir()
        path = folder / f"tiny-{job.metadata.precision}{FORMATS[target].suffix}"
        FORMATS[target].convert(job, path)
        return path

    def _file(self, target: str, precision: str, io: str = "app") -> Path:
        return self.convert(self.job(precision, io), target)

    def copy(self, target: str, precision: str) -> Path:
        """A copy of a good file, to spoil."""
        good = self.file(target, precision)
        folder = self.folder / f"file-{len(list(self.folder.iterdir()))}"
        if good.is_dir():
            return Path(shutil.copytree(good, folder / good.name))
        folder.mkdir()
        return Path(shutil.copy(good, folder / good.name))

    def refusal(self, how: str, path: Path, job: Job) -> tuple[int, str]:
        """Exit code and lines of a command.

        `how` is `convert` (of `job`), `verify`, `verify program`, `verify layers`,
        `inspect` or `predict`.
        """
        if how == "convert":
            program = self.program if job.int8 else None
            known = {**program.calibration.to_json(), "scheme": program.scheme} if program else {}
            try:
                examine(job, path, known)
            except EdgeskinError as error:
                return 2, str(error)
            return 0, ""
        verb, _, more = how.partition(" ")
        against = self.program_file if more == "program" else self.run
        arguments = {
            "verify": ["--reference", str(against), "--data", str(self.data)]
            + ["--layers"] * (more == "layers"),
            "inspect": [],
            "predict": [str(self.data / "0.png")],
        }[verb]
        errors = io.StringIO()
        with redirect_stdout(io.StringIO()), redirect_stderr(errors):
            code = command([verb, str(path), *arguments])
        said = [line for line in errors.getvalue().splitlines() if line.startswith("edgeskin: ")]
        return code, " | ".join(line.removeprefix("edgeskin: ") for line in said)


def _enliven(tiny: Tiny, x: torch.Tensor) -> None:
    """Batch norms as after training; logits of mean 0 and deviation 2 over the images `x`."""
    with torch.no_grad():
        for norm in (tiny.stem[1], tiny.depthwise[1]):
            norm.running_mean.uniform_(-0.5, 0.5)
            norm.running_var.uniform_(0.2, 2.0)
        y = tiny.stem(x)
        features = tiny.pool(y + tiny.depthwise(y)).flatten(1)
        for head in tiny.heads:
            logits = 4.0 * head(features)
            scale = 2.0 / logits.std(dim=0)
            head.bias.sub_(logits.mean(dim=0) / 4.0).mul_(scale)
            head.weight.mul_(scale[:, None])
