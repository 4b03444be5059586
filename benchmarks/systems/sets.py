"""Data sets of the systems that are made of several: regions, composites, presence, lesions.

Each is a data folder of its own, made once beside the runs; none of it goes anywhere else.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgeskin.data.listing import Row
from edgeskin.data.phantom_longshots import LongShot, render_longshot
from edgeskin.data.skin_tone import srgb_to_lab
from edgeskin.errors import InvalidData
from edgeskin.files import atomic
from edgeskin.progress import Progress, silent

Pixels = NDArray[np.uint8]
OTHER, SKIN, LESION = range(3)
SCENE = 768
"""Pixels of a composite's side."""
REACH = 1.2
"""Radii of a lesion that its skin is blended in over."""
COMPOSITES = {"train": 240, "test": 120}
LICENSE = "follows its lesion: CC BY-NC 4.0 (HAM10000)"


def regions(data: Path, out: Path, progress: Progress = silent) -> Path:
    """Faces (skin), dermatoscopic lesions (lesion on skin), and composites of lesions in scenes.

    Masks have levels 0 other, 1 skin, 2 lesion; `kind` says which of the three an image is.
    """
    parts = (
        _masked(data / "face_skin_segmentation", "face", {True: SKIN, False: OTHER}),
        _masked(data / "lesion_segmentation", "lesion", {True: LESION, False: SKIN}),
        composites(data),
    )
    return _write(out, (item for part in parts for item in part), progress)


def scenes(data: Path, out: Path, progress: Progress = silent) -> Path:
    """The composites alone, with the diagnosis of their lesion as `label`."""
    return _write(out, composites(data), progress)


Item = tuple[Pixels, Pixels | None, Row]


def _masked(folder: Path, kind: str, levels: dict[bool, int]) -> Iterator[Item]:
    for row in _rows(folder):
        mask = np.asarray(Image.open(folder / row["mask"]).convert("L")) > 127
        image = np.asarray(Image.open(folder / row["file"]).convert("RGB"))
        plane = np.where(mask, levels[True], levels[False]).astype(np.uint8)
        yield image, plane, {**row, "kind": kind, "group": row.get("person") or row["lesion_id"]}


def composites(data: Path) -> Iterator[Item]:
    """Real lesions, cut out by their masks, on the bodies of phantom long shots.

    A lesion replaces each phantom lesion of a scene, scaled to its size; its colours are moved
    in CIELAB by as much as the skin around it differs from the skin of the scene.
    """
    folder = data / "lesion_segmentation"
    for split, count in COMPOSITES.items():
        rows = [row for row in _rows(folder) if row["split"] == split]
        for i in range(count):
            row = rows[i % len(rows)]
            seed = i + (0 if split == "train" else 500_000)
            shot = render_longshot(seed, size=SCENE)
            image = np.asarray(Image.open(folder / row["file"]).convert("RGB"))
            mask = np.asarray(Image.open(folder / row["mask"]).convert("L")) > 127
            pixels, levels = _placed(shot, image, mask)
            kept = {name: row[name] for name in ("label", "split")}
            yield pixels, levels, {**kept, "kind": "composite", "group": row["lesion_id"]}


def _placed(shot: LongShot, image: Pixels, mask: NDArray[np.bool_]) -> tuple[Pixels, Pixels]:
    scene = srgb_to_lab(shot.image)
    levels = np.minimum(shot.mask, SKIN)
    skin = np.median(scene[shot.mask == SKIN], axis=0)
    lesion = srgb_to_lab(image)
    lesion += skin - np.median(lesion[~mask], axis=0)
    ys, xs = np.nonzero(mask)
    centre, radius = (xs.mean(), ys.mean()), np.sqrt(mask.sum() / np.pi)
    window = _ramp(mask.shape[0])[:, None] * _ramp(mask.shape[1])[None, :]
    for x, y, wanted in shot.lesions:
        scale = REACH * wanted / radius
        move = np.array([[scale, 0, x - scale * centre[0]], [0, scale, y - scale * centre[1]]])
        inside, seen, colours = (_warped(p, move) for p in (mask, window, lesion))
        near = _near(x, y, 1.6 * REACH * wanted)
        alpha = np.minimum(near, seen) * (shot.mask != OTHER)
        scene = alpha[..., None] * colours + (1 - alpha[..., None]) * scene
        levels = np.where((inside > 0.5) & (alpha > 0.5), LESION, levels)
    return _srgb(scene), levels.astype(np.uint8)


def _ramp(size: int) -> NDArray[np.float64]:
    """1 but near both ends, where a cut-out fades: over an eighth of the size."""
    place = (np.arange(size) + 0.5) / size
    return np.clip(8 * np.minimum(place, 1 - place), 0, 1)


