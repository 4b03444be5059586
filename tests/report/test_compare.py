"""Two releases whose change is known: what is found, what is called noise, and what is refused."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_results import make_latency, make_pack, make_result, outputs_with

import edgeskin
from edgeskin.benchmarks.pack import Pack
from edgeskin.benchmarks.report.budget import Budget
from edgeskin.benchmarks.report.collect import Found, collect
from edgeskin.benchmarks.report.gate import latency_change as blocks
from edgeskin.benchmarks.report.gate.compare_documents import (
    Change,
    Comparison,
    Gates,
    PairedResults,
)
from edgeskin.benchmarks.report.gate.figure_changes import figure_changes
from edgeskin.benchmarks.report.gate.paired_outputs import paired_outputs
from edgeskin.benchmarks.report.gate.pairing import Side, sides
from edgeskin.benchmarks.report.gate.release_gates import corrected, gated
from edgeskin.benchmarks.report.report_rows import report_on
from edgeskin.benchmarks.result import Assigned, Load, Part
from edgeskin.cli.main import run
from edgeskin.errors import InvalidPack, InvalidResult, InvalidSpec
from edgeskin.statistics import mcnemar_p


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return make_pack(tmp_path_factory.mktemp("packs") / "pack")


def copied(source: Path, folder: Path, file: str = "", device: str = "") -> None:
    """The same result once more, of a file or on a device that is called otherwise."""
    document = json.loads(source.read_text())
    name = document["artifact"]["name"] = file or document["artifact"]["name"]
    document["artifact"]["precision"] = Path(name).stem.rpartition("-")[2]
    where = document["device"]["name"] = device or document["device"]["name"]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{where.replace(':', '-')}--{name}.json"
    path.write_text(json.dumps(document))
    shutil.copy(source.with_suffix(".npz"), path.with_suffix(".npz"))


def figure(pair: PairedResults, name: str) -> Change:
    return next(change for change in pair.changes if change.figure == name)


def states(comparison: Comparison, limit: str) -> set[str]:
    checks = (check for pair in comparison.pairs for check in pair.checks)
    return {check.state for check in checks if check.limit == limit}


def test_the_same_release_twice_holds_every_gate(images: Pack, tmp_path: Path) -> None:
    for side in ("old", "new"):
        make_result(tmp_path / side, images)
    comparison = edgeskin.compare(
        tmp_path / "old", tmp_path / "new", max_slowdown=5, max_drop=0.5, max_growth=0,
        max_group_gap=0.5, strict=True,
    )  # fmt: skip
    assert (comparison.verdict, comparison.missed, comparison.unsure) == ("held", (), ())
    (pair,) = comparison.pairs
    assert (pair.same_file, pair.equal_outputs, pair.equal_decisions) == (
        True,
        True,
        {"severity": 1.0},
    )
    assert figure(pair, "severity_accuracy").basis == "exact"  # without a pack, for equal outputs
    assert figure(pair, "p50_ms").corrected_p == 1.0


def test_a_planted_slowdown_and_growth_are_missed(images: Pack, tmp_path: Path) -> None:
    make_result(tmp_path / "old", images, seed=1)
    make_result(tmp_path / "new", images, seed=2, run_ms=10.8, size=4_400_000)
    comparison = edgeskin.compare(tmp_path / "old", tmp_path / "new", max_slowdown=5, max_growth=5)
    assert comparison.verdict == "missed"
    pair = comparison.pairs[0]
    slower = figure(pair, "p50_ms")
    assert slower.change == pytest.approx(8.0, abs=0.01)  # medians as made
    assert slower.interval is not None
    assert slower.interval[0] < 8.0 < slower.interval[1]
    # 275 samples of a spread of 5 % have a median to 0.4 %; four of these lie 0.8 % apart.
    assert slower.interval[1] - slower.interval[0] < 2 * 2.5 * 0.8
    assert slower.corrected_p is not None
    assert slower.corrected_p < 1e-6
    grown = figure(pair, "size_mb")
    assert (round(grown.change, 9), grown.basis, grown.test) == (10.0, "exact", None)
    assert {r.rule for r in comparison.missed} == {"max_slowdown", "max_growth"}
    loose = edgeskin.compare(tmp_path / "old", tmp_path / "new", max_slowdown=12, max_growth=12)
    assert loose.verdict == "held"


def test_few_samples_are_unsure_and_strict_misses(images: Pack, tmp_path: Path) -> None:
    make_result(tmp_path / "old", images, seed=1, queries=50)
    make_result(tmp_path / "new", images, seed=2, queries=50)
    for strict, verdict in ((False, "unsure"), (True, "missed")):
        comparison = edgeskin.compare(
            tmp_path / "old", tmp_path / "new", max_slowdown=0.5, strict=strict
        )
        # Equal medians, and an interval that 50 samples cannot make narrower than 0.5 %.
        assert comparison.verdict == verdict
        assert "the samples are too few to say" in str(comparison.unsure[0])
        assert "unsure" in states(comparison, "max_slowdown")


def test_a_disturbed_run_decides_little(images: Pack, tmp_path: Path) -> None:
    """Something else ran during a quarter of the old run: 8 % are no news then, 80 % are."""
    path = make_result(tmp_path / "old", images, seed=1)
    document = json.loads(path.read_text())
    times = np.array(document["latency"]["samples"]["run_ms"])
    times[275:550] *= 1.2
    document["latency"]["samples"]["run_ms"] = times.tolist()
    path.write_text(json.dumps(document))
    found = {}
    for run_ms in (11.0, 18.0):
        make_result(tmp_path / "new", images, seed=2, run_ms=run_ms)
        comparison = edgeskin.compare(path, tmp_path / "new", max_slowdown=2)
        gate = figure(comparison.pairs[0], "p50_ms").gate
        assert gate is not None
        found[run_ms] = gate.state
    assert found == {11.0: "unsure", 18.0: "missed"}
    # The other way round the disturbed run is the new one: no gate is held by it either.
    quick = edgeskin.compare(tmp_path / "new", path, max_slowdown=2).pairs[0]
    assert figure(quick, "p50_ms").real


def test_a_busy_device_decides_nothing(images: Pack, tmp_path: Path) -> None:
    """Two cores, one for the run: others that use 0.9 of them make any time."""
    make_result(tmp_path / "old", images, seed=1)
    path = make_result(tmp_path / "new", images, seed=2, run_ms=15.0)
    document = json.loads(path.read_text())
    document["device"]["cores"] = 2
    found = []
    for used, seconds in ((0.9, 100), (0.9, 0.5), (0.3, 100)):
        # /proc/stat counts in 10 ms, our own work and that of others.
        ticks = (f"cpu {n} 0 0 0 0 0 0" for n in (0, round(100 * seconds * (1 + used))))
        document["latency"]["sensors"] = [
            {
                "event": "sensors", "at_ns": at, "realtime_ns": at, "own_cpu_ns": at,
                "cpu_ticks": line, "load": "", "thermal_mc": {},
                "clock_khz": {}, "governor": {}, "power": {},
            }
            for at, line in zip((0, int(seconds * 1e9)), ticks, strict=True)
        ]  # fmt: skip
        path.write_text(json.dumps(document))
        comparison = edgeskin.compare(tmp_path / "old", tmp_path / "new", max_slowdown=5)
        found.append((comparison.verdict, figure(comparison.pairs[0], "p50_ms").doubt))
    busy = "other processes used 0.90 of 2 cores of host meanwhile"
    assert found == [("unsure", busy), ("unsure", busy), ("missed", None)]


def test_times_that_are_none_are_not_compared(images: Pack, tmp_path: Path) -> None:
    for side, run_ms in (("old", 10.0), ("new", 20.0)):
        make_result(tmp_path / side, images, device="emulated:cortex-a76", run_ms=run_ms)
    comparison = edgeskin.compare(tmp_path / "old", tmp_path / "new", max_slowdown=5)
    names = {change.figure for change in comparison.pairs[0].changes}
    assert names.isdisjoint({"p50_ms", "whole_p90_ms", "load_ms", "memory_mb"})
    # A gate that nothing passed through is no gate.
    assert comparison.verdict == "missed"
    assert str(comparison.missed[0]).startswith("max_slowdown: no pair has times on both sides")


def loaded(folder: Path, of: Pack, first_ms: float, later_ms: float | None, **changes: Any) -> None:
    """A result whose first load and later ones took so long."""
    latency = make_latency(10.0, 1100, len(of), 0)
    loads = [Load(cold=True, load_ms=first_ms, first_ms=20.0)]
    if later_ms is not None:
        loads += [Load(cold=False, load_ms=ms, first_ms=20.0) for ms in (1.0, later_ms, 900.0)]
    latency = latency.model_copy(update={"loads": tuple(loads), **changes})
    make_result(folder, of, latency=latency)


@pytest.mark.parametrize(
    ("first_ms", "later_ms", "state"),
    [
        (33.0, 11.0, "held"),  # both within
        (60.0, 20.0, "missed"),  # both beyond
        (60.0, 10.0, "unsure"),  # the first alone, as any first load may
        (30.0, 20.0, "unsure"),
        (60.0, None, "unsure"),  # one value, and what of it is noise is not known
    ],
)
def test_loads_are_gated_by_the_first_and_the_later_ones(
    images: Pack, tmp_path: Path, first_ms: float, later_ms: float | None, state: str
) -> None:
    loaded(tmp_path / "old", images, 30.0, 10.0)
    loaded(tmp_path / "new", images, first_ms, later_ms)
    comparison = edgeskin.compare(tmp_path / "old", tmp_path / "new", max_load_rise=50)
    assert states(comparison, "max_load_rise") == {state}
    assert comparison.verdict == state
    assert figure(comparison.pairs[0], "load_ms").change == pytest.approx(100 * (first_ms / 30 - 1))
    lines = [str(reason) for reason in (*comparison.missed, *comparison.unsure)]
    if (first_ms, later_ms) == (60.0, 10.0):
        assert lines == [
            "skin-int8.tflite on host, xnnpack: load_ms worse by 100.00%, 50% allowed: it may be "
            "noise, loads after the first changed by +0.00%"
        ]


@pytest.mark.parametrize(("peak_kb", "state"), [(66_000, "held"), (66_001, "missed")])
def test_peak_memory_is_gated_as_it_is(
    images: Pack, tmp_path: Path, peak_kb: int, state: str
) -> None:
    """60,000 KiB before, 10 % more allowed."""
    loaded(tmp_path / "old", images, 30.0, 10.0)
    loaded(tmp_path / "new", images, 30.0, 10.0, memory_kb={"load": 100, "end": peak_kb})
    comparison = edgeskin.compare(tmp_path / "old", tmp_path / "new", max_memory_rise=10)
    assert (comparison.verdict, states(comparison, "max_memory_rise")) == (state, {state})


def test_gates_of_loads_and_memory_need_times(images: Pack, tmp_path: Path) -> None:
    make_result(tmp_path / "r", images, run_ms=None)
    comparison = edgeskin.compare(
        tmp_path / "r", tmp_path / "r", max_load_rise=50, max_memory_rise=10
    )
    assert [reason.rule for reason in comparison.missed] == ["max_load_rise", "max_memory_rise"]
    words = ["compare", str(tmp_path / "r"), str(tmp_path / "r"), "--max-memory-rise", "10%"]
    assert run(words) == 1
    assert run([*words[:3], "--max-load-rise", "much"]) == 2


def test_flips_are_paired_with_the_pack(images: Pack, tmp_path: Path) -> None:
    make_result(tmp_path / "old", images, flips=4, seed=1)
    make_result(tmp_path / "new", images, flips=16, seed=2)
    comparison = edgeskin.compare(
        tmp_path / "old", tmp_path / "new", packs=[images.folder], max_drop=0.5
    )
    change = figure(comparison.pairs[0], "severity_accuracy")
    assert change.test is not None
    # Twelve right ones became wrong, none the other way: p = 2 / 2^12.
    assert (change.test.name, change.test.p) == ("McNemar, exact", 2 / 2**12)
    truth = images.truth["severity"]
    old, new = (
        outputs_with(images, flips, seed=seed)["severity"].argmax(axis=1) == truth
        for flips, seed in ((4, 1), (16, 2))
    )
    assert change.test.p == mcnemar_p(old, new)
    assert change.change == pytest.approx(-100 * 12 / 400)
    assert (change.basis, comparison.verdict, states(comparison, "max_drop")) == (
        "images",
        "missed",
        {"missed"},
    )
    assert comparison.pairs[0].equal_decisions["severity"] == pytest.approx(1 - 12 / 400)


def test_flips_both_ways_are_noise(images: Pack, tmp_path: Path) -> None:
    """Four images lost and one won, 0.75 points: beyond the gate, and McNemar's p is 0.375."""
    folder = tmp_path / "new"
    make_result(tmp_path / "old", images, flips=1, seed=1)
    path = make_result(folder, images, seed=2)
    rows = outputs_with(images, 0, seed=2)["severity"]
    right = np.flatnonzero(rows.argmax(axis=1) == images.truth["severity"])[10:14]
    rows[right] = np.roll(rows[right], 1, axis=1)
    np.savez(path.with_suffix(".npz"), severity=rows)
    comparison = edgeskin.compare(tmp_path / "old", folder, packs=[images.folder], max_drop=0.5)
    change = figure(comparison.pairs[0], "severity_accuracy")
    assert change.test is not None
    assert (change.test.p, change.loss) == (0.375, pytest.approx(0.75))
    assert comparison.verdict == "unsure"
    assert "it may be noise" in str(comparison.unsure[0])


