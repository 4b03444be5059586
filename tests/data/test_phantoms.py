"""Phantoms: labels that hold in the pixels, bytes that never change, sets on disk."""

import csv
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from edgeskin.data.phantoms import (
    GRADE_COUNTS,
    KINDS,
    SPLITS,
    Phantom,
    contact_sheet,
    render_phantom,
    severity_of,
    write_set,
)
from edgeskin.data.skin_tone import ITA_RANGE_DEG, ita_deg, srgb_to_lab
from edgeskin.errors import CannotWrite, InvalidData, ShapeMismatch

MIXED = {"papule": 9, "pustule": 7, "nodule": 3, "comedone": 8}


def digest(phantom: Phantom) -> str:
    """Of pixels, mask and labels."""
    labels = repr([(lesion.kind, lesion.box) for lesion in phantom.lesions])
    data = phantom.image.tobytes() + phantom.mask.tobytes() + labels.encode()
    return hashlib.sha256(data).hexdigest()


# If one of these changes, golden vectors, the self-test pack and the built-in
# network change with it: it is a change of format, to be told in the changelog.
DIGESTS: dict[tuple[int, int], str] = {
    (0, 256): "4a4d9c34b777ab1de5e4a21c2c644555d2c756549b14d19bf38b55c2294228fc",
    (1, 256): "35cbd03f7620a01e48c79de786a5ed3cc6cc2a25f561e8edeaf1e803226f6ff1",
    (12345, 256): "73ef9ce05aa0206cb11603d3ad1795af93b141f449b7890c6ad071702fef9d0b",
    (1099511627783, 100): "082cfbcc8f290b33b7f2b177594e60636d3610085972d21d40efa91d9481705d",
    (7, 512): "c6e1b7d27ea963aebd508cacd65763ca9c90f5e9eb57a08809f37a59bb55b633",
}


@pytest.mark.parametrize(("seed", "size"), DIGESTS)
def test_bytes_are_the_pinned_ones(seed: int, size: int) -> None:
    assert digest(render_phantom(seed, size=size)) == DIGESTS[seed, size]


def test_bytes_do_not_depend_on_vector_instructions() -> None:
    config: Any = np.show_config(mode="dicts")
    found = config["SIMD Extensions"].get("found", [])
    if not found:
        pytest.skip("NumPy uses no optional vector instructions on this machine")
    seed, size = next(iter(DIGESTS))
    program = (
        "import hashlib; from edgeskin.data.phantoms import render_phantom;"
        f"print(hashlib.sha256(render_phantom({seed}, size={size}).image.tobytes()).hexdigest())"
    )
    outputs = []
    for disabled in ("", " ".join(found)):
        env = {**os.environ, "NPY_DISABLE_CPU_FEATURES": disabled}
        env["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        outputs.append(subprocess.check_output([sys.executable, "-c", program], env=env))
    assert outputs[0] == outputs[1]


def test_same_seed_same_bytes_other_seed_other_bytes() -> None:
    digests = [digest(render_phantom(seed, size=64)) for seed in (1, 2, 3, 2**40, 1)]
    assert digests[0] == digests[4]
    assert len(set(digests)) == 4


@pytest.mark.parametrize("ita", [*np.linspace(*ITA_RANGE_DEG, 14).tolist(), 0.5])
def test_ita_is_found_in_the_pixels(ita: float) -> None:
    for seed in range(4):
        for counts in ({}, MIXED):
            phantom = render_phantom(seed, size=128, ita_deg=ita, counts=counts)
            assert phantom.ita_deg == ita
            assert ita_deg(phantom.image, phantom.mask) == pytest.approx(ita, abs=5.0)


def test_drawn_ita_covers_the_range_and_is_found_in_the_pixels() -> None:
    phantoms = [render_phantom(seed) for seed in range(40)]
    for phantom in phantoms:
        # The promised 5 degrees; 1.8 was the most over 60 seeds.
        assert ita_deg(phantom.image, phantom.mask) == pytest.approx(phantom.ita_deg, abs=5.0)
    drawn = [phantom.ita_deg for phantom in phantoms]
    # Of 40 even draws, none within 20 degrees of one end has a chance of 0.1 %.
    assert min(drawn) < -40.0
    assert max(drawn) > 50.0


@pytest.mark.parametrize("size", [64, 100, 256])
def test_labels_agree_with_each_other(size: int) -> None:
    for seed in range(12):
        phantom = render_phantom(seed, size=size)
        covered = np.zeros((size, size), np.bool_)
        for lesion in phantom.lesions:
            x0, y0, x1, y1 = lesion.box
            assert 0 <= x0 < x1 <= size
            assert 0 <= y0 < y1 <= size
            inside = phantom.mask[y0:y1, x0:x1]
            # Tight: lesion pixels on every side of the box.
            assert all(side.any() for side in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))
            covered[y0:y1, x0:x1] = True
        assert not (phantom.mask & ~covered).any()
        assert phantom.image.shape == (size, size, 3)
        assert phantom.count == sum(phantom.counts.values()) == len(phantom.lesions)


