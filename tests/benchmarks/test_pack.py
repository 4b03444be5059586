"""Packs: what is in them, that they are checked, and that no name of a person is."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgeskin.benchmarks import pack as packs
from edgeskin.benchmarks.pack import Pack
from edgeskin.data.manifest import Dataset, load_split
from edgeskin.errors import CannotWrite, InvalidData, InvalidPack
from edgeskin.predictor import load
from edgeskin.preprocess import preprocess


@pytest.fixture(scope="module")
def test_split(phantom_set: Path) -> Dataset:
    return load_split(phantom_set, "test")


@pytest.fixture
def made(tiny_run: Path, test_split: Dataset, tmp_path: Path) -> Pack:
    """16 phantoms of 72 x 72, two to a shard."""
    with load(tiny_run) as reference:
        return packs.make(reference, test_split, tmp_path / "pack", shard_bytes=2 * 72 * 72 * 3)


def test_images_come_back_as_decoded(made: Pack, test_split: Dataset) -> None:
    assert len(made) == len(test_split) == 16
    for i, path in enumerate(test_split.paths):
        assert np.array_equal(made.image(i), np.asarray(Image.open(path).convert("RGB")))


def test_shards_hold_as_many_images_as_fit(made: Pack) -> None:
    assert [made.members(i) for i in range(len(made.shards))] == [
        [i, i + 1] for i in range(0, 16, 2)
    ]
    sizes = [(made.folder / name).stat().st_size for name in made.shards]
    assert sizes == [2 * 72 * 72 * 3] * 8


def test_an_image_larger_than_a_shard_gets_one_of_its_own(
    tiny_run: Path, test_split: Dataset, tmp_path: Path
) -> None:
    with load(tiny_run) as reference:
        made = packs.make(reference, test_split.take(3), tmp_path / "pack", shard_bytes=1)
    assert [item.shard for item in made.items] == [0, 1, 2]


def test_the_reference_is_what_the_float_model_says(
    made: Pack, tiny_run: Path, test_split: Dataset
) -> None:
    with load(tiny_run) as reference:
        pixels = test_split.pixels(reference.spec.input)
        expected = reference.run_all(pixels)
    for name, values in expected.items():
        # The same network on the same pixels, in batches of another size: float32 rounding.
        assert np.allclose(made.reference[name], values, rtol=0, atol=1e-5)
    assert np.array_equal(made.truth["severity"], test_split.truth(made.spec)["severity"])


def test_a_ready_pack_holds_the_model_s_own_pixels(
    tiny_run: Path, test_split: Dataset, tmp_path: Path
) -> None:
    with load(tiny_run) as reference:
        made = packs.make(reference, test_split.take(2), tmp_path / "pack", ready=True)
    image = np.asarray(Image.open(test_split.take(2).paths[1]).convert("RGB"))
    assert np.array_equal(made.image(1), preprocess(image, made.spec.input))


def test_names_and_unasked_columns_stay_at_home(
    tiny_run: Path, phantom_set: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "clinic"
    folder.mkdir()
    rows = load_split(phantom_set, "test").take(2).rows
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "patient", "tone"])
        writer.writeheader()
        for i, row in enumerate(rows):
            name = f"jane-doe-{i}.png"
            (folder / name).write_bytes((phantom_set / row["file"]).read_bytes())
            writer.writerow({**row, "file": name, "patient": "Jane Doe", "tone": f"type {i}"})
    with load(tiny_run) as reference:
        packed = packs.make(reference, load_split(folder, "test"), tmp_path / "p", groups=["tone"])
    for path in packed.folder.iterdir():
        assert "jane" not in path.name.lower()
        assert b"jane" not in path.read_bytes().lower()
    assert packed.groups == {"tone": ("type 0", "type 1")}


def test_an_unknown_group_is_refused(tiny_run: Path, test_split: Dataset, tmp_path: Path) -> None:
    with load(tiny_run) as reference, pytest.raises(InvalidData, match="no column 'age'.*file"):
        packs.make(reference, test_split, tmp_path / "pack", groups=["age"])
    assert not (tmp_path / "pack").exists()


def test_a_pack_is_replaced_only_when_asked(
    made: Pack, tiny_run: Path, test_split: Dataset
) -> None:
    with load(tiny_run) as reference:
        with pytest.raises(CannotWrite, match="--force"):
            packs.make(reference, test_split.take(1), made.folder)
        again = packs.make(reference, test_split.take(1), made.folder, force=True)
    assert len(again) == 1


@pytest.mark.parametrize("victim", ["shard-003.bin", "reference.npz"])
def test_a_changed_byte_is_found(made: Pack, victim: str) -> None:
    path = made.folder / victim
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(InvalidPack, match=f"{victim} is not the file that was packed"):
        packs.read(made.folder)


def test_a_missing_shard_is_found(made: Pack) -> None:
    (made.folder / "shard-001.bin").unlink()
    with pytest.raises(InvalidPack, match="shard-001.bin is missing"):
        packs.read(made.folder)


def test_a_newer_pack_asks_for_a_newer_edgeskin(made: Pack) -> None:
    document = json.loads((made.folder / "pack.json").read_text())
    (made.folder / "pack.json").write_text(json.dumps(document | {"version": 2}))
    with pytest.raises(InvalidPack, match="version 2; upgrade"):
        packs.read(made.folder)