def test_accuracy_without_the_pack_passes_no_gate_silently(images: Pack, tmp_path: Path) -> None:
    make_result(tmp_path / "old", images, flips=2, seed=1)
    make_result(tmp_path / "new", images, flips=2, seed=2)
    comparison = edgeskin.compare(tmp_path / "old", tmp_path / "new", max_drop=50)
    change = figure(comparison.pairs[0], "severity_accuracy")
    assert (change.basis, change.test, change.change) == ("unpaired", None, 0.0)
    assert comparison.verdict == "unsure"
    assert "not paired by image" in str(comparison.unsure[0])
    # Both lost 0.5 points of the same 400 images against the float model, within [0, 1.25]: the
    # widest that the difference may be is the sum of both.
    before, after = (
        collect([tmp_path / side])[0].result.accuracy.metrics["severity_accuracy"].change
        for side in ("old", "new")
    )
    expected = (100 * (after.low - before.high), 100 * (after.high - before.low))
    assert change.interval == pytest.approx(expected)
    paired = edgeskin.compare(tmp_path / "old", tmp_path / "new", packs=[images.folder], max_drop=1)
    assert paired.verdict == "held"  # the same two images: 3 / 400 may hide, 1 is allowed


def test_a_large_unpaired_loss_is_missed(images: Pack, tmp_path: Path) -> None:
    make_result(tmp_path / "old", images, seed=1)
    make_result(tmp_path / "new", images, flips=40, seed=2)
    assert edgeskin.compare(tmp_path / "old", tmp_path / "new", max_drop=1).verdict == "missed"


