"""Results in the files of other tools, read back by these tools' own readers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import model_files
import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as parquet
import pytest
from made_results import make_latency, make_pack, make_result
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TracePacket, TrackEvent

from edgeskin.benchmarks.pack import Pack
from edgeskin.benchmarks.report.viewers.exporting import export
from edgeskin.benchmarks.report.viewers.operator_times import TFLITE_KERNELS, node_times
from edgeskin.benchmarks.result import (
    ArtifactIdentity,
    Latency,
    Operators,
    OperatorTime,
    PlacedOperator,
    Placement,
    SensorReading,
)
from edgeskin.benchmarks.summarize import onnx_operators
from edgeskin.cli.main import run
from edgeskin.errors import CannotWrite, InvalidResult, UnknownName
from edgeskin.files import sha256
from edgeskin.formats import format_of
from edgeskin.formats.network import Network, Operator

QUERIES, RUN_MS = 50, 10.0


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return make_pack(tmp_path_factory.mktemp("packs") / "pack")


def sensors(*at_ms: int) -> tuple[SensorReading, ...]:
    """Readings of a device whose four cores are busy for half of the time, ours for a quarter."""
    return tuple(
        SensorReading(
            at_ns=7_000_000_000 + ms * 1_000_000,
            realtime_ns=0,
            own_cpu_ns=ms * 1_000_000 // 4,
            cpu_ticks=f"cpu {ms} 0 {ms} {2 * ms} 0 0 0 0 0 0",
            load="1.00 1.00 1.00 1/100 1",
            thermal_mc={"cpu-thermal": 40_000 + ms},
            clock_khz={"cpu0": 1_800_000, "cpu1": "offline"},
            governor={"cpu0": "performance"},
            power={"battery": {"current_now": -5, "status": "Discharging"}},
        )
        for ms in at_ms
    )


def timed(**changes: object) -> Latency:
    """Queries one behind the other: 0.1 ms to read, 0.4 before the inference, 0.1 behind it."""
    latency = make_latency(RUN_MS, QUERIES, 400, 0)
    ends = np.cumsum([ms + 0.6 for ms in latency.samples.run_ms])
    at_ms = (0.0, *ends[:-1].tolist())
    samples = latency.samples.model_copy(update={"at_ms": at_ms})
    return latency.model_copy(update={"samples": samples, **changes})


# Perfetto


def trace_of(results: Path, folder: Path) -> Trace:
    export([results], perfetto=folder / "t.pftrace")
    trace = Trace()
    # Raises on a damaged message; what the schema does not know would come back as other bytes.
    trace.ParseFromString((folder / "t.pftrace").read_bytes())
    return trace


def tracks(trace: Trace) -> dict[int, Any]:
    return {p.track_descriptor.uuid: p.track_descriptor for p in trace.packet if is_track(p)}


def is_track(packet: TracePacket) -> bool:
    return packet.HasField("track_descriptor")


def slices(trace: Trace, track: int) -> list[tuple[int, str, int, int]]:
    """(depth, name, begin, end) of a track, each closed within what it was opened in."""
    found, opened, last = [], list[tuple[str, int]](), 0
    for packet in trace.packet:
        event = packet.track_event
        if is_track(packet) or event.track_uuid != track:
            continue
        assert packet.timestamp >= last - 1  # of times that were rounded to ns by themselves
        last = packet.timestamp
        if event.type == TrackEvent.TYPE_SLICE_BEGIN:
            opened.append((event.name, packet.timestamp))
        else:
            name, begin = opened.pop()
            found.append((len(opened), name, begin, packet.timestamp))
    assert opened == []
    return sorted(found, key=lambda each: (each[2], each[0]))


def named(trace: Trace, name: str) -> int:
    [uuid] = [uuid for uuid, track in tracks(trace).items() if track.name == name]
    return uuid


def test_every_part_of_every_query_is_a_slice_in_order(images: Pack, tmp_path: Path) -> None:
    latency = timed(sensors=sensors(0, 500, 1500))
    make_result(tmp_path / "results", images, latency=latency)
    trace = trace_of(tmp_path / "results", tmp_path)
    found = slices(trace, named(trace, "queries"))
    assert (found[0][1], found[0][2]) == ("warm-up, 32 runs", 0)
    by_name = {n: [s for s in found if s[1] == n] for n in ("read", "query", "pre", "run", "post")}
    assert {name: len(each) for name, each in by_name.items()} == dict.fromkeys(by_name, QUERIES)
    for name, ms in (("pre", 0.4), ("post", 0.1), ("read", 0.1)):
        assert {end - begin for _, _, begin, end in by_name[name]} == {round(ms * 1e6)}
    runs = [end - begin for _, _, begin, end in by_name["run"]]
    assert runs == [round(ms * 1e6) for ms in latency.samples.run_ms]
    # The first sample begins at the second reading of the sensors, half a second behind the first.
    starts = [begin for _, _, begin, _ in by_name["query"]]
    assert starts == [500_000_000 + round(at * 1e6) for at in latency.samples.at_ms]
    assert {depth for depth, *_ in by_name["run"]} == {1}  # inside of a query
    annotated = [
        p.track_event.debug_annotations[0].int_value
        for p in trace.packet
        if not is_track(p) and p.track_event.name == "query"
    ]
    assert annotated == list(latency.samples.image)


def test_sensors_are_counters_with_units(images: Pack, tmp_path: Path) -> None:
    make_result(tmp_path / "results", images, latency=timed(sensors=sensors(0, 500, 1500)))
    trace = trace_of(tmp_path / "results", tmp_path)
    found = {}
    for uuid, track in tracks(trace).items():
        if track.HasField("counter"):
            found[track.name, track.counter.unit_name] = [
                (p.timestamp // 1_000_000, p.track_event.double_counter_value)
                for p in trace.packet
                if not is_track(p) and p.track_event.track_uuid == uuid
            ]
    assert found == {
        ("temperature, cpu-thermal", "°C"): [(0, 40.0), (500, 40.5), (1500, 41.5)],
        ("clock, cpu0", "MHz"): [(0, 1800.0), (500, 1800.0), (1500, 1800.0)],
        ("power, battery current_now", "as the kernel says"): [(0, -5), (500, -5), (1500, -5)],
        ("load, all cores", "%"): [(0, 50.0), (500, 50.0)],
        ("load, the runner, of one core", "%"): [(0, 25.0), (500, 25.0)],
    }


def test_each_result_is_a_process_and_says_if_its_times_are_none(
    images: Pack, tmp_path: Path
) -> None:
    for device in ("host", "emulated:cortex-a76"):
        make_result(tmp_path / "results", images, device=device)
    trace = trace_of(tmp_path / "results", tmp_path)
    processes = [t.process for t in tracks(trace).values() if t.HasField("process")]
    assert {(p.pid, p.process_name) for p in processes} == {
        (1, "skin-int8.tflite on emulated:cortex-a76, xnnpack (emulated: no speed)"),
        (2, "skin-int8.tflite on host, xnnpack"),
    }


def test_a_trace_of_nothing_timed_is_refused(images: Pack, tmp_path: Path) -> None:
    result = make_result(tmp_path, images, run_ms=None)
    with pytest.raises(InvalidResult, match="no result was timed: bench with --protocol quick"):
        export([result], perfetto=tmp_path / "t.pftrace")
    assert not (tmp_path / "t.pftrace").exists()


# Parquet


def test_tables_hold_every_result_and_every_query(images: Pack, tmp_path: Path) -> None:
    make_result(tmp_path / "results", images, queries=QUERIES, flips=8)
    make_result(tmp_path / "results", images, file="skin-fp32.onnx", run_ms=None)
    written = export([tmp_path / "results"], parquet=tmp_path / "out")
    assert [path.name for path in written] == ["results.parquet", "samples.parquet"]
    results, samples = (parquet.read_table(path) for path in written)
    untimed, timed = results.to_pylist()
    assert (untimed["file"], untimed["run_p50_ms"]) == ("skin-fp32.onnx", None)
    assert untimed["no_times"] == "not timed"
    assert samples.num_rows == QUERIES
    assert pc.unique(samples["result"]).to_pylist() == [timed["result"]]
    assert samples["query"].to_pylist() == list(range(QUERIES))
    # Recomputed from the samples, by another implementation of the percentile.
    assert pc.quantile(samples["run_ms"], 0.9)[0].as_py() == pytest.approx(timed["run_p90_ms"])
    metrics = {metric["metric"]: metric for metric in timed["metrics"]}
    change = metrics["severity_accuracy"]["change"]
    assert change == pytest.approx(-8 / 400)
    assert {(group["by"], group["group"]) for group in timed["groups"]} == {
        ("tone", "light"), ("tone", "dark"),
    }  # fmt: skip
    assert timed["peak_memory_kb"] == 60_000


def test_an_existing_table_is_not_replaced_unasked(images: Pack, tmp_path: Path) -> None:
    result = make_result(tmp_path, images, queries=QUERIES)
    export([result], parquet=tmp_path / "out")
    (tmp_path / "out" / "results.parquet").unlink()
    with pytest.raises(CannotWrite, match="samples.parquet exists already"):
        export([result], parquet=tmp_path / "out", perfetto=tmp_path / "t.pftrace")
    assert not (tmp_path / "t.pftrace").exists()
    assert not (tmp_path / "out" / "results.parquet").exists()
    export([result], parquet=tmp_path / "out", force=True)


# Operators


def read(path: Path) -> Network:
    with format_of(path).part("reader") as reader:
        network: Network = reader.read(path)
    return network


def delegated(*names: str) -> tuple[OperatorTime, ...]:
    """XNNPACK's operators, the first taking 1 ms, the next 2, and so on."""
    return tuple(OperatorTime(name=name, index=i, mean_ms=1.0 + i) for i, name in enumerate(names))


