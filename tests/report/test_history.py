"""Results over time: what is kept, what is told, and what is refused."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_histories import FIGURES, device, stored
from made_results import make_pack, make_result

from edgeskin import history, history_add
from edgeskin.benchmarks.pack import Pack
from edgeskin.benchmarks.report.history.history_documents import History, Trend
from edgeskin.benchmarks.report.history.thresholds import ThresholdName
from edgeskin.benchmarks.report.history.trends import trends_of
from edgeskin.benchmarks.result import Harness
from edgeskin.cli.main import run
from edgeskin.errors import CannotWrite, InvalidResult, MissingPackage, UnknownName

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return make_pack(tmp_path_factory.mktemp("packs") / "pack", images=20)


@pytest.fixture(scope="module")
def kept(images: Pack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history of 24 runs of a phone, 6 % slower from the 17th on."""
    folder = tmp_path_factory.mktemp("kept")
    noise = np.random.default_rng(1).normal(1.0, 0.015, 24) * np.repeat([1.0, 1.06], [16, 8])
    for i, share in enumerate(noise.tolist()):
        path = make_result(
            folder / "results", images, device="adb:X1", run_ms=10.0 * share, queries=60
        )
        history_add([path], folder / "kept", label=f"v{i}", at=START + timedelta(days=i))
    return folder / "kept"


def trend_of(found: History, figure: str) -> Trend:
    return next(trend for trend in found.trends if trend.series.figure == figure)


def trend(
    values: list[float],
    unit: str = "ms",
    better: Any = "lower",
    threshold: ThresholdName = "t",
) -> Trend:
    """Of a history that holds nothing else."""
    return trends_of(stored("x", values, unit, better), 0.01, threshold)[0]


def test_every_figure_of_a_result_is_kept(images: Pack, tmp_path: Path) -> None:
    path = make_result(tmp_path / "results", images, flips=2)
    added = history_add([path], tmp_path / "h", label="abc123", at=START)
    assert (added.results, added.without_speed, added.at) == (1, (), START)
    table = pq.read_table(tmp_path / "h" / added.file)
    values = dict(zip(table["figure"].to_pylist(), table["value"].to_pylist(), strict=True))
    assert list(values) == [
        "size_mb", "load_ms", "p50_ms", "p90_ms", "p99_ms", "whole_p50_ms", "whole_p90_ms",
        "memory_mb", "sqnr_db", "equal_decisions", "severity_accuracy", "severity_accuracy_loss",
        "severity_balanced_accuracy", "severity_balanced_accuracy_loss",
    ]  # fmt: skip
    assert added.figures == len(values)
    result = json.loads(path.read_text())
    assert values["p99_ms"] == result["latency"]["summary"]["run"]["p99_ms"]
    assert values["whole_p90_ms"] == result["latency"]["summary"]["whole"]["p90_ms"]
    assert values["memory_mb"] == pytest.approx(61.44)  # 60,000 KiB
    assert (values["size_mb"], values["load_ms"]) == (4.0, 30.0)
    assert values["severity_accuracy"] == pytest.approx(0.8)  # 18 of 20 were right, two less
    assert values["severity_accuracy_loss"] == pytest.approx(0.1)
    assert values["equal_decisions"] == pytest.approx(0.9)
    assert set(table["label"].to_pylist()) == {"abc123"}
    assert "too few samples" not in str(table["doubts"][0])  # 1100 queries
    later = history_add([path], tmp_path / "h")  # now
    assert datetime.now(UTC) - later.at < timedelta(minutes=10)
    assert len(history(tmp_path / "h", figure="p50_ms").trends[0].points) == 2


def test_results_count_as_of_when_they_were_measured(images: Pack, tmp_path: Path) -> None:
    for day in (2, 9):
        harness = Harness(machine="x86_64", system="Linux", at=START + timedelta(days=day))
        make_result(tmp_path / "results", images, device=f"adb:X{day}", harness=harness)
    make_result(tmp_path / "results", images)  # does not say when
    added = history_add([tmp_path / "results"], tmp_path / "h")
    assert (added.results, added.at) == (3, START + timedelta(days=9))
    said = history_add([tmp_path / "results"], tmp_path / "h", at=START)
    assert said.at == START