def test_a_gap_between_groups_is_gated(images: Pack, tmp_path: Path) -> None:
    make_result(tmp_path / "old", images, seed=1)
    path = make_result(tmp_path / "new", images, seed=2)
    rows = outputs_with(images, 0, seed=2)["severity"]
    dark = images.groups["tone"].members("dark")
    wrong = [i for i in dark if rows[i].argmax() == images.truth["severity"][i]][:30]
    rows[wrong] = np.roll(rows[wrong], 1, axis=1)
    np.savez(path.with_suffix(".npz"), severity=rows)
    comparison = edgeskin.compare(
        tmp_path / "old", tmp_path / "new", packs=[images.folder], max_group_gap=1
    )
    change = figure(comparison.pairs[0], "severity_accuracy gap by tone")
    assert change.loss == pytest.approx(100 * 30 / 200)  # of the worse half
    assert comparison.verdict == "missed"


def test_budgets_hold_for_the_new_result(images: Pack, tmp_path: Path) -> None:
    for side in ("old", "new"):
        make_result(tmp_path / side, images)
    limits = tmp_path / "edgeskin.toml"
    limits.write_text("[budget]\nmax_size_mb = 3\nmax_latency_ms = 100\n")
    comparison = edgeskin.compare(tmp_path / "old", tmp_path / "new", budget=limits)
    assert (comparison.budget, comparison.verdict) == ("edgeskin.toml", "missed")
    assert [str(r) for r in comparison.missed] == [
        "skin-int8.tflite on host, xnnpack: the file has 4.00 MB, 3 allowed"
    ]