def in_xnnpack(codes: list[int], *names: str) -> Operators:
    whole = PlacedOperator(code=51, name="XNNPACK", replaces=tuple(range(len(codes))))
    graph = tuple(PlacedOperator(code=code) for code in codes)
    placement = Placement(graph=graph, plan=(whole,))
    return Operators(plan=(), delegated=delegated(*names), placement=placement)


CONV, DEPTHWISE, ADD, QUANTIZE, GELU, SOFTMAX = 3, 4, 0, 114, 150, 25


def test_operators_of_a_delegate_are_found_by_kind_and_order() -> None:
    names = ("Convert (NC)", "Convolution (NHWC) IGEMM", "Fully Connected (NC) GEMM", "Add (ND)")
    times = node_times(in_xnnpack([QUANTIZE, CONV, DEPTHWISE, ADD], *names), ())
    assert times.mean_ms == {1: 2.0, 2: 3.0, 3: 4.0}
    assert times.unplaced_ms == pytest.approx(1.0)  # the conversion
    assert times.placed_share == pytest.approx(0.9)
    assert set(times.placement.values()) == {"XNNPACK"}


def test_kinds_that_differ_in_number_are_not_guessed() -> None:
    names = ("Convolution (NHWC)", "GELU (NC)", "Invalid Unary Op", "Softmax (NC)")
    times = node_times(in_xnnpack([CONV, GELU, GELU, SOFTMAX], *names), ())
    assert times.mean_ms == {0: 1.0, 3: 4.0}
    assert times.unplaced_ms == pytest.approx(5.0)