def test_emulated_and_simulated_results_have_no_speed(images: Pack, tmp_path: Path) -> None:
    make_result(tmp_path / "results", images, device="emulated:cortex-a76")
    added = history_add([tmp_path / "results"], tmp_path / "h")
    assert added.without_speed == ("emulated:cortex-a76, skin-int8.tflite: emulated: no speed",)
    figures = {trend.series.figure for trend in history(tmp_path / "h").trends}
    assert {name for name in figures if name.endswith(("_ms", "_mb"))} == {"size_mb"}


def test_packs_protocols_and_threads_are_series_of_their_own(images: Pack, tmp_path: Path) -> None:
    other = make_pack(tmp_path / "other", images=20, seed=9)
    make_result(tmp_path / "a", images)
    make_result(tmp_path / "b", other)
    path = make_result(tmp_path / "c", images)
    document = json.loads(path.read_text())
    document["engine"]["threads"] = 4
    document["protocol"]["name"] = "quick"
    path.write_text(json.dumps(document))
    for name in "abc":
        history_add([tmp_path / name], tmp_path / "h")
    trends = history(tmp_path / "h", figure="p50_ms").trends
    assert len({trend.series.pack for trend in trends}) == 2
    assert [(t.series.accelerator, t.series.protocol) for t in trends] == [
        ("xnnpack", "standard"), ("xnnpack", "standard"), ("xnnpack, 4 threads", "quick"),
    ]  # fmt: skip
    assert {t.series.protocol for t in history(tmp_path / "h", figure="sqnr_db").trends} == {""}


def test_two_files_are_not_one_series(images: Pack, tmp_path: Path) -> None:
    first = make_result(tmp_path / "w8a8", images)
    document = json.loads(first.read_text())
    document["artifact"]["sha256"] = "f" * 64
    (tmp_path / "w8a16").mkdir()
    (tmp_path / "w8a16" / first.name).write_text(json.dumps(document))
    with pytest.raises(InvalidResult, match="different files and both skin tflite int8 on host"):
        history_add([tmp_path], tmp_path / "h")
    assert not (tmp_path / "h").exists()


def test_a_regression_is_told_with_where_it_began(kept: Path) -> None:
    found = history(kept)
    assert (found.additions, found.damaged, len(found.latest)) == (24, (), 1)
    p50 = trend_of(found, "p50_ms")
    (change,) = p50.changes
    assert abs(change.index - 16) <= 1
    assert change.label == f"v{change.index}"
    assert change.after / change.before == pytest.approx(1.06, abs=0.015)
    assert change.worse
    assert p50.runs == 23 - change.index  # the level before is no measure any more
    size = trend_of(found, "size_mb")
    assert (size.usual, size.noise, size.threshold, size.state) == (4.0, 0.0, 4.04, "usual")
    assert any("p50_ms (standard) went from 10" in line for line in found.missed_gates)
    assert History.from_json(json.dumps(found.to_json())) == found