def test_operators_that_left_the_accelerator_are_a_finding(images: Pack, tmp_path: Path) -> None:
    for side, taken in (("old", 60), ("new", 40)):
        parts = (
            Part(provider="QNN", operators={"Conv": taken}),
            Part(provider="CPUExecutionProvider", operators={"Conv": 64 - taken}),
        )
        assigned = Assigned(provider="QNN", whole=False, parts=parts)
        make_result(tmp_path / side, images, assigned=assigned)
    comparison = edgeskin.compare(tmp_path / "old", tmp_path / "new", max_growth=1)
    assert comparison.verdict == "unsure"
    line = "operators on the accelerator: 40 of 64, there were 60 of 64"
    assert (comparison.unsure[0].rule, comparison.unsure[0].line) == ("finding", line)
    assert figure(comparison.pairs[0], "operators_taken").change == -20


def test_figures_that_are_no_numbers_are_missed(images: Pack, tmp_path: Path) -> None:
    make_result(tmp_path / "old", images, seed=1)
    path = make_result(tmp_path / "new", images, seed=2)
    document = json.loads(path.read_text())
    metric = document["accuracy"]["metrics"]["severity_accuracy"]
    metric["candidate"] = metric["change"]["value"] = math.nan
    document["accuracy"]["agreement"]["severity"]["sqnr_db"] = math.nan
    path.write_text(json.dumps(document))
    comparison = edgeskin.compare(tmp_path / "old", tmp_path / "new", max_drop=50)
    lines = [str(reason) for reason in comparison.missed]
    assert any("an output is no number" in line for line in lines)
    line = (
        "skin-int8.tflite on host, xnnpack: severity_accuracy, 50 points allowed: it is no number"
    )
    assert line in lines


