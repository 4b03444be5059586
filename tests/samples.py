"""Specs that tests start from."""

from edgeskin.spec import ClassificationHead, DistributionHead, InputSpec, RangeTable, Spec

SEVERITY = ("mild", "moderate", "severe", "very severe")


def acne_spec(**changes: object) -> Spec:
    """A small acne spec; `changes` replace whole fields."""
    fields: dict[str, object] = {
        "name": "acne-test",
        "task": "acne",
        "arch": "mobilenet_v3_small",
        "input": InputSpec(
            height=64,
            width=64,
            resize_to=72,
            mean=(0.485, 0.456, 0.406),
            std=(0.229, 0.224, 0.225),
        ),
        "heads": (
            ClassificationHead(name="severity", labels=SEVERITY),
            DistributionHead(
                name="count",
                first=1,
                size=65,
                unit="lesions",
                ranges=RangeTable(labels=SEVERITY, upper=(5, 20, 50)),
            ),
        ),
        "license": "CC0-1.0",
        "intended_use": "Tests.",
    }
    return Spec.model_validate(fields | changes)