def test_a_gate_that_nothing_passes_through_is_none(
    images: Pack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "h"
    for day, phone in ((0, "adb:X1"), (1, "adb:X2")):
        path = make_result(tmp_path / phone, images, device=phone)
        history_add([path], folder, at=START + timedelta(day))
    assert run(["history", "check", str(folder), "--device", "adb:X1"]) == 2
    assert "has none of the series that were asked for" in capsys.readouterr().err
    assert run(["history", "show", str(folder), "--device", "adb:X1"]) == 0
    assert run(["history", "check", str(folder), "--device", "adb:X2"]) == 0


def test_names_of_others_move_no_cursor(
    images: Pack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, label = tmp_path / "h", "v\x1b[31m"
    fast, slow = (
        make_result(tmp_path / f"{ms}", images, run_ms=ms, queries=60) for ms in (10.0, 15.0)
    )
    for day in range(24):
        history_add([fast if day < 12 else slow], folder, label=label, at=START + timedelta(day))
    picture = tmp_path / "trend.svg"
    assert run(["history", "show", str(folder), "--figure=p50_ms", f"--plot={picture}"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "at v\\x1b[31m, " in out
    ElementTree.parse(picture)  # XML takes no escape


def test_additions_of_a_label_are_judged_without_later_ones(kept: Path) -> None:
    found = history(kept, label="v11")
    p50 = trend_of(found, "p50_ms")
    assert (p50.latest.label, p50.runs, p50.changes, found.missed_gates) == ("v11", 11, (), ())
    with pytest.raises(UnknownName, match="no addition is labelled 'v99'; the last are v23, v22"):
        history(kept, label="v99")


def test_the_threshold_is_the_t_test_s_of_the_last_thirty() -> None:
    from scipy import stats

    values = np.random.default_rng(2).normal(10.0, 0.2, 50).tolist()
    last = trend([*values, 10.1])
    earlier = np.array(values[-30:])
    reach = stats.t.isf(0.01, 29) * earlier.std(ddof=1) * math.sqrt(1 + 1 / 30)
    assert last.runs == 30
    assert last.usual == pytest.approx(earlier.mean())
    assert last.threshold == pytest.approx(earlier.mean() + reach, rel=1e-6)
    assert last.state == "usual"
    assert trend([*values, last.threshold + 0.001]).state == "worse"
    assert trend([*values, 2 * last.usual - last.threshold - 0.001]).state == "better"
    # Where higher is better, the mirror image.
    high = trend([-value for value in [*values, 10.1]], better="higher")
    assert high.threshold == pytest.approx(-last.threshold)
    assert trend([-value for value in [*values, 11.0]], better="higher").state == "worse"


def test_a_run_far_off_in_the_past_does_not_hide_a_slow_one_from_the_fence() -> None:
    values = [*np.random.default_rng(3).normal(10.0, 0.1, 20).tolist(), 30.0, 10.0, 10.05]
    assert trend([*values, 11.5]).state == "usual"
    assert trend([*values, 11.5], threshold="iqr").state == "worse"
    assert trend([*values, 10.2], threshold="iqr").state == "usual"


@pytest.mark.parametrize(("earlier", "state"), [(7, "too few to say"), (8, "worse")])
def test_of_few_runs_nothing_is_said(earlier: int, state: str) -> None:
    values = [10.0 + 0.01 * (i % 3) for i in range(earlier)]
    assert trend([*values, 20.0]).state == state
    assert (trend([*values, 20.0]).threshold is None) == (earlier < 8)


def test_what_has_no_noise_must_change_by_what_matters() -> None:
    sizes = [4.0] * 10
    assert trend([*sizes, 4.03], "MB").state == "usual"
    assert trend([*sizes, 4.05], "MB").state == "worse"
    assert trend([0.9] * 10 + [0.8995], "ratio", "higher").state == "usual"
    assert trend([0.9] * 10 + [0.89], "ratio", "higher").state == "worse"
    assert trend([31.20] * 10 + [31.15], "dB", "higher").state == "usual"
    # A level that moves by less than 1 % is the same one, however sure the move is.
    small = trend([10.0 + 0.001 * (i % 5) for i in range(20)] + [10.05] * 20)
    assert (small.changes, small.state) == ((), "usual")


def test_nan_is_kept_and_told_and_never_averaged_away() -> None:
    values = [10.0 + 0.01 * (i % 4) for i in range(12)]
    values[5] = math.nan
    known = trend([*values, 10.02])
    assert (known.runs, known.not_numbers, known.state) == (11, 1, "usual")
    assert known.usual == pytest.approx(np.nanmean(values))
    assert math.isnan(known.points[5].value)
    assert trend([*values, math.nan]).state == "no number"
    assert trend([math.nan] * 12).state == "no number"
    exact = trend([math.inf] * 10 + [62.0], "dB", "higher")
    assert (exact.usual, exact.state) == (math.inf, "worse")
    assert trend([math.inf] * 11, "dB", "higher").state == "usual"


def test_what_is_best_near_a_share_is_shown_and_not_judged() -> None:
    coverage = trend([0.8] * 12 + [0.5], "ratio", None)
    assert (coverage.state, coverage.threshold) == ("not judged", None)


def test_nan_figures_of_results_come_through(images: Pack, tmp_path: Path) -> None:
    path = make_result(tmp_path / "results", images)
    history_add([path], tmp_path / "h", label="whole")
    document = json.loads(path.read_text())
    document["accuracy"]["agreement"]["severity"]["sqnr_db"] = math.nan
    path.write_text(json.dumps(document))
    history_add([path], tmp_path / "h", label="broken")
    found = history(tmp_path / "h")
    assert math.isnan(trend_of(found, "sqnr_db").latest.value)
    assert found.missed_gates == ("host, skin tflite int8, xnnpack: sqnr_db is no number",)


def test_a_new_baseline_forgets_what_came_before(images: Pack, tmp_path: Path) -> None:
    for i in range(20):
        slow = 1.0 if i < 12 else 1.5
        path = make_result(
            tmp_path / "results", images, run_ms=slow * (10.0 + 0.01 * (i % 3)), queries=60
        )
        history_add(
            [path], tmp_path / "h", at=START + timedelta(days=i), label=f"v{i}",
            new_baseline=i == 12,
        )  # fmt: skip
    p50 = trend_of(history(tmp_path / "h"), "p50_ms")
    assert (p50.runs, p50.state, p50.changes, len(p50.points)) == (7, "too few to say", (), 20)
    assert trend_of(history(tmp_path / "h", label="v11"), "p50_ms").state == "usual"


def test_figures_that_move_together_are_called_together() -> None:
    """One figure of twelve needs 0.01 / 12; five that are slow at once need 0.01 * 5 / 12 each."""
    runs = device(3, 40)
    trends = trends_of([figure for run_ in runs for figure in run_], 0.01, "t")
    assert tuple(t.series.figure for t in trends) == FIGURES
    alone = trends_of([run_[0] for run_ in runs], 0.01, "t")[0]
    together = trends[0]
    assert None not in (alone.threshold, together.threshold, alone.usual)
    assert together.threshold > alone.threshold > alone.usual


def test_machines_add_at_once_and_nothing_is_lost(images: Pack, tmp_path: Path) -> None:
    paths = [make_result(tmp_path / str(i), images, device=f"adb:X{i}") for i in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda path: history_add([path], tmp_path / "h", at=START), paths))
    assert len(list((tmp_path / "h").iterdir())) == 6  # nothing temporary is left
    assert len(history(tmp_path / "h", figure="p50_ms").trends) == 6


def test_a_damaged_file_is_one_line_and_the_others_are_read(
    images: Pack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, folder = make_result(tmp_path / "results", images), tmp_path / "h"
    files = [folder / history_add([path], folder).file for _ in range(3)]
    files[1].write_bytes(files[1].read_bytes()[:-40])
    pq.write_table(pa.table({"value": [1.0]}), folder / "sales.parquet")
    found = history(folder)
    assert found.additions == 2
    assert len(found.damaged) == 2
    assert any(files[1].name in line and "no whole Parquet file" in line for line in found.damaged)
    assert any("sales.parquet is no history of edgeskin" in line for line in found.damaged)
    assert run(["history", "show", str(folder)]) == 0
    lines = [s for s in capsys.readouterr().err.splitlines() if s.startswith("edgeskin: ")]
    assert len(lines) == 2
    assert run(["history", "check", str(folder)]) == 2  # the damaged one may be the latest
    assert "Nothing is held against a part" in capsys.readouterr().err
    assert history_add([path], folder).file  # adding goes on


def test_another_version_is_refused(images: Pack, tmp_path: Path) -> None:
    folder = tmp_path / "h"
    file = folder / history_add([make_result(tmp_path / "results", images)], folder).file
    table = pq.read_table(file)
    pq.write_table(table.replace_schema_metadata({b"edgeskin.history": b"2"}), file)
    with pytest.raises(InvalidResult, match="is of another version of edgeskin's history: 2"):
        history(folder)
    pq.write_table(table.drop_columns(["label"]), file)
    with pytest.raises(InvalidResult, match="is of another version"):
        history(folder)


def test_folders_that_are_none(images: Pack, tmp_path: Path) -> None:
    path = make_result(tmp_path / "results", images)
    with pytest.raises(InvalidResult, match="is no folder: edgeskin history add"):
        history(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidResult, match="holds no addition"):
        history(tmp_path / "empty")
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite, match="file, not a folder"):
        history_add([path], tmp_path / "file")
    with pytest.raises(InvalidResult, match="no results there"):
        history_add([tmp_path / "empty"], tmp_path / "h")
    assert not (tmp_path / "h").exists()


def test_names_that_are_none(kept: Path) -> None:
    with pytest.raises(UnknownName, match=r"no series of figure 'p95_ms' \(there are equal_dec"):
        history(kept, figure="p95_ms")
    with pytest.raises(UnknownName, match="no threshold 'z'; there are t, iqr"):
        history(kept, threshold="z")  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match="a share of false alarms lies above 0"):
        history(kept, level=0.0)


def test_without_pyarrow_the_extra_is_named(
    images: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    path = make_result(tmp_path / "results", images)
    with pytest.raises(MissingPackage, match=r"edgeskin\[data\]"):
        history_add([path], tmp_path / "h")


def test_the_command_line(
    images: Pack, kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, folder = str(make_result(tmp_path / "results", images)), str(tmp_path / "h")
    add = ["history", "add", results, "--to", folder, "--label", "v1"]
    assert run([*add, "--at", "2026-01-31T02:00", "--json"]) == 0
    added = json.loads(capsys.readouterr().out)
    assert (added["at"], added["label"]) == ("2026-01-31T02:00:00Z", "v1")
    assert run([*add, "--at", "yesterday"]) == 2
    assert "--at yesterday: write a time as" in capsys.readouterr().err
    assert run(["history", "check", folder]) == 0
    assert "there are too few runs to say" in capsys.readouterr().out
    assert run(["history", "check", str(kept)]) == 1
    shown = capsys.readouterr()
    assert "adb:X1, skin tflite int8, xnnpack: p50_ms (standard) went from" in shown.err
    assert run(["history", "check", str(kept), "--figure", "size_mb"]) == 0
    capsys.readouterr()
    assert run(["history", "show", str(kept), "--figure", "p50_ms", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert len(document["trends"][0]["points"]) == 24
    assert run(["history", "show", str(kept), "--device", "adb:*"]) == 0
    text = capsys.readouterr().out
    assert "adb:X1, skin tflite int8, xnnpack, pack " in text
    assert "the latest is in doubt: too few samples: 60" in text


def test_the_picture(kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show = ["history", "show", str(kept), "--plot", str(tmp_path / "trend.svg"), "--figure"]
    assert run([*show, "p50_ms"]) == 0
    first = (tmp_path / "trend.svg").read_bytes()
    assert first.startswith(b"<?xml")
    assert run([*show, "p50_ms"]) == 2  # it exists
    assert run([*show, "p50_ms", "--force"]) == 0
    assert (tmp_path / "trend.svg").read_bytes() == first  # the same history, the same picture
    trends = history(kept).trends
    from edgeskin.benchmarks.report.history.trend_plot import MOST, plot_trends

    with pytest.raises(UnknownName, match="are too many for a picture"):
        plot_trends(trends * (MOST // len(trends) + 1), tmp_path / "many.svg")
