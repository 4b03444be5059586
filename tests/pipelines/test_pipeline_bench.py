"""Pipelines packed, and benched on this machine by the device runner."""

from __future__ import annotations

import json
import re
import shutil
from base64 import b64decode
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from commands import refusal
from PIL import Image
from pipeline_networks import BLUE, COLOURS, RED, painted, plain_input, rules

import edgeskin
from edgeskin.artifacts import Metadata
from edgeskin.benchmarks.devices.device import Device
from edgeskin.benchmarks.devices.host import HostLink
from edgeskin.benchmarks.pack import read
from edgeskin.benchmarks.pipeline_bench import bench_pipeline
from edgeskin.benchmarks.pipeline_pack import PipelinePack, read_pipeline_pack
from edgeskin.benchmarks.protocol import Protocol
from edgeskin.benchmarks.result import PipelineResult, read_result
from edgeskin.cli.main import run
from edgeskin.converters.model import Job
from edgeskin.data.grouping import GroupOptions
from edgeskin.errors import InvalidArtifact, InvalidData, InvalidPack, InvalidResult, RunFailed
from edgeskin.formats import FORMATS
from edgeskin.pipelines.pipeline_folder import make_pipeline, read_pipeline
from edgeskin.pipelines.pipeline_predictor import load_pipeline

pytestmark = pytest.mark.slow
Make = Callable[..., Path]
SHORT = Protocol(
    "quick", loads=1, warmup_runs=2, warmup_s=0.1, queries=6, seconds=0, profile_runs=1
)


@pytest.fixture(scope="module")
def pack(of_runs: Path, halves: Path, tmp_path_factory: pytest.TempPathFactory) -> PipelinePack:
    out = tmp_path_factory.mktemp("packs") / "halves"
    made = edgeskin.pack(of_runs, halves, out, groups=GroupOptions(by=("colour",)))
    assert isinstance(made, PipelinePack)
    return made


def test_a_pack_has_the_images_and_what_the_float_pipeline_says(
    pack: PipelinePack, of_runs: Path, halves: Path
) -> None:
    images = [image.decode() for image in edgeskin.load_split(halves, "test").images]
    assert len(pack) == 12
    with load_pipeline(of_runs) as model:
        predictions = [model.predict(image) for image in images]
    assert pack.statuses == tuple(p.status for p in predictions)
    answered = [p["colour"].probabilities for p in predictions if p.answered]
    expected = [[p[name] for name in COLOURS] for p in answered]
    np.testing.assert_allclose(pack.end["colour"], expected, rtol=1e-6)
    for i, image in enumerate(images):
        np.testing.assert_array_equal(pack.image(i), image)
    assert pack.end_truth["colour"].tolist() == [i % 2 for i in range(12)]
    first = read(pack.folder)  # by itself it is a pack of the first stage
    assert first.spec.heads[0].name == "area"
    assert first.reference["area"].shape == (12, 32, 48, 3)


@pytest.mark.parametrize("target", ["tflite", "onnx"])
def test_the_device_answers_as_the_pipeline_does_here(
    target: str, of_files: Make, pack: PipelinePack, tmp_path: Path
) -> None:
    pipeline = read_pipeline(of_files(target))
    with Device(HostLink(tmp_path / "device")) as host:
        result = bench_pipeline(pipeline, pack, host, tmp_path / "out", protocol=SHORT)
    assert result.statuses["device"] == result.statuses["reference"]
    assert result.statuses["device"] == {"answered": 9, "no skin found": 3}
    assert (result.equal_statuses, result.looked_at, result.accuracy.images) == (1.0, 12, 9)
    assert result.accuracy.equal_decisions == {"colour": 1.0}
    assert result.accuracy.agreement["colour"].sqnr_db > 90
    assert result.accuracy.bit_equal_inputs == 1.0
    [path] = (tmp_path / "out").glob("*.npz")
    with np.load(path) as end, load_pipeline(pipeline.folder) as model:
        for i, row in zip(end["image"], end["colour"], strict=True):
            probabilities = model.predict(pack.image(i))["colour"].probabilities
            assert row.tolist() == list(probabilities.values())  # the same runtime, the same bits
    stages = result.stages
    assert list(stages) == ["areas", "colours"]
    assert all(len(stage.latency.samples.run_ms) == 6 for stage in stages.values())
    medians = [stage.latency.summary.whole.p50_ms for stage in stages.values()]
    assert result.whole_p50_ms == pytest.approx(sum(medians))
    assert len(result.join.samples_ms) == 9
    assert min(result.join.samples_ms) > 0
    assert read_result(path.with_suffix(".json")) == result
    assert isinstance(read_result(path.with_suffix(".json")), PipelineResult)
    assert not (tmp_path / "out" / ".parts").exists()


