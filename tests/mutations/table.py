"""The table: what is broken, in files of which format, and what each command says of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeskin.converters.model import Job
from mutations.edits import (
    biases,
    foreign_manifest,
    labels_shuffled_in_spec,
    largest_negated,
    many_negated,
    one_scale,
    one_step_lower,
    says,
    spec_with,
    truncated,
    weights,
    without_largest_filter,
    zero_point,
)
from mutations.mistakes import (
    Misread,
    another_epoch,
    around,
    batch_norm_epsilon,
    by_columns,
    by_mistake,
    classes_shuffled,
    doubled_variance,
    heads_swapped,
    initial_statistics,
    no_residual,
    normalized_again,
    of_network,
    of_other_run,
    of_spec,
    one_left_float,
    one_sign,
    overflow_job,
    overflowing,
    relu6_at,
    softmax_first,
    turned,
)
from mutations.world import SPEC, World

ALL = ("onnx", "tflite", "coreml")


@dataclass(frozen=True)
class Mutation:
    """`refused`: what each command (see `World.refusal`) says, a regular expression."""

    name: str
    make: Callable[[World, str], Path]
    refused: Mapping[str, str]
    formats: tuple[str, ...] = ALL
    precision: str = "fp32"
    job: Callable[[World], Job] | None = None
    """What the file was made from, where that is not the world's own of `precision`."""

    def refusal(self, world: World, how: str, path: Path) -> tuple[int, str]:
        job = self.job(world) if self.job else world.job(self.precision)
        return world.refusal(how, path, job)


def _both(words: str) -> dict[str, str]:
    """What `convert` and `verify` both say."""
    return {
        "convert": f"does not compute what its model computes.*{words}",
        "verify": rf"the floor of fp32 is [\d.]+ dB: {words}",
    }


def _same(words: str, *commands: str) -> dict[str, str]:
    return dict.fromkeys(commands, words)


_WORSE = r": with a reference that does so the SQNR is \d+\.\d dB, as the spec says -?\d+\.\d dB"
_SPEC_255 = {
    "mean": tuple(m / 255 for m in SPEC.input.mean),
    "std": tuple(s / 255 for s in SPEC.input.std),
}
_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
_SPEC_TWICE = {
    "mean": tuple(255 * m for m in SPEC.input.mean),
    "std": tuple(255 * s for s in SPEC.input.std),
}


def _int8(words: str) -> dict[str, str]:
    return {"convert": words, "verify": words}


def _stored(words: str) -> dict[str, str]:
    return _same(rf"layer \S+: {words}", "convert", "verify program")