# ---- Pairing


def test_results_pair_by_name_then_folder_then_kind(images: Pack, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    first = make_result(tmp_path / "first", images)
    for side in (old, new):  # the same name twice: folders tell them apart
        copied(first, side / "a", "twice-int8.tflite")
        copied(first, side / "b", "twice-int8.tflite")
    copied(first, old, "v1-fp32.tflite")
    copied(first, new, "v2-fp32.tflite")
    copied(first, old, "gone-fp16.tflite")
    copied(first, new, "v2-fp32.tflite", "adb:X1")
    comparison = edgeskin.compare(old, new, max_growth=1)
    assert [(p.old_result, p.new_result) for p in comparison.pairs] == [
        (f"a/{name}", f"a/{name}") if folder == "a" else (f"b/{name}", f"b/{name}")
        for folder, name in (("a", TWICE), ("b", TWICE))
    ] + [("host--v1-fp32.tflite.json", "host--v2-fp32.tflite.json")]
    renamed = comparison.pairs[-1]
    assert (renamed.file, renamed.old_file) == ("v2-fp32.tflite", "v1-fp32.tflite")
    assert [(one.side, one.file, one.device) for one in comparison.unpaired] == [
        ("old", "gone-fp16.tflite", "host"),
        ("new", "v2-fp32.tflite", "adb:X1"),
    ]
    assert comparison.verdict == "unsure"  # what was released is not there any more
    assert [reason.rule for reason in comparison.unsure] == ["no_partner"]


TWICE = "host--twice-int8.tflite.json"


def test_what_is_alike_is_not_guessed(images: Pack, tmp_path: Path) -> None:
    first = make_result(tmp_path / "first", images)
    for folder in ("old/x", "old/y", "new/z"):
        copied(first, tmp_path / folder)
    for folder in ("old", "new"):
        copied(first, tmp_path / folder, "other-fp32.tflite")
    comparison = edgeskin.compare(tmp_path / "old", tmp_path / "new")
    assert len(comparison.pairs) == 1
    assert {one.result for one in comparison.unpaired} == {
        f"{folder}/host--skin-int8.tflite.json" for folder in "xyz"
    }
    assert all("is not known" in one.why for one in comparison.unpaired)


def test_two_results_are_named_as_files(images: Pack, tmp_path: Path) -> None:
    old, new = (make_result(tmp_path / side, images) for side in ("old", "new"))
    (pair,) = edgeskin.compare(old, new).pairs
    assert (pair.old_result, pair.new_result) == (old.name, new.name)


def test_other_packs_devices_and_numbers_are_refused(images: Pack, tmp_path: Path) -> None:
    other = make_pack(tmp_path / "other", images=50, seed=1)
    make_result(tmp_path / "old", images)
    make_result(tmp_path / "new", other)
    with pytest.raises(
        InvalidResult, match=r"\(400 images\).*\(50 images\).*Bench both on one pack"
    ):
        edgeskin.compare(tmp_path / "old", tmp_path / "new")
    make_result(tmp_path / "phone", images, device="adb:X1")
    with pytest.raises(InvalidResult, match=r"no result of one side belongs to one of the other"):
        edgeskin.compare(tmp_path / "old", tmp_path / "phone")
    with pytest.raises(InvalidPack, match="no result is of it"):
        edgeskin.compare(tmp_path / "old", tmp_path / "old", packs=[other.folder])
    with pytest.raises(InvalidSpec, match="max_drop -1"):
        edgeskin.compare(tmp_path / "old", tmp_path / "old", max_drop=-1)
    with pytest.raises(InvalidSpec, match="max_slowdown nan"):
        edgeskin.compare(tmp_path / "old", tmp_path / "old", max_slowdown=math.nan)


def test_damaged_parts_are_refused(images: Pack, tmp_path: Path) -> None:
    old, new = (make_result(tmp_path / side, images) for side in ("old", "new"))
    np.savez(new.with_suffix(".npz"), other=np.zeros((400, 3)))
    with pytest.raises(InvalidResult, match="outputs of other names or shapes"):
        edgeskin.compare(old, new)
    new.with_suffix(".npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(InvalidResult, match="is damaged"):
        edgeskin.compare(old, new)
    new.with_suffix(".npz").unlink()
    (pair,) = edgeskin.compare(old, new).pairs
    assert pair.equal_outputs is None
    assert any("(.npz) of one result are not there" in line for line in pair.remarks)


# ---- How often a gate errs


def timed(side: Side, random: np.random.Generator, slower: float = 1.0) -> Side:
    """The result with times of its own: a gamma law around 10 ms, not scaled to its median."""
    times = slower * 10.0 * (0.9 + random.gamma(4.0, 0.025, 512))
    latency = side.found.result.latency
    assert latency is not None
    samples = latency.samples.model_copy(
        update={
            "run_ms": tuple(times.tolist()),
            "pre_ms": (0.4,) * 512,
            "post_ms": (0.1,) * 512,
        }
    )
    result = side.found.result.model_copy(
        update={"latency": latency.model_copy(update={"samples": samples})}
    )
    return replace(side, found=Found(side.found.path, result))


def one_side(folder: Path) -> Side:
    found = collect([folder])
    report = report_on(found, Budget(source="no limits"))
    return sides(folder, found, report.models[0].rows)[0]


@pytest.mark.parametrize(("slower", "gate"), [(1.0, 0.0), (1.08, 5.0)])
def test_noise_is_rarely_missed_and_a_slowdown_nearly_always(
    slower: float, gate: float, images: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        blocks, "RESAMPLES", 50
    )  # of the intervals, on which "missed" does not hang
    make_result(tmp_path, images)
    side, random = one_side(tmp_path), np.random.default_rng(12)
    outputs = paired_outputs(side.found, side.found)
    tries, missed, called = 200, 0, 0
    for _ in range(tries):
        pair = (timed(side, random), timed(side, random, slower))
        (changes,) = corrected([tuple(figure_changes(*pair, outputs, None))])
        checks = [gated(c, Gates(max_slowdown=gate)).gate for c in changes]
        missed += any(check is not None and check.state == "missed" for check in checks)
        called += any(c.real for c in changes if c.basis == "samples")
    if slower == 1.0:
        # Of two figures together 5 % are called, and half of these are slower: 5 of 200, and
        # three sigma of 2.2; called ones 10, and three sigma of 3.1.
        assert missed <= 5 + 3 * 2.2
        assert called <= 10 + 3 * 3.1
    else:
        # 8 % are 12 sigma of the median's noise, 0.4 %; the estimate is beyond 5 % always.
        assert missed == tries


def test_made_latencies_differ_by_seed() -> None:
    one, other = (make_latency(10.0, 64, 4, seed).samples.run_ms for seed in (1, 2))
    assert one != other