def test_lesions_do_not_overlap() -> None:
    for seed in range(6):
        phantom = render_phantom(seed, counts=MIXED)
        regions, _ = cv2.connectedComponents(phantom.mask.astype(np.uint8), connectivity=4)
        # Were two to touch, there would be fewer regions (the background is one) than
        # lesions. A bent outline may cut an islet off its lesion, hence "at least".
        assert regions - 1 >= phantom.count == sum(MIXED.values())


def test_counts_are_honoured_and_leave_the_skin_alone() -> None:
    bare = render_phantom(8, counts={})
    assert bare.counts == dict.fromkeys(KINDS, 0)
    assert not bare.mask.any()
    spotted = render_phantom(8, counts={"nodule": 1, "comedone": 4})
    assert spotted.counts == {"papule": 0, "pustule": 0, "nodule": 1, "comedone": 4}
    same = (bare.image == spotted.image).all(axis=2)
    assert same.mean() > 0.9
    # A dark pixel may round to the same code by chance; few do.
    assert same[spotted.mask].mean() < 0.02


def test_kinds_differ_in_size_as_in_the_clinic() -> None:
    areas = {kind: int(render_phantom(4, counts={kind: 6}).mask.sum()) for kind in KINDS}
    assert areas["nodule"] > 3 * areas["pustule"]
    assert areas["papule"] > 3 * areas["comedone"]


@pytest.mark.parametrize("ita", [-60.0, -30.0, 0.0, 30.0, 70.0])
@pytest.mark.parametrize("kind", ["papule", "nodule"])
def test_inflamed_lesions_are_redder_and_darker_on_every_skin(kind: str, ita: float) -> None:
    phantom = render_phantom(6, ita_deg=ita, counts={kind: 8})
    lab = srgb_to_lab(phantom.image)
    lesion, skin = np.median(lab[phantom.mask], axis=0), np.median(lab[~phantom.mask], axis=0)
    # A colour difference of 2.3 is just noticeable (Mahy et al. 1994); ask for twice that.
    assert lesion[1] - skin[1] > 4.6
    assert lesion[0] < skin[0]