def test_a_delegate_that_has_another_order_is_not_believed() -> None:
    times = node_times(in_xnnpack([CONV, ADD], "Add (ND)", "Convolution (NHWC)"), ())
    assert times.mean_ms == {}
    assert times.unplaced_ms == pytest.approx(3.0)
    assert times.placed_share == 0.0


def test_kernels_of_tflite_are_told_by_their_place() -> None:
    graph = (PlacedOperator(code=CONV), PlacedOperator(code=ADD), PlacedOperator(code=SOFTMAX))
    part = PlacedOperator(code=51, name="GPU", replaces=(0, 1))
    plan = (
        OperatorTime(name="GPU", index=3, mean_ms=4.0),
        OperatorTime(name="SOFTMAX", index=2, mean_ms=1.0),
    )
    placement = Placement(graph=graph, plan=(part, graph[2]))
    times = node_times(Operators(plan=plan, placement=placement), ())
    assert times.mean_ms == {2: 1.0}
    assert times.unplaced_ms == 4.0
    assert times.placement == {0: "GPU", 1: "GPU", 2: TFLITE_KERNELS}


def test_kinds_are_those_of_tflite_s_schema() -> None:
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    from edgeskin.benchmarks.report.viewers import operator_times

    words = {code: word for word, code in vars(BuiltinOperator).items() if isinstance(code, int)}
    found = {words[code]: family for code, family in operator_times._FAMILIES.items()}
    products = ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL"]
    assert found == dict.fromkeys(products, "product") | {
        "ADD": "Add", "AVERAGE_POOL_2D": "Average Pooling", "LOGISTIC": "Sigmoid",
        "MAX_POOL_2D": "Max Pooling", "MUL": "Multiply", "RESHAPE": "Static Reshape",
        "RESIZE_BILINEAR": "Resize Bilinear", "SOFTMAX": "Softmax", "TRANSPOSE": "Transpose",
        "MEAN": "Mean", "SUB": "Subtract", "RSQRT": "Reciprocal Square Root",
        "SQUARED_DIFFERENCE": "Squared Difference", "GELU": "GELU",
    }  # fmt: skip