def test_the_report_shows_a_pipeline_s_decisions_and_images(
    of_files: Make, pack: PipelinePack, tmp_path: Path
) -> None:
    edgeskin.bench([of_files("onnx")], pack.folder, tmp_path / "out", protocol="none")
    [path] = (tmp_path / "out").glob("*.json")
    report = edgeskin.report(path, tmp_path / "r.html", packs=[pack.folder])
    text = (tmp_path / "r.html").read_text()
    assert report.models[0].rows[0].pack == pack.end_sha256
    assert "on the 9 of 12 images that both answer; the float pipeline answers 9." in text
    table = text[text.index("<caption>Decisions of colour, float model against") :]
    cells = [int(x) for x in re.findall(r"<td>(\d+)</td>", table.partition("</table>")[0])]
    alike = np.bincount(pack.end["colour"].argmax(axis=1), minlength=3)
    np.testing.assert_array_equal(np.reshape(cells, (3, 3)), np.diag(alike))
    assert "<img" not in text  # every answer is the float pipeline's
    with np.load(path.with_suffix(".npz")) as end:
        np.savez(path.with_suffix(".npz"), **{**end, "colour": 0.9 * end["colour"]})
    edgeskin.report(path, tmp_path / "r.html", packs=[pack.folder], force=True)
    text = (tmp_path / "r.html").read_text()
    # Four images, each once as it was taken and once under the first stage's mask.
    pictures = re.findall(r'<img src="data:image/webp;base64,([^"]+)"[^>]*alt="([^"]+)"', text)
    assert len(pictures) == 8
    numbers = [int(re.search(r"mage (\d+)", alt)[1]) for _, alt in pictures]
    assert numbers[::2] == numbers[1::2]
    assert set(numbers) <= set(np.flatnonzero(pack.answered).tolist())
    for (taken, alt), (masked, under) in zip(pictures[::2], pictures[1::2], strict=True):
        assert alt.endswith("the image as it was taken")
        assert under.endswith("with what its &#39;areas&#39; finds")
        plain, over = (np.array(Image.open(BytesIO(b64decode(x)))) for x in (taken, masked))
        image = pack.image(int(re.search(r"mage (\d+)", alt)[1]))
        assert np.abs(plain.astype(int) - image).mean() < 3  # WebP, whose colours are half as fine
        # Green lies over what is red, and over nothing else.
        greener = over[..., 1].astype(int) - plain[..., 1] > 20
        red = image[..., 0] > 128
        assert np.mean(greener == red) > 0.95
    edgeskin.report(path, tmp_path / "n.html", packs=[pack.folder], images=False)
    assert "<img" not in (tmp_path / "n.html").read_text()
    with np.load(path.with_suffix(".npz")) as end:
        np.savez(path.with_suffix(".npz"), **{**end, "image": end["image"] + 9})
    with pytest.raises(InvalidResult, match="outputs of other images than its pack's"):
        edgeskin.report(path, tmp_path / "s.html", packs=[pack.folder])


def test_crops_run_one_by_one_and_their_answers_are_averaged(run_of: Make, tmp_path: Path) -> None:
    stages = {"areas": run_of("areas64"), "colours": run_of("colours")}
    reference = make_pipeline(rules("crop"), stages, tmp_path / "runs.pipeline").folder
    [areas] = edgeskin.convert(stages["areas"], tmp_path / "areas", target="onnx")
    [colours] = edgeskin.convert(stages["colours"], tmp_path / "colours", target="onnx")
    files = {"areas": areas.path, "colours": colours.path}
    made = make_pipeline(rules("crop"), files, tmp_path / "files.pipeline")
    data = tmp_path / "data"
    data.mkdir()
    lines = ["file,split,colour"]
    for i in range(3):
        image = painted(64, 64, (np.s_[:], np.s_[:], RED), (np.s_[4:20], np.s_[6:20], BLUE))
        image[36:56, 30 : 60 - 10 * i] = BLUE
        Image.fromarray(image).save(data / f"{i}.png")
        lines.append(f"{i}.png,test,red")
    (data / "manifest.csv").write_text("\n".join(lines) + "\n")
    pack = edgeskin.pack(reference, data, tmp_path / "pack")
    assert isinstance(pack, PipelinePack)
    with load_pipeline(made.folder) as model:
        counts = [len(model.predict(pack.image(i)).seen.crops) for i in range(3)]
    assert max(counts) > 1
    outcomes = edgeskin.bench([made.folder], pack.folder, tmp_path / "out", protocol="none")
    [result] = outcomes["host"]
    assert isinstance(result, PipelineResult)
    assert result.pictures_per_image == pytest.approx(sum(counts) / 3)
    assert result.accuracy.agreement["colour"].sqnr_db > 90
    assert result.stages["colours"].pack.images == sum(counts)
    assert (result.latency, result.whole_p50_ms) == (None, None)


