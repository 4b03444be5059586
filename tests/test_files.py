import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edgeskin.errors import CannotWrite
from edgeskin.files import atomic, inside, locked, sha256, size_bytes, write_json, write_texts


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), atomic(tmp_path / "a.bin") as fresh:
        fresh.write_bytes(b"half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_an_interrupted_replacement_leaves_the_old_one(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "run"
    old = target / "spec.json" if kind == "folder" else target
    old.parent.mkdir(exist_ok=True)
    old.write_text("old")
    with pytest.raises(ValueError, match="stop"), atomic(target, force=True) as fresh:
        fresh.mkdir() if kind == "folder" else fresh.write_text("new")
        raise ValueError("stop")
    assert old.read_text() == "old"
    with atomic(target, force=True) as fresh:
        (fresh.mkdir(), (fresh / "y").write_text("new")) if kind == "folder" else fresh.write_text(
            "n"
        )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run"]
    assert not (target / "spec.json").exists()


@pytest.mark.parametrize("hard_links", [True, False])
def test_several_texts_appear_together_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hard_links: bool
) -> None:
    """The last rename fails: a new file is gone again, replaced ones are back."""
    page, table, folder, last = (tmp_path / n for n in ("r.html", "sub/r.csv", "r.xml", "r.md"))
    table.parent.mkdir()
    table.write_text("old")
    folder.mkdir()
    documents = dict.fromkeys((page, table, folder, last), "new")
    whole = os.replace

    def full(source: Path, target: Path) -> None:
        if target == last:
            raise OSError(errno.ENOSPC, "full")
        whole(source, target)

    def without_links(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "replace", full)
    if not hard_links:
        monkeypatch.setattr(os, "link", without_links)
    with pytest.raises(CannotWrite, match=r"cannot write .*r.md: no space left"):
        write_texts(documents, force=True)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["r.csv", "r.xml", "sub"]
    assert (table.read_text(), folder.is_dir()) == ("old", True)
    monkeypatch.undo()
    with pytest.raises(CannotWrite, match=r"r.csv exists already"):
        write_texts(documents)
    write_texts(documents, force=True)
    assert {path.read_text() for path in documents} == {"new"}
    assert len(list(tmp_path.rglob("*"))) == 5


def test_two_outputs_of_one_name_are_refused(tmp_path: Path) -> None:
    again = tmp_path / "sub" / ".." / "r.md"
    with pytest.raises(CannotWrite, match=r"r.md would be two of the outputs"):
        write_texts({tmp_path / "r.md": "a", again: "b"})
    assert not list(tmp_path.iterdir())


def test_an_existing_output_is_not_overwritten(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": 1})
    with pytest.raises(CannotWrite, match="exists already. Pass --force"):
        write_json(tmp_path / "a.json", {"x": 2}, force=False)


def test_a_path_through_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite, match="a file, not a folder"):
        write_json(tmp_path / "file" / "a.json", {})


def test_many_write_at_once_into_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    def write(path: Path) -> None:
        with atomic(path) as fresh:
            fresh.write_text("whole")

    for attempt in range(50):  # one in five failed while a check made and removed the folder
        targets = [tmp_path / str(attempt) / "new" / str(i) for i in range(6)]
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(write, targets))
        assert sorted((tmp_path / str(attempt) / "new").iterdir()) == targets


def test_a_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(CannotWrite, match="no space left"), atomic(tmp_path / "a") as fresh:
        fresh.write_bytes(b"x")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


def test_a_folders_hash_depends_on_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = sha256(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert sha256(tmp_path) != first
    assert size_bytes(tmp_path) == 1


COUNTS = """
import sys, time
from pathlib import Path
from edgeskin.files import locked
folder = Path(sys.argv[1])
for _ in range(20):
    with locked(folder):
        count = int((folder / "count").read_text())
        time.sleep(0.002)  # time for another to read the same number, if the lock let it
        (folder / "count").write_text(str(count + 1))
"""


def test_a_locked_folder_lets_one_process_in_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "count").write_text("0")
    command = [sys.executable, "-c", COUNTS, str(tmp_path)]
    started = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(timeout=120) for process in started] == [0, 0, 0]
    assert (tmp_path / "count").read_text() == "60"
    assert [path.name for path in tmp_path.iterdir()] == ["count"]


def test_a_lock_leaves_nothing_in_its_folder(tmp_path: Path) -> None:
    before = sha256(tmp_path)
    with pytest.raises(ValueError, match="stop"), locked(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [".edgeskin.lock"]
        raise ValueError("stop")
    assert (sha256(tmp_path), list(tmp_path.iterdir())) == (before, [])
    (tmp_path / ".edgeskin.lock").write_text("")  # of a process that was killed
    with locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_locked_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refusal = pytest.raises(CannotWrite, match=r"cannot write .*edgeskin\.lock: a part of the path")
    with refusal, locked(tmp_path / "file"):
        pass


def test_force_spares_a_folder_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("years of work")
    with (
        pytest.raises(CannotWrite, match="edgeskin did not write"),
        atomic(tmp_path / "thesis", force=True),
    ):
        pass
    assert (tmp_path / "thesis" / "chapter1.txt").exists()


@pytest.mark.parametrize("name", ["a.bin", "sub/a.bin", "./a.bin", "..a", "not yet"])
def test_a_name_inside_a_folder_is_its_path(tmp_path: Path, name: str) -> None:
    (tmp_path / "sub").mkdir()
    assert inside(tmp_path, name) == (tmp_path / name).resolve()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "'' lies outside its folder$"),
        (".", "'.' lies outside its folder$"),
        ("sub/..", "lies outside its folder$"),
        ("../secret.bin", "'../secret.bin' lies outside its folder$"),
        ("../pack-of-another/a.bin", "lies outside"),  # of a name that begins alike
        ("sub/../../secret.bin", "lies outside"),
        ("sub/../a.bin", "lies outside"),  # where `sub` is a link, `..` leads elsewhere
        ("/etc/passwd", "lies outside"),
        ("link", r"lies outside its folder \(link is a link to .*; cp -rL copies"),
        ("folder/secret.bin", r"lies outside its folder \(folder is a link to .*; cp -rL copies"),
        ("circle", "'circle' cannot be followed|Symlink loop"),
        ("nul\0", "null"),
    ],
)
def test_a_name_that_leads_out_of_its_folder_is_refused(
    tmp_path: Path, name: str, why: str
) -> None:
    folder = tmp_path / "pack"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "secret.bin").write_bytes(b"secret")
    (folder / "link").symlink_to(tmp_path / "secret.bin")
    (folder / "folder").symlink_to(tmp_path)
    (folder / "circle").symlink_to("circle")
    with pytest.raises(ValueError, match=why) as caught:
        inside(folder, name)
    assert "\n" not in str(caught.value)


def test_the_absolute_name_of_a_file_inside_is_refused_too(tmp_path: Path) -> None:
    """It would not be found where the folder is copied to."""
    (tmp_path / "a.bin").touch()
    with pytest.raises(ValueError, match="lies outside its folder"):
        inside(tmp_path, str(tmp_path / "a.bin"))


def test_a_folder_may_itself_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "folder").symlink_to("real")
    assert inside(tmp_path / "folder", "a.bin") == tmp_path.resolve() / "real/a.bin"
