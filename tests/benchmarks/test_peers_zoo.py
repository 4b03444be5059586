"""`peers zoo`: its table of networks, a small one through everything, and what its page says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from samples import acne_spec
from torch import nn

from edgeskin.benchmarks.peers.__main__ import main
from edgeskin.benchmarks.peers.builds import Failure
from edgeskin.benchmarks.peers.setting import Machine
from edgeskin.benchmarks.peers.zoo import normalized, pictures, settle
from edgeskin.benchmarks.peers.zoo_documents import (
    ZooFile,
    ZooProgram,
    ZooRecord,
    ZooResult,
    ZooTiming,
    blank,
)
from edgeskin.benchmarks.peers.zoo_networks import (
    NETWORKS,
    ZooNetwork,
    build_network,
    find_networks,
)
from edgeskin.benchmarks.peers.zoo_page import markdown, save, table
from edgeskin.benchmarks.peers.zoo_sweep import ZooOptions, sweep
from edgeskin.estimate import Estimate
from edgeskin.models.architectures import Foreign

RESULTS = Path(__file__).resolve().parents[2] / "docs/results"


def test_every_network_of_the_table_is_one_of_its_library() -> None:
    import segmentation_models_pytorch as smp

    known = {
        "timm": timm.list_models(),
        "torchvision": torchvision.models.list_models(),
        "smp": dir(smp),
    }
    assert len(NETWORKS) >= 60
    assert len({network.family for network in NETWORKS.values()}) == len(NETWORKS)
    for network in NETWORKS.values():
        assert network.factory in known[network.library]
        assert network.spec().name == network.name


def test_a_merged_network_is_built_with_the_layers_that_merging_leaves() -> None:
    network = ZooNetwork("RepGhostNet", "timm", "repghostnet_050")
    arguments = (network.library, network.factory, network.options)
    plain, merged = (build_network(*arguments, merged) for merged in (False, True))
    assert len(merged.state_dict()) < len(plain.state_dict())
    assert merged.state_dict().keys() == build_network(*arguments, True).state_dict().keys()


class Branches(nn.Module):
    """As transformers begin: small weights, layer scale of nearly zero, an empty token."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 8, 8)
        self.token = nn.Parameter(torch.zeros(1, 1, 16))
        self.norm, self.layer = nn.LayerNorm(16), nn.Linear(16, 16)
        self.gamma = nn.Parameter(1e-6 * torch.ones(16))
        self.head = nn.Linear(16, 5)
        nn.init.trunc_normal_(self.layer.weight, std=0.002)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = self.stem(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        x = x + self.gamma * self.layer(self.norm(x))
        return (self.head(x.mean(1)),)


def test_a_network_without_batch_norms_is_settled_too() -> None:
    torch.manual_seed(0)
    network, spec = Branches(), acne_spec(name="small")
    images = normalized(spec, pictures(spec.input, 24, seed=0))[..., :64, :64]
    outputs = {}
    network.layer.register_forward_hook(lambda *call: outputs.update(layer=call[-1]))
    settle(network, images)
    with torch.no_grad():
        (logits,) = network(images)
    # Fitted to the first twelve images; the other twelve are of the same kind.
    assert outputs["layer"].std().item() == pytest.approx(1.0, abs=0.1)
    assert torch.equal(network.gamma, torch.ones(16))
    assert 0.0 < network.token.std() < 0.1
    # By construction; float32 sums over 24 x 5 values are good to about 1e-4.
    assert torch.allclose(logits.mean(0), torch.zeros(5), atol=1e-3)
    assert logits.std().item() == pytest.approx(1.0, abs=0.01)


class TwoHeads(nn.Module):
    """As distilled transformers answer: the mean of two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 8, 8)
        self.first, self.second = nn.Linear(8, 5), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = self.stem(x).relu().mean((2, 3))
        return ((self.first(x) + self.second(x)) / 2,)


def test_the_mean_of_two_heads_is_settled_as_one() -> None:
    torch.manual_seed(0)
    network, spec = TwoHeads(), acne_spec(name="small")
    images = normalized(spec, pictures(spec.input, 12, seed=0))[..., :64, :64]
    settle(network, images)
    with torch.no_grad():
        (logits,) = network(images)
    assert torch.allclose(logits.mean(0), torch.zeros(5), atol=1e-3)
    assert logits.std().item() == pytest.approx(1.0, abs=0.05)


def test_names_are_checked_and_the_message_lists_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["zoo", "--out", str(tmp_path), "--names", "alexnet"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: no network 'alexnet' in the zoo; there are mobilenetv1_100, ")
    assert find_networks("vit_tiny_patch16_224")[0].family == "ViT"


def test_a_network_that_takes_too_long_is_a_line_and_not_the_end(tmp_path: Path) -> None:
    networks = find_networks("tinynet_e, lcnet_050")
    options = ZooOptions(limit_s=0.01)
    result = sweep(networks, tmp_path, options, tell=lambda line: None)
    assert [r.failed for r in result.networks] == ["took longer than 0.01 s and was ended"] * 2
    told: list[str] = []
    assert sweep(networks, tmp_path, options, told.append) == result
    assert told == []  # what is known is not measured again
    assert "TinyNet (`tinynet_e`), the network: took longer than 0.01 s" in table(result)


@pytest.mark.slow
def test_a_small_network_goes_through_everything(tmp_path: Path) -> None:
    from edgeskin.benchmarks.peers.zoo_files import Desk, measure, measure_stock

    desk = Desk(
        ZooNetwork("Test", "timm", "test_resnet", pixels=64), tmp_path, tmp_path / "record.json"
    )
    measure(desk)
    measure_stock(desk)
    record = ZooRecord.from_json((tmp_path / "record.json").read_text())
    assert record == desk.record
    assert isinstance(record.program, ZooProgram)
    assert len(record.files) == 8
    for key, file in record.files.items():
        assert isinstance(file, ZooFile), file
        # Float files differ from PyTorch by rounding alone. An INT8 file whose noise is half
        # of what tells images apart is no nonsense: 6 dB.
        assert file.float_db > (80 if key.endswith("fp32") else 6)


def record(**changes: object) -> ZooRecord:
    return blank(NETWORKS["repvgg_a0"]).model_copy(update=changes)


@pytest.fixture
def result() -> ZooResult:
    file = ZooFile(size_bytes=9, source_db=40.0, float_db=20.04, seconds=1.0)
    files: dict[str, ZooFile | Failure] = {
        f"{target}-{precision}": file
        for target in ("tflite", "coreml", "onnx")
        for precision in ("fp32", "int8")
    }
    timing = ZooTiming(
        load=0.0,
        rounds=9,
        p50_ms={"float": 1.0, "edgeskin": 1.5},
        ratios={"float": Estimate(value=1.5, low=1.4, high=1.6)},
        operators={"CONV_2D": 2, "DELEGATE": 3},
    )
    slow = record(
        files=files,
        merged=22,
        timing={"tflite": timing},
        program=ZooProgram(float_db=20.0, in_float={"softmax": 2}, seconds=1.0),
    )
    lost = Failure(failed="ValueError: no lowering for a|b")
    machine = Machine(processor="CPU", cpu_features=(), processors=2, system="Linux", python="3.11")
    networks = (slow, record(files={**files, "coreml-int8": lost}, asked=("stock",)))
    return ZooResult(machine=machine, tools={"torch": "2"}, networks=networks)


def test_the_page_counts_what_works_and_says_why_the_rest_does_not(result: ZooResult) -> None:
    text = table(result)
    assert "- 2 networks, 1 with merged branches. Not measured yet: MobileNetV1, " in text
    assert "- In fp32: TFLite 2, Core ML 2, ONNX 2; in all three 2 (100%)." in text
    assert "- In int8: TFLite 2, Core ML 1, ONNX 2; in all three 1 (50%)." in text
    assert "TFLite: INT8 is slower than float in 1 of 1 networks; the stock tool" in text
    assert "- RepVGG (`repvgg_a0`), coreml-int8: ValueError: no lowering for a/b" in text
    assert (
        "- RepVGG (`repvgg_a0`), TFLite: 1.50 times float. Left in float: 2 softmax. "
        "The file: 3 XNNPACK partitions." in text
    )
    assert "1.50 [1.40, 1.60]" in text
    for block in text.split("\n\n"):  # every table is a rectangle
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert len({len(line) for line in lines}) <= 1


def test_a_page_of_the_zoo_is_written_with_its_json(result: ZooResult, tmp_path: Path) -> None:
    save(result, tmp_path / "zoo.md")
    assert table(result) in (tmp_path / "zoo.md").read_text()
    assert ZooResult.from_json((tmp_path / "zoo.json").read_text()) == result


def test_the_published_zoo_is_read_and_written_unchanged() -> None:
    document = json.loads((RESULTS / "zoo.json").read_text(encoding="utf-8"))
    published = ZooResult.from_json(document)
    assert published.to_json() == document
    assert markdown(published) == (RESULTS / "zoo.md").read_text(encoding="utf-8")


def test_a_foreign_segmenter_answers_by_its_head() -> None:
    network = NETWORKS["lraspp_mobilenet_v3_large"]
    module = build_network(network.library, network.factory, network.options, False)
    foreign = Foreign(module, tuple(head.name for head in network.spec().heads)).eval()
    with torch.no_grad():
        (out,) = foreign(torch.zeros(1, 3, 64, 64))
    assert out.shape == (1, 2, 64, 64)
