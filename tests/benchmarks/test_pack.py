"""Packs: what is in them, that they are checked, and that no name of a person is."""

from __future__ import annotations

import csv
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from acne_network import ARCH
from PIL import Image
from samples import acne_spec

from edgeskin.benchmarks import pack as packs
from edgeskin.benchmarks.accuracy import report
from edgeskin.benchmarks.pack import Pack
from edgeskin.data.grouping import GroupOptions, group_images
from edgeskin.data.manifest import Dataset, load_split
from edgeskin.errors import CannotWrite, InvalidData, InvalidPack
from edgeskin.files import sha256
from edgeskin.models.architectures import build
from edgeskin.models.run import save_run
from edgeskin.predictor import load
from edgeskin.preprocess import preprocess
from edgeskin.spec import DistributionHead


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


def test_labels_that_are_intervals_come_back(test_split: Dataset, tmp_path: Path) -> None:
    """Exact ages and ages of which a decade is known, as of the faces of several sources."""
    ages = DistributionHead(name="age", first=1.0, size=65, unit="years")
    spec = acne_spec(arch=ARCH, arch_args={"sizes": [65]}, heads=(ages,))
    save_run(tmp_path / "run", spec, build(spec).eval())
    lines = ["file,split,age,age_low,age_high"]
    (tmp_path / "data").mkdir()
    for i, path in enumerate(test_split.paths):
        shutil.copy(path, tmp_path / "data")
        lines.append(f"{path.name},test,{f'{i + 1},,' if i % 2 else f',{i + 1},{i + 9}'}")
    (tmp_path / "data" / "manifest.csv").write_text("\n".join(lines) + "\n")
    with load(tmp_path / "run") as reference:
        made = packs.make(reference, load_split(tmp_path / "data", "test"), tmp_path / "pack")
    expected = [[i + 1, i + 1 if i % 2 else i + 9] for i in range(16)]
    assert packs.read(made.folder).truth["age"].tolist() == expected

    found = report(made, made.reference, bit_equal_inputs=1.0).metrics
    assert (found["age_mae"].images, found["age_hit"].images) == (8, 8)
    assert found["age_mae"].change.value == 0.0


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
        split = load_split(folder, "test")
        groups = group_images(split, GroupOptions(["tone"]))
        packed = packs.make(reference, split, tmp_path / "p", groups=groups)
    for path in packed.folder.iterdir():
        assert "jane" not in path.name.lower()
        assert b"jane" not in path.read_bytes().lower()
    assert packed.groups == groups
    assert groups["tone"].labels == ("type 0", "type 1")


def test_groups_of_other_images_are_refused(
    tiny_run: Path, test_split: Dataset, tmp_path: Path
) -> None:
    groups = group_images(test_split.take(2), GroupOptions(["severity"]))
    with load(tiny_run) as reference, pytest.raises(InvalidData, match="severity are of 2 images"):
        packs.make(reference, test_split, tmp_path / "pack", groups=groups)
    assert not (tmp_path / "pack").exists()


def test_groups_keep_their_order_and_their_rule_and_older_packs_have_none(
    tiny_run: Path, test_split: Dataset, tmp_path: Path
) -> None:
    groups = group_images(test_split, GroupOptions(["count:5,20,50", "ita_deg:0"]))
    with load(tiny_run) as reference:
        made = packs.make(reference, test_split, tmp_path / "pack", groups=groups)
    assert made.groups == groups
    document = json.loads((made.folder / packs.PACK).read_text())
    del document["group_names"], document["group_rules"]
    (made.folder / packs.PACK).write_text(json.dumps(document))
    older = packs.read(made.folder).groups["ita_deg:0"]
    assert (older.labels, older.rule) == (groups["ita_deg:0"].labels, "column ita_deg:0")


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


Change = Callable[[dict[str, Any]], None]


def change(made: Pack, edit: Change) -> Path:
    """Rewrite pack.json; its own hash is nowhere."""
    path = made.folder / "pack.json"
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))
    return made.folder


def rename_shard(document: dict[str, Any], name: str) -> None:
    document["sha256"][name] = document["sha256"].pop("shard-000.bin")


