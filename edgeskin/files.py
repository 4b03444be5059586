"""Outputs that are whole or not there at all, and inputs that stay in their folder.

Every command writes to a temporary name beside its target and renames it when
it is complete, so that a full disk, Ctrl-C or a crash leaves the old file, or
none, and never half of a new one. A document that came from elsewhere may name
files of its own folder only: see `inside`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from edgeskin.errors import CannotWrite


@contextmanager
def atomic(target: Path, *, force: bool = False) -> Iterator[Path]:
    """Give a temporary path to write; rename it to `target` when the block ends well.

    The path does not exist yet: make a file or a folder of it. It lies in a
    scratch folder beside `target`, keeps its name (some libraries look at the
    suffix), and is removed if the block raises.

    Raises:
        CannotWrite: `target` exists and `force` is False, or the operating
            system refuses (read-only, no space, not a folder).
    """
    target = Path(target)
    check_writable(target, force=force)
    with writing(target), folder(target.parent):
        scratch = _scratch(target.parent)
        try:
            fresh = scratch / target.name
            yield fresh
            _replace(fresh, target, scratch)
        finally:
            _remove(scratch)


def _scratch(place: Path) -> Path:
    """A new folder in `place`, which others that write into it may just have removed as empty."""
    while True:
        try:
            return Path(tempfile.mkdtemp(prefix=".edgeskin-", dir=place))
        except FileNotFoundError:
            place.mkdir(parents=True, exist_ok=True)


def _remove(scratch: Path) -> None:
    """A scratch folder, even where Ctrl-C comes while it goes."""
    try:
        shutil.rmtree(scratch, ignore_errors=True)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def check_writable(target: Path, *, force: bool = False) -> None:
    """Refuse an output that exists or cannot be made, before any work is spent on it."""
    occupied = any(target.iterdir()) if target.is_dir() else target.exists()
    if occupied and not force:
        raise CannotWrite(f"{target} exists already. Pass --force to replace it.")
    if occupied and target.is_dir() and not _is_ours(target):
        raise CannotWrite(
            f"{target} is a folder that edgeskin did not write, so --force does not replace it. "
            "Choose another --out, or remove it yourself."
        )
    with writing(target):
        there = next(each for each in target.absolute().parents if each.exists())
        os.rmdir(tempfile.mkdtemp(prefix=".edgeskin-", dir=there))


def check_all_writable(targets: Collection[Path], *, force: bool = False) -> None:
    """Refuse outputs that one command writes together, before it starts.

    Raises:
        CannotWrite: As `check_writable`; or two of them are one file.
    """
    places = [os.path.realpath(target) for target in targets]
    for target, place in zip(targets, places, strict=True):
        if places.count(place) > 1:
            raise CannotWrite(f"{target} would be two of the outputs: name each of them")
        check_writable(target, force=force)


def _is_ours(folder: Path) -> bool:
    """A run, pack, demo, pipeline, bundle, failing layer, Core ML package: --force replaces it."""
    kinds = ("spec", "pack", "demo", "case", "pipeline", "stage", "bundle")
    return folder.suffix == ".mlpackage" or any((folder / f"{k}.json").exists() for k in kinds)


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn the operating system's refusals into one clear line about `target`."""
    try:
        yield
    except OSError as error:
        if (why := reason(error)) is None:
            raise
        raise CannotWrite(f"cannot write {target}: {why}") from error


def reason(error: OSError) -> str | None:
    """Why the operating system refused a write, and what to do; None for other errors."""
    return _REASONS.get(error.errno or 0)


_REASONS = {
    errno.ENOSPC: "no space left on the disk. Free some and run the command again.",
    errno.EDQUOT: "the disk quota is used up. Free some and run the command again.",
    errno.EROFS: "the file system is read-only. Choose another --out.",
    errno.EACCES: "permission denied. Choose another --out or change its mode.",
    errno.EPERM: "permission denied. Choose another --out or change its mode.",
    errno.ENOTDIR: "a part of the path is a file, not a folder. Choose another --out.",
    errno.EEXIST: "a part of the path is a file, not a folder. Choose another --out.",
}


