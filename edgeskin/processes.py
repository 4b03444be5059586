"""Child processes: they end with all of theirs, whoever goes first, and answer in JSON.

A child writes its answer to a file (`write_answer`), so that whatever native code prints does
no harm; its parent reads it (`read_answer`), and an error of ours is raised there again.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from edgeskin.document import Document
from edgeskin.errors import EdgeskinError, from_document, to_document

Answer = TypeVar("Answer", bound=Document)


def end(child: subprocess.Popen[Any]) -> None:
    """Kill a child that was started in a session of its own, with its whole group; wait for it."""
    with suppress(ProcessLookupError, PermissionError):  # it ended by itself
        os.killpg(child.pid, signal.SIGKILL)
    if child.stdin is not None:
        with suppress(BrokenPipeError):
            child.stdin.close()
    child.wait()


def follow_parent() -> None:
    """End this child when its parent ends, which holds its standard input open."""
    threading.Thread(target=_until_closed, daemon=True).start()


def _until_closed() -> None:
    os.read(sys.stdin.fileno(), 1)  # not sys.stdin.read(), which would hold a lock at exit
    os.kill(os.getpid(), signal.SIGKILL)


def lines_of_parent() -> Iterator[bytes]:
    """What the parent sends this child, a line each, as it comes.

    The child ends with its parent, as after `follow_parent`, whatever it does with a line then.
    """
    lines = SimpleQueue[bytes]()
    threading.Thread(target=_pass_on, args=(lines,), daemon=True).start()
    while True:
        yield lines.get()


def _pass_on(lines: SimpleQueue[bytes]) -> None:
    rest = b""
    while block := os.read(sys.stdin.fileno(), 65536):
        *whole, rest = (rest + block).split(b"\n")
        for line in whole:
            lines.put(line)
    os.kill(os.getpid(), signal.SIGKILL)


def write_answer(path: Path, work: Callable[[], Document]) -> bool:
    """Write, in a child, what `work` returns, or the error of ours that refused it (False then).

    The file is there when it is whole.

    Raises:
        OSError: The disk is full; nothing is left of the answer.
    """
    try:
        answer: Mapping[str, Any] = {"document": work().to_json()}
    except EdgeskinError as error:
        answer = to_document(error)
    fresh = path.with_name(f"{path.name}.fresh")
    try:
        fresh.write_text(json.dumps(answer))
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    return "document" in answer


def read_answer(path: Path, kind: type[Answer]) -> Answer:
    """The document that a child wrote, in the parent.

    Raises:
        EdgeskinError: What the child's work raised.
    """
    answer = json.loads(path.read_bytes())
    if "error" in answer:
        raise from_document(answer)
    return kind.from_json(answer["document"], where=path)
