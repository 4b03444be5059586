"""Programs on disk: bit-equal, reproducible, and safe to load from strangers."""

from __future__ import annotations

import io
import json
import pickle
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, fx

from edgeskin.calibration.graphs import DEQUANTIZE_CHANNELS, QUANTIZE_CHANNELS
from edgeskin.calibration.program import Program, load_program, save_program, unfolded
from edgeskin.errors import CannotWrite, InvalidRun, InvalidSpec
from edgeskin.models.app_model import AppModel
from edgeskin.models.archive import ROOT

X = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(4))


def assert_equal(first: fx.GraphModule, second: fx.GraphModule) -> None:
    for one, other in zip(first(X), second(X), strict=True):
        assert torch.equal(one, other)


@pytest.fixture(scope="module")
def saved(program: Program, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("programs") / "acne.pt2"
    save_program(path, program)
    return path.read_bytes()


@pytest.fixture
def path(saved: bytes, tmp_path: Path) -> Path:
    """A saved program that a test may damage."""
    (tmp_path / "acne.pt2").write_bytes(saved)
    return tmp_path / "acne.pt2"


def test_a_loaded_program_is_the_saved_one_bit_by_bit(program: Program, path: Path) -> None:
    loaded = load_program(path)
    assert replace(loaded, module=program.module) == program
    assert_equal(loaded.module, program.module)


def test_saving_what_was_loaded_gives_the_same_bytes(path: Path, tmp_path: Path) -> None:
    save_program(tmp_path / "again.pt2", load_program(path))
    assert (tmp_path / "again.pt2").read_bytes() == path.read_bytes()


def test_a_program_tells_nothing_about_the_machine_it_was_made_on(path: Path) -> None:
    content = path.read_bytes()
    assert str(Path(__file__).parents[2]).encode() not in content
    assert b"site-packages" not in content


def test_weights_are_stored_as_int8_alone(program: Program) -> None:
    tensors = program.module.state_dict()
    # Float tensors are biases, scales and nothing else: at most one a channel.
    assert all(t.dim() <= 1 for t in tensors.values() if t.is_floating_point())


def test_the_unfolded_form_computes_the_same_bits_from_float_weights(program: Program) -> None:
    plain = unfolded(program.module)
    targets = [node.target for node in plain.graph.nodes]
    assert targets.count(QUANTIZE_CHANNELS) == targets.count(DEQUANTIZE_CHANNELS) > 0
    assert_equal(plain, program.module)
    assert QUANTIZE_CHANNELS not in {node.target for node in program.module.graph.nodes}


@pytest.mark.parametrize("form", [lambda m: m, unfolded])
def test_both_forms_export_again_inside_the_app_model(
    form: Callable[[fx.GraphModule], fx.GraphModule], path: Path
) -> None:
    program = load_program(path)
    app = AppModel(form(program.module), program.spec).eval()
    pixels = torch.full((1, 32, 32, 3), 90, dtype=torch.uint8)
    exported = torch.export.export(app, (pixels,)).module()
    for again, once in zip(exported(pixels), app(pixels), strict=True):
        assert torch.equal(again, once)


def test_an_existing_program_is_kept_unless_forced(program: Program, path: Path) -> None:
    with pytest.raises(CannotWrite, match="exists already"):
        save_program(path, program)
    save_program(path, program, force=True)


def test_missing_truncated_damaged_and_foreign_files(path: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidRun, match=r"none\.pt2 is missing"):
        load_program(tmp_path / "none.pt2")
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(b"data/weights/weight_0") + 30] ^= 1  # its first values
    foreign = io.BytesIO()
    torch.save({"weights": X}, foreign)
    for content in (b"", whole[: len(whole) // 2], bytes(flipped), foreign.getvalue(), b"PK" * 99):
        path.write_bytes(content)
        with pytest.raises(InvalidRun, match="damaged or not a program") as caught:
            load_program(path)
        assert "\n" not in str(caught.value)


Parts = dict[str, bytes]


def rewrite(path: Path, change: Callable[[Parts], None]) -> None:
    """Apply `change` to the records of an archive, by name."""
    with zipfile.ZipFile(path) as file:
        parts = {name.removeprefix(ROOT): file.read(name) for name in file.namelist()}
    change(parts)
    with zipfile.ZipFile(path, "w") as file:
        for name, content in parts.items():
            file.writestr(ROOT + name, content)


def edit_json(parts: Parts, name: str, old: str, new: str) -> None:
    text = parts[name].decode()
    assert old in text
    parts[name] = text.replace(old, new, 1).encode()


def test_a_newer_format_and_a_broken_spec_say_so(path: Path) -> None:
    whole = path.read_bytes()
    name = "extra/edgeskin.json"
    rewrite(path, lambda parts: edit_json(parts, name, '"format": 1', '"format": 9'))
    with pytest.raises(InvalidRun, match=r"has format 9; this edgeskin reads 1\. Upgrade"):
        load_program(path)
    path.write_bytes(whole)
    rewrite(path, lambda parts: edit_json(parts, name, '"height": 32', '"height": -1'))
    with pytest.raises(InvalidSpec, match=r"acne\.pt2: input\.height"):
        load_program(path)


class Bomb:
    """Unpickling this writes a file."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, (str(self.target), "w"))


GRAPH = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
RELU = "torch.ops.aten.relu.default"
ATTACKS: dict[str, Callable[[Parts, bytes], None]] = {
    "pickled weights": lambda parts, bomb: parts.update(
        {
            "data/weights/weight_0": bomb,
            WEIGHTS: re.sub(rb'"use_pickle": ?false', b'"use_pickle": true', parts[WEIGHTS]),
        }
    ),
    "legacy weights": lambda parts, bomb: parts.update({"data/weights/model.pt": bomb}),
    "opaque constant": lambda parts, bomb: parts.update({"data/constants/opaque_obj_0": bomb}),
    "script constant": lambda parts, bomb: parts.update({"data/constants/custom_obj_0": bomb}),
    "compiled code": lambda parts, bomb: parts.update({"data/aotinductor/model/a.so": bomb}),
    "path outside": lambda parts, bomb: parts.update({"../../evil.txt": bomb}),
    "operator outside": lambda parts, bomb: edit_json(parts, GRAPH, RELU, "torch.os.system"),
    "file operator": lambda parts, bomb: edit_json(
        parts, GRAPH, RELU, "torch.ops.aten.from_file.default"
    ),
    "symbolic shape": lambda parts, bomb: edit_json(
        parts, GRAPH, '{"as_int":32}', '{"as_expr":{"\\u0065xpr_str":"open(1)","hint":null}}'
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_hostile_file_is_refused_and_runs_nothing(
    attack: str, path: Path, tmp_path: Path
) -> None:
    bomb = pickle.dumps(Bomb(tmp_path / "exploded"))
    rewrite(path, lambda parts: ATTACKS[attack](parts, bomb))
    with pytest.raises(InvalidRun, match="not a program of edgeskin"):
        load_program(path)
    assert not (tmp_path / "exploded").exists()


def test_pickles_and_guards_that_a_program_does_not_need_are_not_touched(
    path: Path, program: Program, tmp_path: Path
) -> None:
    def attack(parts: Parts) -> None:
        parts["data/sample_inputs/model.pt"] = pickle.dumps(Bomb(tmp_path / "exploded"))
        graph = json.loads(parts[GRAPH])
        graph["guards_code"] = [f"open({str(tmp_path / 'exploded')!r}, 'w')"]
        parts[GRAPH] = json.dumps(graph).encode()

    rewrite(path, attack)
    assert_equal(load_program(path).module, program.module)
    assert not (tmp_path / "exploded").exists()


def test_two_records_of_one_name_are_refused(path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as file:
        file.writestr(ROOT + GRAPH, b"{}")
    with pytest.raises(InvalidRun, match="two records of one name"):
        load_program(path)


def test_example_has_the_shape_of_the_input(program: Program) -> None:
    example: Tensor = program.example()
    assert (example.shape, example.dtype) == ((1, 3, 32, 32), torch.float32)
