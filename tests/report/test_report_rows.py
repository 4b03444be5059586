"""Rows, checks and verdicts of results whose figures are known."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from made_results import make_latency, make_pack, make_result
from scipy import stats

from edgeskin.benchmarks.pack import Pack
from edgeskin.benchmarks.report.budget import DEFAULT, Budget, Limits
from edgeskin.benchmarks.report.collect import collect
from edgeskin.benchmarks.report.gate.compare_results import compare
from edgeskin.benchmarks.report.report_documents import Check, Report
from edgeskin.benchmarks.report.report_rows import report_on
from edgeskin.benchmarks.report.result_cells import taken_text, worst_of
from edgeskin.errors import InvalidResult, InvalidSpec
from edgeskin.statistics import percentile_interval


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return make_pack(tmp_path_factory.mktemp("packs") / "pack")


def budget(**limits: object) -> Budget:
    return Budget.model_validate({"source": "a test", **limits})


def check_of(report: Report, limit: str, row: int = 0) -> Check:
    return next(c for c in report.models[0].rows[row].checks if c.limit == limit)


def test_nothing_lost_ships(images: Pack, tmp_path: Path) -> None:
    make_result(tmp_path, images)
    report = report_on(collect([tmp_path]), budget(max_drop=1.0, max_latency_ms=15, max_size_mb=4))
    (model,) = report.models
    row = model.rows[0]
    # 400 images without a flip: up to 3 / 400 = 0.75 points may hide, 1.0 is allowed.
    assert (report.verdict, model.verdict, row.verdict) == ("ship", "ship", "ship")
    assert row.sqnr_db == pytest.approx(
        10 * math.log10(np.mean(images.reference["severity"] ** 2) / (0.01**2 / 3)), abs=1.5
    )  # uniform noise of 0.01, before the rows are made to sum to one
    assert (row.target, row.precision, row.size_mb, row.images) == ("tflite", "int8", 4.0, 400)
    assert row.memory_mb == pytest.approx(61.44)  # 60,000 KiB
    assert row.times is not None
    assert row.times.p50_ms == pytest.approx(10.0, abs=1e-3)
    assert row.times.whole_p50_ms == pytest.approx(10.5, abs=1e-3)
    assert row.times.load_ms == 30.0


def test_a_few_images_prove_no_tenth_of_a_point(images: Pack, tmp_path: Path) -> None:
    make_result(tmp_path, images)
    report = report_on(collect([tmp_path]), budget(max_drop=0.5))
    assert check_of(report, "max_drop").state == "unsure"  # 0.75 points may hide
    assert report.verdict == "look"
    assert "400 images are too few to say" in report.models[0].reason


def test_only_images_with_a_label_of_a_metric_prove_it(images: Pack, tmp_path: Path) -> None:
    path = make_result(tmp_path, images)
    document = json.loads(path.read_text())
    for metric in document["accuracy"]["metrics"].values():
        metric["images"] = 100  # of 400
    path.write_text(json.dumps(document))
    report = report_on(collect([path]), budget(max_drop=1.0))
    assert "100 images are too few to say" in report.models[0].reason  # 3 points may hide


def test_a_drop_stops_with_the_metric_and_its_interval(images: Pack, tmp_path: Path) -> None:
    make_result(tmp_path, images, flips=20)
    report = report_on(collect([tmp_path]), budget(max_drop=1.0))
    check = check_of(report, "max_drop")
    assert (check.state, check.unit) == ("missed", "points")
    # 20 of 400 right ones are wrong now: accuracy falls by 5 points. Balanced accuracy by more or
    # less, with the classes that the first twenty happen to be of.
    lost = {n: 100 * m.loss for n, m in report.models[0].rows[0].metrics.items()}
    assert lost["severity_accuracy"] == pytest.approx(5.0)
    assert check.value == pytest.approx(max(lost.values()))
    assert check.low is not None
    assert check.high is not None
    assert check.low < 5.0 < check.high
    assert report.verdict == "stop"
    assert report.models[0].reason.startswith("skin-int8.tflite on host: severity_")


def test_the_worst_group_stands_beside_the_mean(images: Pack, tmp_path: Path) -> None:
    make_result(tmp_path, images, flips=20)
    report = report_on(collect([tmp_path]), budget(max_group_gap=90.0))
    row = report.models[0].rows[0]
    worst = {(w.by, w.metric): w for w in row.worst_groups}
    group = worst["tone", "severity_accuracy"]
    # One in ten is wrong, each the last of ten and so of the dark half, 40 of 200; of the first
    # twenty right ones, nine stand at odd places (9 and 19 were wrong already).
    assert (group.group, group.images) == ("dark", 200)
    assert group.change.reference == pytest.approx(1 - 40 / 200)
    assert check_of(report, "max_group_gap").state == "held"


def test_the_worst_group_is_not_hidden_by_the_row_s_own_metric(
    images: Pack, tmp_path: Path
) -> None:
    """The row shows what does worst by its limit, and its groups may have lost nothing in it."""
    make_result(tmp_path, images, flips=20)
    row = report_on(collect([tmp_path]), budget(max_drop=50.0)).models[0].rows[0]
    own, other = (row.worst_groups[0].model_copy(update={"metric": m}) for m in (row.metric, "x"))
    calm = own.change.model_copy(update={"candidate": own.change.reference})
    lesions = own.model_copy(
        update={"change": own.change.model_copy(update={"unit": "lesions"}), "metric": "count_mae"}
    )
    groups = (own.model_copy(update={"change": calm}), other, lesions)
    found = worst_of(row.model_copy(update={"worst_groups": groups}))
    assert found is not None
    assert found.metric == "x"


def test_latency_is_held_against_the_whole_query(images: Pack, tmp_path: Path) -> None:
    make_result(tmp_path, images)
    result = collect([tmp_path])[0].result
    assert result.latency is not None
    p90 = result.latency.summary.whole.p90_ms
    found = {}
    for name, allowed in (("above", p90 + 0.2), ("inside", p90 + 0.001), ("below", p90 - 0.01)):
        report = report_on(collect([tmp_path]), budget(max_latency_ms=allowed))
        found[name] = check_of(report, "max_latency_ms").state
    assert found == {"above": "held", "inside": "unsure", "below": "missed"}


def test_emulated_times_are_no_times(images: Pack, tmp_path: Path) -> None:
    make_result(tmp_path, images, device="emulated:cortex-a76")
    report = report_on(collect([tmp_path]), budget(max_latency_ms=100))
    row = report.models[0].rows[0]
    assert (row.times, row.no_times) == (None, "emulated: no speed")
    assert row.verdict == "look"
    assert check_of(report, "max_latency_ms").state == "not measured"


def test_doubts_count_where_a_limit_is_held_against_times(images: Pack, tmp_path: Path) -> None:
    make_result(tmp_path, images, queries=50)
    found = collect([tmp_path])
    loose = report_on(found, budget(max_size_mb=4))
    assert loose.verdict == "ship"
    assert any("too few samples: 50" in doubt for doubt in loose.models[0].rows[0].doubts)
    timed = report_on(found, budget(max_latency_ms=1000))
    assert (timed.verdict, "too few samples" in timed.models[0].reason) == ("look", True)


def test_an_accelerator_that_nobody_saw_is_looked_at(images: Pack, tmp_path: Path) -> None:
    make_result(tmp_path, images, unverified="the runtime does not say what gpu took")
    report = report_on(collect([tmp_path]), budget(max_size_mb=4))
    assert report.verdict == "look"
    assert "unverified: the runtime does not say" in report.models[0].reason


def test_outputs_that_are_no_numbers_stop(images: Pack, tmp_path: Path) -> None:
    path = make_result(tmp_path, images)
    document = json.loads(path.read_text())
    document["accuracy"]["agreement"]["severity"]["sqnr_db"] = float("nan")
    path.write_text(json.dumps(document))
    report = report_on(collect([path]), DEFAULT)
    assert (report.verdict, "no number" in report.models[0].reason) == ("stop", True)


def test_devices_have_limits_of_their_own() -> None:
    limits = budget(max_drop=1.0, max_latency_ms=50, devices={"adb:*": Limits(max_latency_ms=20)})
    assert limits.on("host") == Limits(max_drop=1.0, max_latency_ms=50)
    assert limits.on("adb:X1") == Limits(max_drop=1.0, max_latency_ms=20)


def test_a_budget_is_read_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Budget.load(None) == DEFAULT
    file = tmp_path / "edgeskin.toml"
    file.write_text('[budget]\nmax_drop = 0.5\n[budget.devices."ssh:*"]\nmax_size_mb = 3\n')
    loaded = Budget.load(None)
    assert (loaded.source, loaded.on("ssh:a@b").max_size_mb) == ("edgeskin.toml", 3)
    for text, words in (
        ("[budget]\nmax_drops = 1\n", "budget.max_drops: Extra inputs"),
        ("[budget.max_mae_rise]\ncount_mae = -1\n", "max_mae_rise.count_mae: Input should"),
        ("[budget]\nmax_mae_rise = {}\n", "budget.max_mae_rise: Dictionary should have"),
        ("[budget]\nmax_mae_rise = -0.1\n", "budget.max_mae_rise: Input should be greater"),
        ("[budget]\nmax_drop = -1\n", "budget.max_drop: Input should be greater"),
        ('[budget]\nsource = "me"\nmax_drop = 1\n', "budget.source: no limit is called so"),
        ("[budget\n", "is not TOML"),
        ("[other]\n", r"has no table \[budget\]"),
    ):
        file.write_text(text)
        with pytest.raises(InvalidSpec, match=words):
            Budget.load(None)
    with pytest.raises(InvalidSpec, match="cannot be read: No such file"):
        Budget.load(tmp_path / "absent.toml")


def with_errors(path: Path, **rises: float) -> None:
    """Errors that rose by so much, surely, beside what the result has."""
    document = json.loads(path.read_text())
    for name, rise in rises.items():
        document["accuracy"]["metrics"][name] = {
            "unit": "years", "higher_is_better": False, "reference": 2.0, "candidate": 2.0 + rise,
            "change": {"value": rise, "low": rise - 0.01, "high": rise + 0.01},
        }  # fmt: skip
    path.write_text(json.dumps(document))


def test_errors_are_limited_metric_by_metric(images: Pack, tmp_path: Path) -> None:
    with_errors(make_result(tmp_path, images), count_mae=0.3, age_mae=0.5, age_rmse=5.0)

    def check(allowed: object) -> tuple[str, str | None, float]:
        report = report_on(collect([tmp_path]), budget(max_mae_rise=allowed))
        found = check_of(report, "max_mae_rise")
        return found.state, found.metric, found.allowed

    assert check(0.6) == ("missed", "age_rmse", 0.6)  # one number is for all of them
    both = {"count_mae": 0.4, "age_mae": 0.6}
    assert check(both) == ("held", "age_mae", 0.6)  # the root mean square has no limit
    assert check(both | {"count_mae": 0.2}) == ("missed", "count_mae", 0.2)
    assert check(both | {"count_mae": 0.305}) == ("unsure", "count_mae", 0.305)
    on_device = {"host": Limits(max_mae_rise={"age_mae": 0.1})}
    limits = budget(max_mae_rise=5.0, devices=on_device)
    report = report_on(collect([tmp_path]), limits)
    assert check_of(report, "max_mae_rise").metric == "age_mae"  # in place of the other


def test_a_limit_on_an_error_that_no_result_has_is_said(images: Pack, tmp_path: Path) -> None:
    with_errors(make_result(tmp_path, images), count_mae=0.0)
    limits = tmp_path / "limits.toml"
    limits.write_text("[budget.max_mae_rise]\ncount_mea = 0.2\nseverity_accuracy = 1\n")
    report = report_on(collect([tmp_path]), Budget.load(limits))
    assert check_of(report, "max_mae_rise").state == "not measured"
    assert report.verdict == "look"
    theirs = "and no result has such an error; they have count_mae"
    assert report.remarks == (
        f"max_mae_rise names 'count_mea', {theirs}",
        f"max_mae_rise names 'severity_accuracy', {theirs}",  # a ratio
    )
    comparison = compare(tmp_path, tmp_path, budget=limits)
    assert report.remarks[0] in {reason.line for reason in comparison.unsure}
    assert comparison.verdict == "unsure"


def test_only_results_are_collected(images: Pack, tmp_path: Path) -> None:
    make_result(tmp_path / "deep" / "er", images)
    (tmp_path / "manifest.json").write_text('{"artifacts": {}}')
    assert len(collect([tmp_path, tmp_path / "deep"])) == 1
    with pytest.raises(InvalidResult, match="does not fit BenchResult"):
        collect([tmp_path / "manifest.json"])
    with pytest.raises(InvalidResult, match="no results there"):
        collect([images.folder.parent / "nowhere", tmp_path / "empty"][:0])
    (tmp_path / "cut--x.json").write_text('{"version": 1, "artifact"')
    with pytest.raises(InvalidResult, match="cut--x.json is not JSON|does not fit"):
        collect([tmp_path])


def test_results_of_other_versions_and_with_missing_parts(images: Pack, tmp_path: Path) -> None:
    path = make_result(tmp_path, images)
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"version": 2}))
    with pytest.raises(InvalidResult, match="version"):
        collect([path])
    document.pop("engine")
    path.write_text(json.dumps(document))
    with pytest.raises(InvalidResult, match="engine: Field required"):
        collect([tmp_path])


@pytest.mark.parametrize(
    ("part", "value", "why"),
    [
        ("accuracy.agreement", {}, "no output of it is compared with the float model's"),
        ("latency.loads", [], "it was timed and has no load"),
        ("latency.memory_kb", {}, "it was timed and has no memory"),
        ("latency.samples.run_ms", [0.0] * 50, "its samples are no times"),
        ("latency.samples.run_ms", [10.0] * 49 + [math.nan], "its samples are no times"),
        ("latency.samples.at_ms", [1.0] * 49 + [math.inf], "its samples are no times"),
        ("latency.samples.post_ms", [0.1] * 49, "its samples are no times"),
    ],
)
def test_parts_that_are_there_and_empty_are_damage(
    images: Pack, tmp_path: Path, part: str, value: object, why: str
) -> None:
    path = make_result(tmp_path, images, queries=50)
    document = json.loads(path.read_text())
    *parents, name = part.split(".")
    holder = document
    for parent in parents:
        holder = holder[parent]
    holder[name] = value
    path.write_text(json.dumps(document))
    with pytest.raises(InvalidResult, match=f"{path.name} is damaged: {why}. Measure it again"):
        collect([tmp_path])


@pytest.mark.parametrize("percent", [50, 90])
def test_the_interval_of_a_percentile_holds_it_as_often_as_it_says(percent: int) -> None:
    law = stats.gamma(4.0)
    truth = float(law.ppf(percent / 100))
    random, hits = np.random.default_rng(5), 0
    for _ in range(400):
        low, high = percentile_interval(law.rvs(200, random_state=random).tolist(), percent)
        hits += low <= truth <= high
    # 95 % of 400 are 380, one sigma is 4.4; the ranks are whole numbers, rounded outwards.
    assert hits >= 366


def test_made_latencies_have_their_median() -> None:
    assert make_latency(7.0, 999, 5, 0).summary.run.p50_ms == pytest.approx(7.0, abs=1e-3)


def test_a_metric_that_is_unsure_is_not_hidden_by_one_that_lost_more(
    images: Pack, tmp_path: Path
) -> None:
    path = make_result(tmp_path, images)
    document = json.loads(path.read_text())
    metrics = document["accuracy"]["metrics"]
    certain = metrics["severity_accuracy"]
    unsure = json.loads(json.dumps(certain))
    for metric, change, low in ((certain, -0.005, -0.008), (unsure, -0.001, -0.02)):
        metric["candidate"] = metric["reference"] + change
        metric["change"] = {"value": change, "low": low, "high": 0.001}
    document["accuracy"]["metrics"] = {"certain_accuracy": certain, "unsure_accuracy": unsure}
    path.write_text(json.dumps(document))
    report = report_on(collect([path]), budget(max_drop=1.0))
    check = check_of(report, "max_drop")
    assert (check.state, check.line.partition(" ")[0]) == ("unsure", "unsure_accuracy")
    assert report.verdict == "look"


def test_no_limit_for_a_device_is_no_reason_to_ship(images: Pack, tmp_path: Path) -> None:
    make_result(tmp_path, images)
    limits = budget(devices={"adb:*": Limits(max_size_mb=9)})
    report = report_on(collect([tmp_path]), limits)
    assert report.verdict == "look"
    assert "no limit is set for this device" in report.models[0].reason


@pytest.mark.parametrize(
    ("accelerator", "taken", "text"),
    [
        ("xnnpack", (70, 72), "none: CPU, 70 of 72 by xnnpack"),
        ("none", None, "none: CPU"),
        ("gpu", (70, 72), "70 of 72"),
        ("webgpu", None, "not told"),
    ],
)
def test_kernels_of_the_cpu_are_no_accelerator(
    images: Pack, tmp_path: Path, accelerator: str, taken: tuple[int, int] | None, text: str
) -> None:
    make_result(tmp_path, images)
    row = report_on(collect([tmp_path]), DEFAULT).models[0].rows[0]
    assert taken_text(row.model_copy(update={"accelerator": accelerator, "taken": taken})) == text
