"""What `examples/own_network/run.sh` makes, once: the notebook and the gate work on it too."""

from __future__ import annotations

from pathlib import Path

import pytest
from example_shell import EXAMPLES, shell


@pytest.fixture(scope="session")
def own_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the example, after two epochs instead of twenty."""
    folder = tmp_path_factory.mktemp("own_network")
    script = EXAMPLES / "own_network" / "run.sh"
    done = shell("bash", script, cwd=folder, EPOCHS="2", SAMPLES="8", TARGET="onnx")
    (folder / "stdout").write_text(done.stdout)
    assert done.returncode == 0, done.stderr
    return folder