MUTATIONS = (
    Mutation(
        "RGB/BGR swapped",
        by_mistake(of_spec(color_order="BGR")),
        _both("red and blue are swapped" + _WORSE),
    ),
    Mutation(
        "RGB/BGR swapped",
        by_mistake(of_spec(color_order="BGR"), "int8"),
        _int8("red and blue are swapped" + _WORSE),
        ("onnx",),
        "int8",
    ),
    Mutation(
        "mean and std of another model",
        by_mistake(of_spec(**_IMAGENET)),
        _both("mean and std are those of ImageNet" + _WORSE),
        ("onnx",),
    ),
    Mutation(
        "mean and std twice",
        by_mistake(around(before=normalized_again)),
        _both("mean and std are applied twice" + _WORSE),
        ("onnx",),
    ),
    Mutation(
        "[0, 1] against [0, 255]: not divided by 255",
        by_mistake(of_spec(**_SPEC_255)),
        _both("values of 0 to 255 are taken for 0 to 1" + _WORSE),
        ("onnx",),
    ),
    Mutation(
        "[0, 1] against [0, 255]: divided by 255 twice",
        by_mistake(of_spec(**_SPEC_TWICE)),
        _both("values are divided by 255 twice" + _WORSE),
        ("onnx",),
    ),
    Mutation(
        "NHWC data read as NCHW",
        by_mistake(Misread),
        _both("NHWC data is read as NCHW" + _WORSE),
        ("onnx", "coreml"),
    ),
    Mutation(
        "width and height swapped: the input's sides",
        turned,
        {
            "convert": r"its inputs are image 1x48x40x3, its spec asks for image 1x40x48x3",
            "verify": r"takes \(1, 48, 40, 3\), its spec says NHWC \(1, 40, 48, 3\).*"
            "width and height are swapped",
        },
        ("onnx",),
    ),
    Mutation(
        "width and height swapped: rows read as columns",
        by_mistake(around(before=by_columns)),
        _both("width and height are swapped" + _WORSE),
        ("onnx",),
    ),
    Mutation(
        "resize without antialias, by the switch",
        says(spec=spec_with(antialias=False)),
        _same(r"input.antialias: must be true.*got False", "verify", "predict"),
    ),
    Mutation(
        "resize without antialias, by the filter",
        says(spec=spec_with(filter="nearest")),
        _same(r"preprocess differently \(filter bilinear against nearest\)", "verify"),
    ),
    Mutation(
        "one scale for all channels",
        one_scale,
        _same(
            r"has 16 scales of (\S+) to \1 and zero point 0, its program 16 scales",
            "convert",
            "verify program",
        ),
        precision="int8",
    ),
    Mutation(
        "zero point off by one",
        zero_point,
        _same(
            r"has the scale (\S+) and zero point -127, its program the scale \1 and zero point "
            r"-128",
            "convert",
            "verify program",
        ),
        precision="int8",
    ),
    Mutation(
        "the largest filter of a layer zeroed",
        weights(without_largest_filter),
        _stored(r"\d+ of \d+ integers of its weights are not its program's, by up to 127"),
        precision="int8",
    ),
    Mutation(
        "the largest weight's sign flipped",
        weights(largest_negated),
        _stored(r"1 of \d+ integers of its weights are not its program's, by up to 25\d"),
        precision="int8",
    ),
    Mutation(
        "298 weights negated",
        weights(many_negated),
        _stored(r"298 of \d+ integers of its weights are not its program's"),
        precision="int8",
    ),
    Mutation(
        "all weights that are not zero one step lower",
        weights(one_step_lower),
        _stored(r"\d+ of \d+ integers of its weights are not its program's, by up to 1 "),
        precision="int8",
    ),
    Mutation(
        "all biases of a layer 0",
        biases(lambda bias: 0 * bias),
        _stored(r"(\d+) of \1 biases are not its program's, by up to"),
        precision="int8",
    ),
    Mutation(
        "all biases of a layer one step higher",
        biases(lambda bias: bias + 1),
        _stored(r"(\d+) of \1 biases are not its program's, by up to 1(\.\d+)? steps"),
        ("onnx", "tflite"),
        "int8",
    ),
    Mutation(
        "one weight tensor left float",
        one_left_float,
        _same(r"1 weight tensors are float, 0 in its program", "convert", "verify program"),
        ("onnx", "tflite"),
        precision="int8",
    ),
    Mutation(
        "batch norm with initial statistics",
        by_mistake(of_network(initial_statistics)),
        _both("batch norm has its initial statistics" + _WORSE),
        ("onnx",),
    ),
    Mutation(
        "batch norm with statistics of other data",
        by_mistake(of_network(doubled_variance)),
        {
            "convert": "does not compute what its model computes",
            "verify": "other batch norm statistics or a broken layer; --layers",
        },
        ("onnx",),
    ),
    *(
        Mutation(
            name,
            by_mistake(of_network(change)),
            {
                "convert": rf"expected\. The first that differs: layer network\.{layer} agrees",
                "verify": r"the floor of fp32 is [\d.]+ dB\. No mistake with",
                "verify layers": rf"layer network\.{layer} agrees to .* dB by itself, its floor",
            },
            ("onnx",),
        )
        for name, change, layer in (
            ("one weight's sign flipped", one_sign, r"stem\.0"),
            ("batch norm epsilon 1e-3 for 1e-5", batch_norm_epsilon, r"stem\.0"),
            ("ReLU6 cut at 1.9", relu6_at, r"(stem|depthwise)\.0"),
        )
    ),
    Mutation(
        "a residual add dropped",
        by_mistake(of_network(no_residual)),
        {
            "convert": r"expected\. The first that differs: .*add.* is not in the file: it has one "
            "input less",
            "verify": r"the floor of fp32 is [\d.]+ dB\. No mistake with",
            "verify layers": r"the addition .*add.* is not in the file: it has one input less",
        },
        ("onnx", "tflite"),
    ),
    Mutation(
        "labels shuffled: in the network",
        by_mistake(around(after=classes_shuffled)),
        _both("the classes of 'severity' come in another order, many, none, some" + _WORSE),
        ("onnx",),
    ),
    Mutation(
        "labels shuffled: in the spec",
        says(spec=labels_shuffled_in_spec(), labels="{}"),
        _same(r"head .*none.*some.*many.*the artifact .*many.*none.*some", "verify"),
        ("onnx", "coreml"),
    ),
    Mutation(
        "labels shuffled: in what apps read",
        says(labels=json.dumps({"severity": ["many", "none", "some"]})),
        _same(
            "two orders of labels for 'severity': none, some, many in its spec, many, none, some",
            "verify",
            "predict",
        ),
        ("onnx", "coreml"),
    ),
    Mutation(
        "output heads swapped: of one shape",
        by_mistake(heads_swapped(1, 3)),
        _both("the outputs 'count' and 'area' are swapped" + _WORSE),
        ("onnx",),
    ),
    Mutation(
        "output heads swapped: of two shapes",
        by_mistake(heads_swapped(0, 2)),
        {
            "convert": r"its outputs are severity 1x9.* its spec asks for severity 1x3",
            "verify": r"'severity' has the shape \(9,\), the reference's \(3,\)\. That is the "
            "shape of 'count_distribution': the outputs look swapped",
        },
        ("onnx",),
    ),
    Mutation(
        "softmax twice",
        by_mistake(around(after=softmax_first)),
        _both("softmax is applied twice" + _WORSE),
        ("onnx",),
    ),
    Mutation(
        "weights of another epoch, by their hash",
        of_other_run,
        _same(
            r"made from the weights 0123456789abcdef\.\.\., the reference has [0-9a-f]{16}\.\.\.: "
            "another epoch",
            "verify",
        ),
        ("onnx",),
    ),
    Mutation(
        "weights of another epoch, by what they compute",
        by_mistake(of_network(another_epoch)),
        {
            "convert": "does not compute what its model computes",
            "verify": r"the floor of fp32 is [\d.]+ dB.*other weights",
        },
        ("onnx",),
    ),
    Mutation(
        "float16 overflow",
        overflowing,
        {"convert": "Values beyond 65504 do not fit float16: convert to fp32 or int8"},
        ("onnx",),
        "fp16",
        overflow_job,
    ),
    Mutation(
        "truncated file",
        truncated,
        _same("truncated|refuses|damaged|not a whole", "verify", "predict", "inspect"),
    ),
    Mutation(
        "manifest of another file",
        foreign_manifest,
        _same("is not the file its manifest names: sha256", "verify", "predict", "inspect"),
    ),
)
