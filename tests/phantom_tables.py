"""What tests read of phantom sets on disk."""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def picture(path: Path, mode: str) -> NDArray[np.uint8]:
    """Of a file that must be of a Pillow mode; masks of one bit are boolean."""
    image = Image.open(path)
    assert image.mode == mode
    return np.asarray(image)