def test_nodes_that_onnx_runtime_replaced_are_found_in_the_file(tmp_path: Path) -> None:
    """The QDQ convolution becomes a QLinearConv of another name, timed by the runtime itself."""
    import onnx
    import onnxruntime

    path = model_files.onnx_qdq(tmp_path / "qdq.onnx")
    model = onnx.load(path)
    for i, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{i}"
    onnx.save(model, path)
    options = onnxruntime.SessionOptions()
    options.enable_profiling, options.profile_file_prefix = True, str(tmp_path / "profile")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    [given] = session.get_inputs()
    session.run(None, {given.name: np.zeros([1, *given.shape[1:]], np.float32)})
    nodes = onnx_operators(json.loads(Path(session.end_profiling()).read_bytes()))
    plan = tuple(
        OperatorTime(
            name=node["name"], node=node["node"], provider=node["provider"],
            mean_ms=node["total_ns"] / 1e6,
        )
        for node in nodes
    )  # fmt: skip
    graph = read(path).operators
    times = node_times(Operators(plan=plan), graph)
    [product] = [i for i, op in enumerate(graph) if op.role == "multiply"]
    [ran] = [op.mean_ms for op in plan if "Conv" in op.name]
    assert times.mean_ms[product] == pytest.approx(ran)
    assert times.placement[product] == "CPUExecutionProvider"
    total = sum(op.mean_ms for op in plan)
    assert sum(times.mean_ms.values()) + times.unplaced_ms == pytest.approx(total)


def onnx_times(*plan: tuple[str, str]) -> dict[int, float]:
    """Operators (type, name) that take 1 ms, 2 ms and so on, in a file with a residual block."""
    graph = (
        Operator("Conv", ("x", "w0"), ("conv",), node="node_conv"),
        Operator("Clip", ("conv", "low"), ("clip",), node="node_clip"),
        Operator("Conv", ("clip", "w1"), ("conv_1",), node="node_conv_1"),
        Operator("Add", ("conv_1", "clip"), ("add",), node="node_add"),
        Operator("Resize", ("add",), ("resize",), node="node_resize"),
    )
    timed = tuple(
        OperatorTime(name=type_, node=node, provider="CPU", mean_ms=1.0 + i)
        for i, (type_, node) in enumerate(plan)
    )
    return dict(node_times(Operators(plan=timed), graph).mean_ms)