def write_json(target: Path, document: Any, *, force: bool = True) -> None:
    """Write `document` as indented JSON, atomically."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=True) + "\n"
    with atomic(target, force=force) as fresh:
        fresh.write_text(text, encoding="utf-8")


def write_texts(documents: Mapping[Path, str], *, force: bool = False) -> None:
    """Write several files of text: all of them appear, or none.

    Each is written under a temporary name first. Where one cannot be renamed then, those before it
    go again, and what they replaced comes back.

    Raises:
        CannotWrite: As `atomic`; or two of them are one file.
    """
    check_all_writable(documents, force=force)
    places: dict[Path, Path] = {}
    with ExitStack() as stack:
        for target, text in documents.items():
            stack.enter_context(folder(target.parent))
            places[target] = _scratch(target.parent)
            stack.callback(_remove, places[target])
            with writing(target):
                (places[target] / target.name).write_text(text, encoding="utf-8")
        renamed: list[Path] = []
        try:
            for target, scratch in places.items():
                with writing(target):
                    _keep(target, scratch / _OLD)
                    renamed.append(target)
                    os.replace(scratch / target.name, target)
        except BaseException:
            for target in reversed(renamed):
                _put_back(places[target] / _OLD, target)
            raise


_OLD = ".edgeskin-old"


def _keep(target: Path, old: Path) -> None:
    """What is at `target` at `old` too; a folder is moved, for no file can be renamed onto it."""
    if target.is_dir():
        os.replace(target, old)
    elif target.exists():
        try:
            os.link(target, old)
        except OSError:  # file systems without hard links
            shutil.copy2(target, old)


def _put_back(old: Path, target: Path) -> None:
    if not old.is_file():
        target.unlink(missing_ok=True)
    if old.exists():
        os.replace(old, target)


@contextmanager
def locked(folder: Path, name: str = ".edgeskin.lock") -> Iterator[None]:
    """Hold a folder against other edgeskin processes, by the file `name` in it.

    The file goes before the lock does. Whoever waited for it notices (`filelock` looks at its
    link count) and makes a new one, so that nothing is left behind and no two hold the lock.

    Raises:
        CannotWrite: The file cannot be made in `folder`.
    """
    from filelock import FileLock

    path = folder / name
    lock = FileLock(path)
    with writing(path):
        lock.acquire()
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes no open file; there `release` does it
            path.unlink()
        lock.release()


def open_to_readers(path: Path) -> None:
    """Give a file or folder tree the modes that the umask allows; some libraries write 0600."""
    mask = os.umask(0)
    os.umask(mask)
    for entry in [path, *path.rglob("*")]:
        entry.chmod((0o777 if entry.is_dir() else 0o666) & ~mask)


def inside(folder: Path, name: str, *, beyond: Sequence[Path] = ()) -> Path:
    """The path of what a document in `folder` calls `name`, symbolic links resolved.

    Nothing need be there.

    Args:
        beyond: Folders outside that symbolic links may lead into.

    Raises:
        ValueError: `name` is empty, absolute, has a part `..`, leads out of `folder` by
            a symbolic link (the message names it), or is no path at all.

    >>> inside(Path("pack"), "../secret.bin")
    Traceback (most recent call last):
    ...
    ValueError: '../secret.bin' lies outside its folder
    """
    root = folder.resolve()
    try:
        path = (root / name).resolve()
        circle = any(step.is_symlink() for step in (path, *path.parents))  # from Python 3.13 on
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, up to Python 3.12
        raise ValueError(f"{name!r} cannot be followed: {error}") from error
    if circle:
        raise ValueError(f"{name!r} cannot be followed: its links lead in a circle")
    allowed = {root, *(other.resolve() for other in beyond)}
    if Path(name).is_absolute() or ".." in Path(name).parts or allowed.isdisjoint(path.parents):
        raise ValueError(f"{name!r} lies outside its folder{_by_link(root, name)}")
    return path


def _by_link(root: Path, name: str) -> str:
    """Which part of `name` is a symbolic link, for a message; empty where none is."""
    steps = [root.joinpath(*Path(name).parts[: i + 1]) for i in range(len(Path(name).parts))]
    link = next((step for step in steps if step.is_symlink()), None)
    if link is None:
        return ""
    return f" ({link.name} is a link to {link.readlink()}; cp -rL copies what it points to)"


def sha256(path: Path) -> str:
    """SHA-256 of a file, or of a folder's files in name order (names count), as hex."""
    digest = hashlib.sha256()
    if path.is_dir():
        for child in sorted(p for p in path.rglob("*") if p.is_file()):
            digest.update(child.relative_to(path).as_posix().encode() + b"\0")
            digest.update(bytes.fromhex(sha256(child)))
        return digest.hexdigest()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def size_bytes(path: Path) -> int:
    """Bytes in a file, or in all files of a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


@contextmanager
def folder(path: Path) -> Iterator[None]:
    """Make a folder with its parents; those that end up empty are removed again."""
    new_folders = [each for each in (path, *path.parents) if not each.exists()]
    try:
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        with suppress(OSError):  # not empty: the output is there
            for each in new_folders:
                each.rmdir()


def _replace(fresh: Path, target: Path, scratch: Path) -> None:
    """Rename onto `target`; a folder that is in the way is moved aside first."""
    if target.is_dir():
        os.replace(target, scratch / "old")
    os.replace(fresh, target)