@pytest.mark.parametrize(
    "name",
    [
        "../secret.bin",
        "/etc/hostname",
        "sub/shard-000.bin",
        "pack.json",
        "shard-000.bin\nlibrary ./evil.so",  # a line of its own in the request to a device
    ],
)
def test_a_document_chooses_no_file(made: Pack, name: str) -> None:
    """The file is there and has the hash that the pack names: only its place is wrong."""
    (made.folder / "sub").mkdir()
    secret = made.folder.parent / "secret.bin"
    for path in (secret, made.folder / "sub/shard-000.bin"):
        path.write_bytes((made.folder / "shard-000.bin").read_bytes())
    with pytest.raises(
        InvalidPack, match="it names .*; its files are reference.npz and shards"
    ) as e:
        packs.read(change(made, lambda document: rename_shard(document, name)))
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("victim", ["shard-000.bin", "reference.npz"])
def test_a_link_out_of_the_pack_is_refused(made: Pack, victim: str) -> None:
    path = made.folder / victim
    path.symlink_to(path.rename(made.folder.parent / "elsewhere"))
    with pytest.raises(InvalidPack, match=rf"lies outside its folder \({victim} is a link to .*"):
        packs.read(made.folder)


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("width", 10**9, "items.0.width: Input should be less than or equal to 32768"),
        ("width", 32768, "image 0 ends at byte 7077888 of shard-000.bin, which has 31104"),
        ("height", 0, "items.0.height: Input should be greater than or equal to 1"),
        ("height", 72.5, "items.0.height: Input should be a valid integer"),
        ("offset", -1, "items.0.offset: Input should be greater than or equal to 0"),
        ("offset", 2**70, "image 0 ends at byte 1180591620717411318976 of shard-000.bin"),
        ("offset", 15553, "image 0 ends at byte 31105 of shard-000.bin, which has 31104"),
        ("shard", -1, "items.0.shard: Input should be greater than or equal to 0"),
        ("shard", 8, "its images are not in the order of its 8 shards"),
        ("shard", 1, "its images are not in the order of its 8 shards|ends at byte"),
        ("source_sha256", "../x", "items.0.source_sha256: String should match pattern"),
        ("colour", "red", "items.0.colour: Unexpected keyword argument"),
    ],
)
def test_an_image_lies_in_its_shard(made: Pack, field: str, value: Any, why: str) -> None:
    def edit(document: dict[str, Any]) -> None:
        document["items"][0][field] = value

    with pytest.raises(InvalidPack, match=why) as caught:
        packs.read(change(made, edit))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (lambda d: d.pop("items"), "items: Field required"),
        (lambda d: d.update(items=[]), "items: Tuple should have at least 1 item"),
        (lambda d: d["items"].pop(), "'severity' has 16 rows for 15 images"),
        (lambda d: d["items"].reverse(), "its images are not in the order of its 8 shards"),
        (lambda d: d["labels"]["severity"].pop(), "'severity' has 15 rows for 16 images"),
        (lambda d: d["labels"].update(severity=[[0, 1]] * 16), "'severity' do not fit"),
        (lambda d: d["labels"].update(count=[[1, 2, 3]] * 16), "'count' do not fit that head"),
        (lambda d: d["labels"].update(count=[1] * 15 + [[1, 2]]), "labels.count"),
        (lambda d: d["labels"].update(age=[1] * 16), "labels of 'age', which is no head"),
        (lambda d: d["groups"].update(tone=["I"]), "'tone' has 1 rows for 16 images"),
        (lambda d: d["sha256"].pop("shard-007.bin"), "not in the order of its 7 shards"),
        (lambda d: d["sha256"].pop("reference.npz"), "it names 'shard-007.bin'"),
        (lambda d: d.update(ready="yes"), "ready: Input should be a valid boolean"),
    ],
)
def test_a_pack_that_does_not_fit_together(made: Pack, edit: Change, why: str) -> None:
    with pytest.raises(InvalidPack, match=why):
        packs.read(change(made, edit))


@pytest.mark.parametrize("text", ["", "[]", "3", '{"version": 1}', "{" * 10, "\xff"])
def test_a_document_that_is_none(made: Pack, text: str) -> None:
    (made.folder / "pack.json").write_text(text, encoding="latin-1")
    with pytest.raises(InvalidPack, match="pack.json is damaged"):
        packs.read(made.folder)


def test_outputs_of_absurd_size_are_refused(made: Pack) -> None:
    """An array of 8 TB by its header, and no values behind it."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)}
    )
    reference = made.folder / "reference.npz"
    with zipfile.ZipFile(reference, "w") as file:
        file.writestr("severity.npy", header.getvalue())
    folder = change(made, lambda d: d["sha256"].update({reference.name: sha256(reference)}))
    with pytest.raises(InvalidPack, match="is damaged"):
        packs.read(folder)


def test_more_than_a_thousand_shards_keep_their_order(made: Pack) -> None:
    """As text, shard-1000.bin comes before shard-101.bin."""
    count, reference = 1002, made.folder / "reference.npz"
    np.savez(reference, **{k: np.repeat(v[:1], count, 0) for k, v in made.reference.items()})
    for i in range(count):
        (made.folder / f"shard-{i:03d}.bin").write_bytes(bytes([i % 256] * 3))

    def edit(document: dict[str, Any]) -> None:
        item = {"offset": 0, "width": 1, "height": 1, "source_sha256": "0" * 64}
        document["items"] = [{**item, "shard": i} for i in range(count)]
        names = [reference.name, *(f"shard-{i:03d}.bin" for i in range(count))]
        document |= {"labels": {}, "sha256": {n: sha256(made.folder / n) for n in names}}

    packed = packs.read(change(made, edit))
    for i in (100, 101, 999, 1000, 1001):
        assert packed.image(i).tolist() == [[[i % 256] * 3]]