def test_what_onnx_runtime_joined_stands_at_the_operator_that_it_is() -> None:
    assert onnx_times(
        ("Conv", "clip_nchwc"),  # with the activation behind it
        ("Conv", "InsertedPrecisionFreeCast_conv_1_nchwc"),
        ("Add", "node_add_token_7"),
        ("Upsample", "resize_nchwc"),
        ("Clip", "node_clip/duplicated_token_3"),
    ) == {0: 1.0, 2: 2.0, 3: 3.0, 4: 4.0, 1: 5.0}


def test_what_onnx_runtime_added_or_what_could_be_two_is_not_guessed() -> None:
    assert (
        onnx_times(
            ("ReorderInput", "ReorderInput_token_4"),
            ("Cast", "InsertedPrecisionFreeCast_conv"),
            ("Conv", "add_nchwc"),  # a sum of two maps: of either convolution
            ("MaxPool", "conv_nchwc"),  # no such operator behind it
            ("Conv", "elsewhere_nchwc"),
        )
        == {}
    )


# Model Explorer


def measured_tflite(folder: Path, of: Pack, **operators: object) -> tuple[Path, Path]:
    """A .tflite of two operators, and a result that was measured on it."""
    folder.mkdir(exist_ok=True)
    path = model_files.tflite(folder / "skin-int8.tflite")
    one = ArtifactIdentity(
        name=path.name, sha256=sha256(path), bytes=1, precision="int8", io="app", model="skin"
    )
    latency = timed(operators=Operators(**operators))
    return path, make_result(folder / "results", of, artifact=one, latency=latency)


GRAPH = (PlacedOperator(code=CONV), PlacedOperator(code=19))
WHOLE = PlacedOperator(code=51, name="TfLiteXNNPackDelegate", replaces=(0, 1))


def test_node_data_has_time_and_placement_by_operator(images: Pack, tmp_path: Path) -> None:
    path, result = measured_tflite(
        tmp_path, images, plan=(), delegated=delegated("Convolution (NHWC, QC8) IGEMM"),
        placement=Placement(graph=GRAPH, plan=(WHOLE,)),
    )  # fmt: skip
    written = export([result], model_explorer=tmp_path / "nodes", artifacts=[path.parent])
    stem = "host--skin-int8.tflite"
    assert [p.name for p in written] == [f"{stem}.latency.json", f"{stem}.placement.json"]
    latency, placement = (json.loads(p.read_text()) for p in written)
    assert latency["results"] == {"0": {"value": 1.0}}
    assert [stop["stop"] for stop in latency["gradient"]] == [0, 1]
    assert "100% of the operators' time" in latency["name"]
    values = {node: each["value"] for node, each in placement["results"].items()}
    assert values == dict.fromkeys(("0", "1"), "TfLiteXNNPackDelegate")
    (tmp_path / "later").mkdir()
    later = tmp_path / "later" / result.name  # of the same name: one would replace the other
    later.write_bytes(result.read_bytes())
    with pytest.raises(InvalidResult, match="would be of two results"):
        export([result, later], model_explorer=tmp_path / "two", artifacts=[path.parent])
    assert not (tmp_path / "two").exists()


def layers(folder: Path, artifact: str, tensors: dict[str, float], **changes: Any) -> Path:
    """What `verify --layers --json` prints, in short; infinity is text there."""
    rows = [
        {"name": f"of {t}", "kind": "multiply", "tensor": t, "sqnr_db": str(db), "own_sqnr_db": db}
        for t, db in tensors.items()
    ]
    document = {"artifact": artifact, "reference": "run", "layers": rows, "bad": ["of features"]}
    path = folder / "verify.json"
    path.write_text(json.dumps({"sqnr_db": 30.0, "layers": document | changes}))
    return path


def test_sqnr_stands_at_the_operator_that_makes_the_tensor(images: Pack, tmp_path: Path) -> None:
    path, result = measured_tflite(tmp_path, images)
    document = layers(tmp_path, path.name, {"image": 50.0, "features": 21.5, "out": math.inf})
    written = export(
        [result], model_explorer=tmp_path / "nodes", artifacts=[path], layers=[document]
    )
    assert [p.name for p in written] == [
        f"{path.name}.{kind}.json" for kind in ("sqnr", "own-sqnr")
    ]
    for file in written:
        found = json.loads(file.read_text())
        # The input is made by no operator, and JSON has no infinity.
        assert {node: each["value"] for node, each in found["results"].items()} == {"0": 21.5}
        assert found["results"]["0"]["bgColor"]  # a bad layer


