"""A worker that crashes, hangs, lies or is interrupted is one clear line and leaves no process."""

from __future__ import annotations

import errno
import json
import os
import re
import sys
from pathlib import Path

import pytest
from processes import gone, wait_for

from edgeskin.conversion import Conversion, SelfCheck, SourceRecord
from edgeskin.converters.convert import run_all
from edgeskin.converters.process import Process
from edgeskin.converters.worker import Request
from edgeskin.errors import CannotWrite, ConversionFailed, InvalidInput, to_document
from edgeskin.formats.model_audit import (
    AuditSummary,
    FastPathSummary,
    Float16Reach,
    MultiplyAdds,
    ScaleSpan,
    ScalesSummary,
    TransposesSummary,
)

NONE = ScaleSpan(tensors=0, smallest=None, largest=None)


def process(
    folder: Path,
    code: str,
    *,
    name: str = "m.onnx",
    timeout_s: float = 30.0,
    after: Process | None = None,
) -> Process:
    """A process that runs `code` in place of the worker; `answer` is where its answer goes."""
    path = folder / name
    request = Request("run", "onnx", "fp32", "app", str(path), f"{path}.json", f"{path}.log", 1)
    prelude = "import os, signal, sys, time, json; request = json.loads(sys.stdin.readline())\n"
    made = Process(request, timeout_s=timeout_s, after=after)
    made.command = (sys.executable, "-S", "-c", prelude + code)
    return made


MADE = Conversion(
    source=SourceRecord(kind="run", name="run", sha256="00"),
    scales=None,
    tools={"edgeskin": "1"},
    audit=AuditSummary(
        multiply_adds=MultiplyAdds(total=0, uncounted=0, int8_share=None, by_types={}),
        weights={},
        activations={},
        deployment={},
        inputs=(),
        outputs=(),
        operators={},
        scales=ScalesSummary(weights=NONE, activations=NONE, oddities={}),
        float16=Float16Reach(by=None),
        batch_norms=0,
        transposes=TransposesSummary(in_file=0, run=0, avoidable=0),
        float_between_integers={},
        fast_path=FastPathSummary(runtime="none", partitions=None, providers={}, off={}),
        constant_bytes=0,
    ),
    parity=SelfCheck(runtime="none", samples=0, sqnr_db=None, outputs={}),
    speed=None,
)


def answer(document: object) -> str:
    """Code that writes an answer: it appears whole, as a worker's does."""
    return (
        f"open(request['answer'] + '.fresh', 'w').write({json.dumps(document)!r}); "
        "os.rename(request['answer'] + '.fresh', request['answer'])"
    )


GOOD = answer({"document": MADE.to_json()})


def test_answer_comes_back_and_the_log_goes(tmp_path: Path) -> None:
    done = process(tmp_path, f"print('noise', flush=True); {GOOD}")
    seen: list[tuple[str, int, int]] = []
    (got,) = run_all([done], 1, lambda *event: seen.append(event))
    assert isinstance(got, Conversion)
    assert (got.conversion_s or 0) > 0
    assert got.model_copy(update={"conversion_s": None}) == MADE
    assert seen == [("converting, m.onnx", 1, 1)]
    assert not (tmp_path / "m.onnx.log").exists()


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", r"crashed with SIGSEGV\."),
        ("sys.exit(3)", r"ended with exit code 3 and no answer\."),
        (
            answer({"error": "ConversionFailed", "message": "ValueError: no such op"}),
            "failed: ValueError: no such op",
        ),
    ],
)
def test_failure_is_one_line_that_names_the_log(code: str, why: str, tmp_path: Path) -> None:
    log = tmp_path / "m.onnx.log"
    failing = process(tmp_path, f"print('what went wrong', flush=True); {code}")
    (error,) = run_all([failing], 1)
    assert isinstance(error, ConversionFailed)
    assert re.search(why, str(error))
    assert str(error).startswith("the conversion to m.onnx ")
    assert str(error).endswith(f"Its log is {log}")
    assert "\n" not in str(error)
    assert log.read_text() == "what went wrong\n"


def test_what_the_worker_refuses_comes_as_it_said_it(tmp_path: Path) -> None:
    refusal = {"error": "CannotWrite", "message": "cannot write m.onnx: no space left"}
    with pytest.raises(CannotWrite, match=r"^cannot write m\.onnx: no space left$"):
        run_all([process(tmp_path, answer(refusal))], 1)
    assert not (tmp_path / "m.onnx.log").exists()


def test_an_error_with_fields_of_its_own_comes_whole(tmp_path: Path) -> None:
    refusal = to_document(InvalidInput("the recipe has no size", "ES_INVALID_ARGUMENT"))
    (error,) = run_all([process(tmp_path, answer(refusal))], 1)
    assert isinstance(error, InvalidInput)
    assert (str(error), error.status) == ("the recipe has no size", "ES_INVALID_ARGUMENT")


with_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
# Starts a child of its own, notes both, and hangs, deaf to polite requests.
HANG = """
import subprocess
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)'])
with open(request['path'] + '.fresh', 'w') as file: file.write(f'{os.getpid()} {child.pid}')
os.rename(request['path'] + '.fresh', request['path'] + '.pids')
time.sleep(600)
"""


@with_proc
def test_a_hang_is_ended_with_its_children(tmp_path: Path) -> None:
    hanging = process(tmp_path, HANG, timeout_s=2.0)
    (error,) = run_all([hanging], 1)
    assert isinstance(error, ConversionFailed)
    assert re.search(r"took longer than 2 s.*--timeout", str(error))
    pids = (tmp_path / "m.onnx.pids").read_text().split()
    assert all(gone(int(pid)) for pid in pids)


