"""The task that docs/add-a-task.md shows, trained as it stands there."""

import csv
import re
import sys
from pathlib import Path

import pytest

from edgeskin.data.phantom_sets import find_set
from edgeskin.tasks import TASKS, Task
from edgeskin.training.recipe import Recipe
from edgeskin.training.train import train

PAGE = Path(__file__).resolve().parents[2] / "docs" / "add-a-task.md"


@pytest.mark.slow
def test_the_task_of_the_page_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, row = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "wrinkles_of_the_page.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    task = eval(row.strip(), {"Task": Task})
    monkeypatch.setitem(TASKS, task.name, Task(task.name, "wrinkles_of_the_page", task.summary))
    folder = tmp_path / "faces"
    find_set("ages")(folder, train=9, val=0, test=6, size=128)
    rows = list(csv.DictReader((folder / "manifest.csv").open()))
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["file", "split", "wrinkles"], extrasaction="ignore")
        writer.writeheader()
        for i, row in enumerate(rows):
            writer.writerow(row | {"wrinkles": ("none", "fine", "deep")[i % 3]})
    recipe = Recipe(size=64, resize_to=72, pretrained=False, batch_size=3, epochs=1, balanced=True)
    made = train("wrinkles", "mobilenet_v3_small", folder, tmp_path / "run", recipe=recipe)
    assert made.test is not None
    assert list(made.test.metrics) == ["wrinkles_accuracy", "wrinkles_balanced_accuracy"]
    assert "wrinkles_of_the_page" in sys.modules
