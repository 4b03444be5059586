"""Packages as coremltools saves them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import coremltools as ct
import pytest
from coremltools.converters.mil import Builder as mb  # noqa: N813

Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """`save(build, shapes by input, opset, **options of ct.convert)`: an .mlpackage."""

    def make(build: Any, *specs: Any, opset: Any = ct.target.iOS17, **options: Any) -> Path:
        program = mb.program(input_specs=list(specs), opset_version=opset)(build)
        model = ct.convert(
            program, skip_model_load=True, minimum_deployment_target=opset, **options
        )
        path = tmp_path / "m.mlpackage"
        model.save(str(path))
        return path

    return make