@pytest.mark.parametrize("ita", [-60.0, 0.0, 70.0])
def test_pustules_are_pale_and_yellow_in_the_middle(ita: float) -> None:
    phantom = render_phantom(6, ita_deg=ita, counts={"pustule": 8})
    lab = srgb_to_lab(phantom.image)
    skin = np.median(lab[~phantom.mask], axis=0)
    boxes = [lesion.box for lesion in phantom.lesions]
    middle = np.median([lab[(y0 + y1) // 2, (x0 + x1) // 2] for x0, y0, x1, y1 in boxes], axis=0)
    assert middle[0] > skin[0]
    assert middle[2] > skin[2] + 4.6


@pytest.mark.parametrize(
    ("count", "severity"), [(0, 0), (5, 0), (6, 1), (20, 1), (21, 2), (50, 2), (51, 3), (400, 3)]
)
def test_severity_table_of_hayashi(count: int, severity: int) -> None:
    assert severity_of(count) == severity


def test_drawn_severities_are_even() -> None:
    phantoms = [render_phantom(seed, size=64) for seed in range(160)]
    for severity, (low, high) in enumerate(GRADE_COUNTS):
        counts = [p.count for p in phantoms if p.severity == severity]
        # 40 expected of 160, sigma 5.5: four sigma.
        assert len(counts) == pytest.approx(40, abs=22)
        assert low <= min(counts) <= max(counts) <= high


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"size": 63}, "size is 63 pixels, phantoms are 64 to 2048"),
        ({"size": 5000}, "size is 5000"),
        ({"ita_deg": 80.0}, "ita_deg is 80.0"),
        ({"counts": {"wart": 1}}, "names 'wart', lesions are of kind papule, pustule"),
        ({"counts": {"papule": -2}}, "asks for -2 of kind papule"),
        ({"counts": {"nodule": 900}}, r"asks for 900 lesions, but after \d+, .* no room left"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidData, match=message):
        render_phantom(**{"seed": 0, "size": 64, **arguments})


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_written_set_agrees_with_its_manifest(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    manifest = write_set(
        tmp_path / "set",
        train=4,
        val=2,
        test=3,
        seed=5,
        size=96,
        progress=lambda what, done, total: steps.append((done, total)),
    )
    assert manifest == tmp_path / "set" / "manifest.csv"
    assert steps == [(i, 9) for i in range(1, 10)]
    rows = rows_of(manifest)
    assert [row["split"] for row in rows] == ["train"] * 4 + ["val"] * 2 + ["test"] * 3
    boxes = rows_of(manifest.parent / "boxes.csv")
    for row in rows:
        image = np.asarray(Image.open(manifest.parent / row["file"]))
        mask_file = Image.open(manifest.parent / row["mask"])
        assert mask_file.mode == "1"
        mask = np.asarray(mask_file)
        assert image.shape == (96, 96, 3)
        assert ita_deg(image, mask) == pytest.approx(float(row["ita_deg"]), abs=5.0)
        assert row["license"] == "CC0-1.0"
        own = [box for box in boxes if box["file"] == row["file"]]
        assert int(row["count"]) == len(own)
        assert int(row["severity"]) == severity_of(len(own))
        columns = ("n_papules", "n_pustules", "n_nodules_cysts", "n_comedones")
        for kind, column in zip(KINDS, columns, strict=True):
            assert int(row[column]) == sum(box["kind"] == kind for box in own)
        for box in own:
            x0, y0, x1, y1 = (int(box[name]) for name in ("x0", "y0", "x1", "y1"))
            assert mask[y0:y1, x0:x1].any()
    assert sum(int(row["count"]) for row in rows) == len(boxes)


def test_written_images_are_the_rendered_ones(tmp_path: Path) -> None:
    folder = write_set(tmp_path, train=1, val=1, test=1, seed=2, size=64).parent
    # Seeds as documented: a million to a split, three splits to a set.
    for split, seed in zip(SPLITS, (6_000_000, 7_000_000, 8_000_000), strict=True):
        phantom = render_phantom(seed, size=64)
        image = np.asarray(Image.open(folder / f"images/{split}_00000.png"))
        mask = np.asarray(Image.open(folder / f"masks/{split}_00000.png"))
        assert np.array_equal(image, phantom.image)
        assert np.array_equal(mask, phantom.mask)


def test_a_set_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    with pytest.raises(InvalidData, match=r"train, val, test are \(0, 0, 0\)"):
        write_set(folder, train=0, val=0, test=0)
    with pytest.raises(InvalidData, match=r"are \(1, -1, 0\)"):
        write_set(folder, train=1, val=-1, test=0)
    with pytest.raises(InvalidData, match="size is 8"):
        write_set(folder, train=1, val=0, test=0, size=8)
    assert not folder.exists()


def test_a_set_never_overwrites_another(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("precious")
    with pytest.raises(CannotWrite, match="exists already"):
        write_set(tmp_path, train=1, val=0, test=0, size=64)
    assert (tmp_path / "manifest.csv").read_text() == "precious"
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(CannotWrite, match="cannot write the set to"):
        write_set(tmp_path / "file", train=1, val=0, test=0, size=64)


def test_contact_sheet_holds_every_image_in_order() -> None:
    images = [np.full((5, 7, 3), 10 * i, np.uint8) for i in range(5)]
    sheet = contact_sheet(images, columns=3)
    assert sheet.shape == (2 * 9 + 4, 3 * 11 + 4, 3)
    middles = [sheet[4 + 9 * row + 2, 4 + 11 * column + 3, 0] for row, column in np.ndindex(2, 3)]
    assert middles == [0, 10, 20, 30, 40, 235]
    assert (sheet[:4] == 235).all()


def test_contact_sheet_refuses_what_it_cannot_lay_out() -> None:
    image = np.zeros((5, 7, 3), np.uint8)
    with pytest.raises(InvalidData, match="0 images in 3 columns"):
        contact_sheet([], 3)
    with pytest.raises(InvalidData, match="1 images in 0 columns"):
        contact_sheet([image], 0)
    with pytest.raises(ShapeMismatch, match=r"image 0 is \(5, 7, 3\), image 1 is \(7, 5, 3\)"):
        contact_sheet([image, image.transpose(1, 0, 2)], 2)
