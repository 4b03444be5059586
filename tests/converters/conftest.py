"""Converted files, made in this process, once a session for each combination."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from tiny_network import tiny_job

from edgeskin.artifacts import Io, Precision
from edgeskin.converters import TARGETS

Convert = Callable[..., Path]


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Convert:
    """`converted(target, precision, io="app")`: the tiny network as a file."""

    @cache
    def make(target: str, precision: Precision, io: Io = "app") -> Path:
        path = tmp_path_factory.mktemp("converted") / f"tiny-{precision}{TARGETS[target].suffix}"
        TARGETS[target].load().convert(tiny_job(precision, io), path)
        return path

    return make