def _warped(plane: NDArray[Any], move: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.asarray(cv2.warpAffine(plane.astype(np.float32), move, (SCENE, SCENE)), np.float32)


def _near(x: float, y: float, radius: float) -> NDArray[np.float64]:
    """1 within three quarters of the radius, falling to 0 at it."""
    rows, columns = np.mgrid[:SCENE, :SCENE]
    distance = np.hypot(columns - x, rows - y) / radius
    return np.clip((1 - distance) / 0.25, 0, 1)


def _srgb(lab: NDArray[np.floating]) -> Pixels:
    scaled = cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_Lab2RGB)
    return np.clip(np.rint(scaled * 255), 0, 255).astype(np.uint8)


def presence(data: Path, out: Path, progress: Progress = silent) -> Path:
    """Affected: every photo of acne_severity. Unaffected: faces of face_age, from ten years on.

    Source and label go together: the figures say how well sources are told apart, too.
    """

    def rows() -> Iterator[tuple[Path, Row]]:
        for row in _rows(data / "acne_severity"):
            yield data / "acne_severity", {**row, "affected": "affected", "group": row["file"]}
        for row in _rows(data / "face_age"):
            if float(row["age_low"]) >= 10:
                group = row["person"] or row["file"]
                yield data / "face_age", {**row, "affected": "unaffected", "group": group}

    return _copied(out, rows(), progress)


def grades(data: Path, out: Path, progress: Progress = silent) -> Path:
    """acne_severity alone: grade 0 is unaffected, grades 1 to 3 affected; one source."""
    names = {True: "unaffected", False: "affected"}

    def rows() -> Iterator[tuple[Path, Row]]:
        for row in _rows(data / "acne_severity"):
            yield data / "acne_severity", {**row, "affected": names[row["severity"] == "0"]}

    return _copied(out, rows(), progress)


def lesions(data: Path, out: Path, progress: Progress = silent) -> Path:
    """lesion_classification, and to train on, the lesions of lesion_segmentation that it has not.

    Both are of HAM10000. What is to be tested on is that of lesion_classification alone.
    """
    known = _rows(data / "lesion_classification")
    ids = {row["lesion_id"] for row in known}

    def rows() -> Iterator[tuple[Path, Row]]:
        for row in known:
            yield data / "lesion_classification", {**row, "group": row["lesion_id"]}
        for row in _rows(data / "lesion_segmentation"):
            if row["split"] == "train" and row["lesion_id"] not in ids:
                unmasked = {name: value for name, value in row.items() if name != "mask"}
                yield data / "lesion_segmentation", {**unmasked, "group": row["lesion_id"]}

    return _copied(out, rows(), progress)


SETS: dict[str, Callable[..., Path]] = {
    "lesions": lesions,
    "regions": regions,
    "scenes": scenes,
    "presence": presence,
    "grades": grades,
}


def made(name: str, data: Path, out: Path, progress: Progress = silent) -> Path:
    """The folder of a set, made if it is not there; a real set of `data` is taken as it is.

    Raises:
        InvalidData: Neither.
    """
    if name in SETS:
        folder = out / "sets" / name
        return folder if (folder / "manifest.csv").is_file() else SETS[name](data, folder, progress)
    if (data / name / "manifest.csv").is_file():
        return data / name
    raise InvalidData(f"{data} has no set '{name}', and none of that name is made of others")


def _rows(folder: Path) -> list[Row]:
    if not (folder / "manifest.csv").is_file():
        raise InvalidData(f"{folder.parent} has no set '{folder.name}'")
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


COLUMNS = (
    "file", "mask", "split", "kind", "label", "affected", "severity", "age", "sex", "group",
    "license",
)  # fmt: skip


def _write(out: Path, items: Iterable[Item], progress: Progress) -> Path:
    with atomic(out) as fresh:
        for part in ("images", "masks"):
            (fresh / part).mkdir(parents=True)
        rows = []
        for i, (image, mask, row) in enumerate(items):
            Image.fromarray(image).save(fresh / "images" / f"{i:05d}.png")
            row = {**row, "file": f"images/{i:05d}.png", "license": row.get("license", LICENSE)}
            if mask is not None:
                Image.fromarray(mask).save(fresh / "masks" / f"{i:05d}.png")
                row["mask"] = f"masks/{i:05d}.png"
            rows.append(row)
            progress("making the set", i + 1, 0)
        _write_rows(fresh, rows)
    return out


def _copied(out: Path, rows: Iterable[tuple[Path, Row]], progress: Progress) -> Path:
    with atomic(out) as fresh:
        (fresh / "images").mkdir(parents=True)
        kept = []
        for i, (folder, row) in enumerate(rows):
            name = f"images/{i:05d}{Path(row['file']).suffix}"
            shutil.copyfile(folder / row["file"], fresh / name)
            kept.append({**row, "file": name})
            progress("copying images", i + 1, 0)
        _write_rows(fresh, kept)
    return out


def _write_rows(folder: Path, rows: Sequence[Row]) -> None:
    columns = [name for name in COLUMNS if any(name in row for row in rows)]
    with (folder / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
