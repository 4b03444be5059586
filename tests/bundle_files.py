"""Artifacts and pipelines to bundle: small networks, every kind of head, names that bite."""

from __future__ import annotations

from pathlib import Path

from head_kinds import make_many_heads, many_heads_spec
from pipeline_networks import (
    AREAS,
    CROP,
    MASK,
    Areas,
    areas_spec,
    colours_spec,
    make_areas,
    make_colours,
)
from tiny_network import network, tiny_spec
from torch import Tensor, nn

from edgeskin.artifacts import Metadata
from edgeskin.converters.model import Job
from edgeskin.formats import FORMATS
from edgeskin.pipelines.pipeline_folder import make_pipeline
from edgeskin.pipelines.pipeline_spec import Rules
from edgeskin.spec import (
    ClassificationHead,
    DistributionHead,
    RangeTable,
    RegressionHead,
    SegmentationHead,
    Spec,
)

HOSTILE = ("größte Läsion", 'class "$x" \\(y) */ //', "class")
"""Labels: umlauts, a keyword, and what ends literals and comments in three languages."""
TWICE = ("0", "皮膚", "\u202eevil\u202c", "no Lesion", "no lesion")
"""Labels without Latin letters, of marks that reverse text, and two that become one name."""
CROPS = CROP | {
    "join": {
        **CROP["join"],
        "lesion": {"labels": ["other"]},
        "side_shares": [0.5, 0.3, 0.2],
        "min_skin": 0.5,
        "min_lesion": 0.05,
    }
}
"""Squares of the phantoms' skin with dark pixels in them."""
SPOTS = SegmentationHead(name="spots", labels=AREAS[::-1])
TWO_HEADS = CROPS | {
    "join": {
        **CROPS["join"],
        "skin": {"head": "area", "labels": ["skin"]},
        "lesion": {"head": "spots", "labels": ["other"]},
    }
}
"""The same squares, the dark pixels by a head of their own."""
RULES = {"mask": MASK, "crop": CROPS, "two_heads": TWO_HEADS}
CLASSES = {
    "tiny": "GroesseModel", "many": "BenchmarkModel", "mask": "MaskModel", "crop": "CropModel",
}  # fmt: skip
"""Of each kind, the class that it is bundled as without another name."""
KINDS = tuple(CLASSES)


def make_file(kind: str, target: str, folder: Path) -> Path:
    """One of KINDS, or `two_heads`: `tiny` has hostile names, `many` all other heads."""
    if kind in RULES:
        areas = (make_areas(), areas_spec())
        if kind == "two_heads":
            areas = (AreasTwice().eval(), areas_spec(heads=(areas[1].heads[0], SPOTS)))
        stages = {
            "areas": _convert(*areas, target, folder),
            "colours": _convert(make_colours(), colours_spec(), target, folder),
        }
        fields = RULES[kind]
        rules = Rules.from_fields(fields | {"task": kind}, where="here")
        return make_pipeline(rules, stages, folder / f"{kind}.pipeline").folder
    made = (network("fp32"), hostile_spec()) if kind == "tiny" else (_many(), many_heads_spec())
    return _convert(*made, target, folder)


class AreasTwice(Areas):
    """The areas, and again with their labels the other way round."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        (areas,) = super().forward(x)
        return areas, areas.flip(1)


def _many() -> nn.Module:
    return make_many_heads()


def hostile_spec() -> Spec:
    return tiny_spec(
        name="tiny",
        task="größe",
        intended_use='Tests: "quotes", */ comment ends, \u202eand marks\u202c.',
        heads=(
            ClassificationHead(name="severity", labels=HOSTILE),
            DistributionHead(
                name="count",
                first=1,
                size=9,
                unit='lesions "*/',
                ranges=RangeTable(labels=TWICE, upper=(1.0, 3.0, 5.0, 7.0)),
            ),
            RegressionHead(name="default", unit="mm2", scale=10.0, offset=5.0),
            SegmentationHead(name="mask", labels=("skin", "lesion")),
        ),
    )


def _convert(network: nn.Module, spec: Spec, target: str, folder: Path) -> Path:
    path = folder / f"{spec.name}{FORMATS[target].suffix}"
    FORMATS[target].convert(Job(network, Metadata(spec, "app", "fp32")), path)
    return path
