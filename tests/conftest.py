"""Shared fixtures, made once a session: phantoms, an untrained run, converted files, a pack."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
from commands import snapshot, the_line
from remembered import remembered
from samples import acne_spec
from worker_here import Here

from edgeskin.artifacts import Io, Precision
from edgeskin.benchmarks import pack as packs
from edgeskin.benchmarks.pack import Pack
from edgeskin.cli.main import run
from edgeskin.data.grouping import GroupOptions, group_images
from edgeskin.data.manifest import load_split
from edgeskin.data.phantoms import write_set
from edgeskin.predictor import load

Convert = Callable[..., Path]
# Files whose tests take a minute or more in all, the longest first: begun last, one of them would
# keep a single worker busy when the others are done.
LONGEST = (
    "test_demo",
    "test_mutations",
    "test_examples",
    "test_ios_bundle",
    "test_bench_on_lab",
    "test_targets",
    "test_faults",
    "test_import",
    "test_task_demo",
    "test_simulated",
    "test_peers_int8",
    "test_accelerators",
    "test_train",
    "test_qat",
    "test_android_bundle",
    "test_bench",
    "test_platforms",
    "test_interrupts",
    "test_outputs",
    "test_verify",
    "test_packages",
    "test_a_format_of_its_own",
    "test_convert",
    "test_our_networks",
    "test_portable",
    "test_layers",
    "test_linux_bundle",
    "test_for",
    "test_trust",
    "test_drift",
    "test_ci_page",
    "test_importing",
)


def pytest_configure() -> None:
    """With torch and the converters loaded, looking through all objects takes half a second."""
    gc.set_threshold(2000, 10, 100)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; the order within a file, and of the rest, stays."""
    rank = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(LONGEST)))


@pytest.fixture(scope="session", autouse=True)
def heed_ctrl_c() -> None:
    """A shell's background job ignores SIGINT, and so would all that it starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def convert_here() -> Iterator[None]:
    """`convert` in this process; commands of their own processes show that its workers work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgeskin.converters.convert.Process", Here)
        yield


@pytest.fixture(scope="session", autouse=True)
def operators_parsed_once() -> Iterator[None]:
    """torch's ONNX exporter parses its table of operators for every file, most of a second."""
    if find_spec("torch") is None or find_spec("onnxscript") is None:
        yield
        return
    from torch.onnx._internal.exporter._registration import onnxscript_apis as apis

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apis, "get_torchlib_ops", cache(apis.get_torchlib_ops))
        yield


@pytest.fixture(scope="session", autouse=True)
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Networks of the tests are found and trusted, in commands of their own processes, too."""
    home = tmp_path_factory.mktemp("config")
    (home / "edgeskin").mkdir()
    (home / "edgeskin" / "trusted").write_text("acne_network\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(home))
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        yield


@pytest.fixture(scope="session")
def phantom_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 train, 8 val and 16 test phantoms of 72 pixels."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_set(folder, train=24, val=8, test=16, size=72)
    return folder


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained run with the acne heads, 64 x 64 pixels."""
    import torch
    from acne_network import ARCH

    from edgeskin.models.architectures import build
    from edgeskin.models.run import save_run

    torch.manual_seed(0)
    spec = acne_spec(arch=ARCH)
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    save_run(folder, spec, build(spec).eval())
    return folder


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> Convert:
    """`tiny_file("tflite", "int8")`: the tiny network as a file, 40 x 48 pixels."""
    from tiny_network import tiny_job

    from edgeskin.formats import FORMATS

    @remembered
    def make(target: str, precision: Precision, io: Io = "app") -> Path:
        folder = tmp_path_factory.mktemp("artifacts")
        path = folder / f"tiny-{precision}-{io}{FORMATS[target].suffix}"
        FORMATS[target].convert(tiny_job(precision, io), path)
        return path

    return make


@pytest.fixture(scope="session")
def tiny_pack(
    phantom_set: Path, tiny_file: Convert, tmp_path_factory: pytest.TempPathFactory
) -> Pack:
    """Phantoms of 72 x 72, four to a shard, the fp32 ONNX file as their float model."""
    split = load_split(phantom_set, "test")
    known = [row for row in split.rows if int(row["severity"]) < 3]  # the tiny network's labels
    data = replace(split, rows=tuple((known * 12)[:12]))
    out = tmp_path_factory.mktemp("packs") / "tiny"
    groups = group_images(data, GroupOptions(["severity"]))
    with load(tiny_file("onnx", "fp32")) as reference:
        return packs.make(reference, data, out, groups=groups, shard_bytes=70_000)


@pytest.fixture
def refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """`refused(*arguments)`: the line of a command that must refuse and leave nothing."""
    monkeypatch.chdir(tmp_path)

    def check(*arguments: object) -> str:
        before = snapshot(tmp_path)
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        stdout, stderr = capsys.readouterr()
        assert code == 2, stderr
        assert stdout == ""
        assert snapshot(tmp_path) == before
        return the_line(stderr)

    return check