@with_proc
def test_a_full_disk_ends_the_others(tmp_path: Path) -> None:
    hanging = process(tmp_path, HANG, name="slow.onnx")
    failing = process(
        tmp_path,
        f"slow = {str(tmp_path / 'slow.onnx.pids')!r}\n"
        "while not os.path.exists(slow): time.sleep(0.05)\n"
        f"sys.exit({errno.ENOSPC})",
    )
    with pytest.raises(CannotWrite, match=r"cannot write m\.onnx"):
        run_all([hanging, failing], 2)
    pids = (tmp_path / "slow.onnx.pids").read_text().split()
    assert all(gone(int(pid)) for pid in pids)
    assert list(tmp_path.glob("*.log")) == []  # neither did anything wrong


def test_one_failure_leaves_the_others(tmp_path: Path) -> None:
    failing = process(tmp_path, "sys.exit(1)")
    slow = process(tmp_path, f"time.sleep(0.5); {GOOD}", name="slow.onnx")
    error, good = run_all([failing, slow], 2)
    assert isinstance(error, ConversionFailed)
    assert isinstance(good, Conversion)
    assert good.parity == MADE.parity


# Makes file after file, each holding the id of its process and the number of those before it.
SERVES = """
made = 0
while True:
    FIRST
    with open(request['path'], 'w') as file: file.write(f'{os.getpid()} {made}')
    ANSWER
    made += 1
    request = json.loads(sys.stdin.readline())
"""


def serves(first: str = "pass", says: str = GOOD) -> str:
    """That code, with something before each file."""
    return SERVES.replace("FIRST", first).replace("ANSWER", says)


def made_by(folder: Path, name: str) -> list[int]:
    """The process that made a file, and how many it had made before."""
    return [int(word) for word in (folder / name).read_text().split()]


@with_proc
def test_one_worker_makes_those_that_follow_each_other(tmp_path: Path) -> None:
    code = serves()
    one = process(tmp_path, code, name="1.onnx")
    two = process(tmp_path, code, name="2.onnx", after=one)
    other = process(tmp_path, code, name="other.onnx")
    last = process(tmp_path, code, name="last.onnx", after=two)
    answers = run_all([one, two, other, last], 2)
    assert all(isinstance(got, Conversion) for got in answers)
    worker, before = made_by(tmp_path, "1.onnx")
    assert before == 0
    assert made_by(tmp_path, "2.onnx") == [worker, 1]
    assert made_by(tmp_path, "last.onnx") == [worker, 2]
    assert made_by(tmp_path, "other.onnx")[0] != worker
    assert gone(worker)
    assert list(tmp_path.glob("*.log")) == []


@pytest.mark.parametrize("end", ["os.abort()", "sys.exit(1)"])
def test_a_worker_that_ends_at_its_second_file_says_nothing_of_it(end: str, tmp_path: Path) -> None:
    code = serves(f"if made: {end}")
    one = process(tmp_path, code, name="1.onnx")
    two = process(tmp_path, code, name="2.onnx", after=one)
    answers = run_all([one, two], 1)
    assert all(isinstance(got, Conversion) for got in answers)
    assert made_by(tmp_path, "2.onnx")[0] != made_by(tmp_path, "1.onnx")[0]
    assert made_by(tmp_path, "2.onnx")[1] == 0


def test_a_failure_leaves_those_behind_it_a_fresh_worker(tmp_path: Path) -> None:
    refusal = {"error": "ConversionFailed", "message": "no such op"}
    one = process(tmp_path, serves(says=answer(refusal)), name="1.onnx")
    two = process(tmp_path, serves(), name="2.onnx", after=one)
    error, good = run_all([one, two], 1)
    assert isinstance(error, ConversionFailed)
    assert isinstance(good, Conversion)
    assert made_by(tmp_path, "2.onnx")[1] == 0


def test_no_more_than_workers_run_at_a_time(tmp_path: Path) -> None:
    """Each worker looks for another one's flag while it holds its own."""
    code = (
        "folder = os.path.dirname(request['path'])\n"
        "flag = request['path'] + '.flag'; open(flag, 'w').close(); time.sleep(0.2)\n"
        "flags = [f for f in os.listdir(folder) if f.endswith('.flag')]; os.remove(flag)\n"
        f"made = json.loads({json.dumps(MADE.to_json())!r})\n"
        "made['parity']['samples'] = len(flags)\n"
        "open(request['answer'] + '.fresh', 'w').write(json.dumps({'document': made}))\n"
        "os.rename(request['answer'] + '.fresh', request['answer'])"
    )
    waiting = [process(tmp_path, code, name=f"{i}.onnx") for i in range(4)]
    answers = run_all(waiting, 1)
    assert [got.parity.samples for got in answers if isinstance(got, Conversion)] == [1, 1, 1, 1]


@with_proc
def test_real_worker_ends_when_its_parent_is_gone(tmp_path: Path) -> None:
    """The pipe it reads from closes, as it does however the parent ends."""
    places = (str(tmp_path / name) for name in ("m", "a", "log"))
    started = Process(Request(str(tmp_path), "onnx", "fp32", "app", *places, 1), timeout_s=60)
    # Stand in for slow work: the worker's own main, with `work` replaced.
    started.command = (
        sys.executable,
        "-c",
        "import sys, time; from edgeskin.converters import worker\n"
        "def work(request, common): print('working', flush=True); time.sleep(600)\n"
        "worker.work = work; sys.exit(worker.main())",
    )
    started.start()
    try:
        assert re.match("working", wait_for(tmp_path / "log"))
        assert started._popen.stdin is not None
        started._popen.stdin.close()
        assert started._popen.wait(timeout=10) == -9
    finally:
        started.kill()
    assert not os.path.exists(tmp_path / "a")