def test_what_is_finished_is_not_run_again(
    of_files: Make, pack: PipelinePack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first stage ran, and then the device was lost: the next try begins with the last."""
    from edgeskin.benchmarks import pipeline_bench

    ran: list[str] = []
    whole = pipeline_bench.bench_all

    def lost(artifacts, *arguments, **options):
        ran.append(artifacts[0].name)
        if ran == ["areas.onnx", "colours.onnx"]:
            raise RunFailed("the cable was pulled")
        return whole(artifacts, *arguments, **options)

    monkeypatch.setattr(pipeline_bench, "bench_all", lost)
    pipeline = read_pipeline(of_files("onnx"))
    with Device(HostLink(tmp_path / "device")) as host:
        with pytest.raises(RunFailed, match="cable"):
            bench_pipeline(pipeline, pack, host, tmp_path / "out", protocol=None)
        assert not list((tmp_path / "out").glob("*.json"))
        bench_pipeline(pipeline, pack, host, tmp_path / "out", protocol=None)
    assert ran == ["areas.onnx", "colours.onnx", "colours.onnx"]


def test_commands(
    of_files: Make,
    of_runs: Path,
    halves: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pack, out = str(tmp_path / "pack"), str(tmp_path / "out")
    assert run(["pack", str(of_runs), "--data", str(halves), "--out", pack]) == 0
    assert "12 images" in capsys.readouterr().err
    words = ["bench", str(of_files("tflite")), "--pack", pack, "--out", out, "--protocol", "none"]
    assert run(words) == 0
    text = capsys.readouterr().out
    assert "9 of 12 images answered, by the float pipeline 9; equal statuses 100.0 %" in text
    assert run([*words, "--json", "--force"]) == 0
    [document] = json.loads(capsys.readouterr().out)["results"]
    assert list(document["stages"]) == ["areas", "colours"]


def test_what_does_not_go_together_is_refused(
    of_files: Make, of_runs: Path, run_of: Make, halves: Path, pack: PipelinePack, tmp_path: Path
) -> None:
    out = ("--out", tmp_path / "out", "--protocol", "none")
    files = of_files("onnx")
    line = refusal("bench", of_runs, "--pack", pack.folder, *out)
    assert "stage 'areas' of" in line
    assert "is a run: convert it" in line
    stages = {name: files / f"{name}.onnx" for name in ("areas", "colours")}
    other = make_pipeline(rules("mask", min_share=0.5), stages, tmp_path / "o.pipeline").folder
    assert "joins them otherwise" in refusal("bench", other, "--pack", pack.folder, *out)
    with pytest.raises(InvalidArtifact, match="bench them in turn"):
        edgeskin.bench([files, stages["areas"]], pack.folder, tmp_path / "out")
    with pytest.raises(InvalidPack, match="leave --ready out"):
        edgeskin.pack(of_runs, halves, tmp_path / "ready", ready=True)
    single = edgeskin.pack(run_of("areas"), halves, tmp_path / "single")
    with pytest.raises(InvalidPack, match="is a pack of one model, areas"):
        edgeskin.bench([files], single.folder, tmp_path / "out")
    with pytest.raises(InvalidData, match="answers none of the 3 images"):
        data = tmp_path / "dark"
        data.mkdir()
        for i in range(3):
            Image.fromarray(painted(64, 96)).save(data / f"{i}.png")
        edgeskin.pack(of_runs, data, tmp_path / "none", split="all")


def test_a_damaged_pack_is_refused(pack: PipelinePack, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(pack.folder, tmp_path / "pack"))
    whole = (folder / "end.json").read_text()
    document = json.loads(whole)
    for change, line in (
        ({"statuses": document["statuses"][:-1]}, "'statuses' has 11 rows for 12 images"),
        ({"labels": {"colour": [0]}}, "'colour' has 1 rows for 12 images"),
        ({"labels": {"shape": [0] * 12}}, "labels of 'shape', which is no head"),
        ({"labels": {"colour": [[0]] * 11 + [[0, 1]]}}, "'colour' do not fit that head"),
        ({"version": 2}, "version"),
        ({"sha256": {}}, "is damaged"),
    ):
        (folder / "end.json").write_text(json.dumps(document | change))
        with pytest.raises(InvalidPack, match=line):
            read_pipeline_pack(folder)
    (folder / "end.json").write_text(whole)
    assert read_pipeline_pack(folder).end_sha256 == pack.end_sha256
    with (folder / "end.npz").open("ab") as file:
        file.write(b"x")
    with pytest.raises(InvalidPack, match=r"end.npz is not the file that was packed with it"):
        read_pipeline_pack(folder)


def test_specs_of_a_pack_are_the_pipeline_s(
    pack: PipelinePack, file_of: Make, tmp_path: Path
) -> None:
    from pipeline_networks import colours_spec, make_colours

    spec = colours_spec(input=plain_input(24, 24))
    FORMATS["onnx"].convert(
        Job(make_colours(), Metadata(spec, "app", "fp32")), tmp_path / "colours.onnx"
    )
    stages = {"areas": file_of("areas"), "colours": tmp_path / "colours.onnx"}
    made = make_pipeline(rules("mask"), stages, tmp_path / "p.pipeline")
    with pytest.raises(InvalidPack, match="stage 'colours' of .* another input or other heads"):
        edgeskin.bench([made.folder], pack.folder, tmp_path / "out")
