"""What a demo measures of its files: agreement with float, and latency where it can be had."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeskin.progress import Progress
from edgeskin.walkthrough.demo_report import DemoRow

if TYPE_CHECKING:
    from edgeskin.artifacts import Artifact
    from edgeskin.converters.parity import Reference


def measure_files(
    artifacts: Sequence[Artifact], reference: Reference, progress: Progress
) -> list[DemoRow]:
    """Agreement of every artifact, and latency where its own runtime exists here."""
    from contextlib import ExitStack

    from edgeskin.benchmarks.latency import measure
    from edgeskin.evidence import keep
    from edgeskin.predictor import load

    verifications, running = {}, {}
    with ExitStack() as stack:
        for done, artifact in enumerate(artifacts, start=1):
            name = artifact.path.name
            verifications[name] = reference.verify(artifact.path)
            keep(artifact.path, verifications[name])
            predictor = stack.enter_context(load(artifact.path))
            if predictor.session.native:
                running[name] = predictor
            progress("verifying", done, len(artifacts))
        latencies = measure(running, list(reference.pixels))
    return [
        DemoRow(
            file=(name := artifact.path.name),
            target=artifact.target,
            precision=artifact.precision,
            size_bytes=artifact.size_bytes,
            verification=verifications[name],
            p50_ms=latencies[name].p50_ms if name in latencies else None,
            samples_ms=latencies[name].samples_ms if name in latencies else None,
        )
        for artifact in artifacts
    ]
