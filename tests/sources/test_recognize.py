"""What a path holds is told by its content, and what it is not by one line."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from edgeskin.errors import InvalidRun
from edgeskin.sources.recognize import kind_of
from edgeskin.sources.torchscript import read_torchscript


def test_what_is_no_model_to_import_says_what_to_do_instead(tmp_path: Path) -> None:
    path = tmp_path / "file"
    state = {"w": torch.zeros(2)}

    def line() -> str:
        with pytest.raises(InvalidRun) as caught:
            kind_of(path)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "is missing" in line()
    torch.save(state, path)
    assert "holds weights alone. Name the network" in line()
    save_file(state, path)
    assert "holds weights alone" in line()
    path.write_bytes(pickle.dumps({"w": 1}, protocol=4))
    assert "is a pickle, which is code and is not opened" in line()
    path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(40))
    assert "is a TFLite model, a finished file" in line()
    path.write_bytes(b"")
    assert "is damaged, or no model that edgeskin knows" in line()
    path.write_text("print('hello')")
    assert "is damaged, or no model that edgeskin knows" in line()
    path.write_bytes(b"\x0a\x20\x0a\x05input")
    assert "is a frozen TensorFlow graph" in line()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/serialized_exported_program.json", "{}")
    assert "was exported by an older torch" in line()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme", "")
    assert "is damaged, or no model" in line()


def test_folders(tmp_path: Path) -> None:
    with pytest.raises(InvalidRun, match="is damaged, or no model that edgeskin knows"):
        kind_of(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InvalidRun, match="is a Hugging Face folder, which names code"):
        kind_of(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"")
    assert kind_of(tmp_path).name == "saved_model"


def test_a_pickle_that_is_no_state_dict_is_never_executed(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return (Path.touch, (tmp_path / "executed",))

    path = tmp_path / "model.pth"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(InvalidRun, match="is a pickle"):
        kind_of(path)
    assert not (tmp_path / "executed").exists()


class Reads(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.from_file("/etc/hostname", size=3)


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_torchscript_that_reaches_beyond_the_network_does_not_run(tmp_path: Path) -> None:
    torch.jit.script(Reads()).save(tmp_path / "reads.pt")
    with pytest.raises(InvalidRun, match="calls aten::from_file, which reaches beyond"):
        read_torchscript(tmp_path / "reads.pt", input_size=(8, 8))


def test_torchscript_that_torch_cannot_read_says_how_to_export(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "old.pt", "w") as archive:
        archive.writestr("old/constants.pkl", b"")
        archive.writestr("old/version", b"999\n")
    assert kind_of(tmp_path / "old.pt").name == "torchscript"
    with pytest.raises(InvalidRun, match=r"cannot read the TorchScript .* torch\.export\.save"):
        read_torchscript(tmp_path / "old.pt", input_size=(8, 8))
    with pytest.raises(InvalidRun, match="does not say what images it takes. Say it: --input-size"):
        read_torchscript(tmp_path / "old.pt")