def test_what_does_not_fit_is_refused(images: Pack, tmp_path: Path) -> None:
    path, result = measured_tflite(tmp_path, images)
    nodes = tmp_path / "nodes"
    (tmp_path / "other").mkdir()
    other = model_files.tflite(tmp_path / "other" / path.name, runtime="2.4.0")
    for artifacts, layered, why in (
        ([other], [], "which is not among --artifact"),
        ([path], [], "no result says anything by operator"),
        ([path], [layers(tmp_path, "x.tflite", {"out": 1.0})], "is of x.tflite, which is not"),
    ):
        with pytest.raises(InvalidResult, match=why):
            export([result], model_explorer=nodes, artifacts=artifacts, layers=layered)
    again = layers(tmp_path, path.name, {"out": 1.0}, sha256="ab" * 32)
    with pytest.raises(InvalidResult, match=f"is of {path.name} of sha256 abab"):
        export([result], model_explorer=nodes, artifacts=[path], layers=[again])
    strange = layers(tmp_path, path.name, {"elsewhere": 1.0})
    with pytest.raises(InvalidResult, match="none of its layers is a tensor of"):
        export([result], model_explorer=nodes, artifacts=[path], layers=[strange])
    (tmp_path / "plain.json").write_text('{"sqnr_db": 1.0}')
    with pytest.raises(InvalidResult, match="has no layers: make it with edgeskin verify --layers"):
        export([result], model_explorer=nodes, artifacts=[path], layers=[tmp_path / "plain.json"])
    with pytest.raises(UnknownName, match="needs the files that were measured: --artifact"):
        export([result], model_explorer=nodes)
    assert not nodes.exists()


def test_operators_behind_the_end_of_the_file_are_damage(images: Pack, tmp_path: Path) -> None:
    graph = tuple(PlacedOperator(code=CONV) for _ in range(3))
    path, result = measured_tflite(tmp_path, images, placement=Placement(graph=graph, plan=graph))
    with pytest.raises(InvalidResult, match="tells of operator 2, and skin-int8.tflite has 2"):
        export([result], model_explorer=tmp_path / "nodes", artifacts=[path])


def test_onnx_results_of_before_are_told_apart(images: Pack, tmp_path: Path) -> None:
    path = model_files.onnx_qdq(tmp_path / "skin-int8.onnx")
    one = ArtifactIdentity(
        name=path.name, sha256=sha256(path), bytes=1, precision="int8", io="app", model="skin"
    )
    plan = (OperatorTime(name="QLinearConv", index=0, provider="CPU", mean_ms=1.0),)
    result = make_result(
        tmp_path,
        images,
        file=path.name,
        artifact=one,
        latency=timed(operators=Operators(plan=plan)),
    )
    with pytest.raises(InvalidResult, match="names no operator of skin-int8.onnx, as an earlier"):
        export([result], model_explorer=tmp_path / "nodes", artifacts=[path])


# The command


def test_the_command_writes_and_says_what(
    images: Pack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = make_result(tmp_path, images, queries=QUERIES)
    trace = tmp_path / "t.pftrace"
    words = ["export", str(result), "--perfetto", str(trace), "--json"]
    assert run(words) == 0
    assert json.loads(capsys.readouterr().out) == {"written": [str(trace)]}
    assert run(words) == 2
    assert "t.pftrace exists already. Pass --force" in capsys.readouterr().err
    assert run(["export", str(result)]) == 2
    assert "nothing to write: give --perfetto, --parquet" in capsys.readouterr().err
    assert run(["export", str(result), "--parquet", str(tmp_path / "p"), "--layers", "x.json"]) == 2
    assert "x.json is for Model Explorer: give --model-explorer" in capsys.readouterr().err
    assert not (tmp_path / "p").exists()
