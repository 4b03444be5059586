"""What `verify` measures, kept where the next person looks: in the manifest, and in the card."""

from __future__ import annotations

from pathlib import Path

from edgeskin.artifacts import Evidence, read_manifest, read_metadata, record
from edgeskin.model_card import write_card
from edgeskin.pipelines.pipeline_card import write_pipeline_card
from edgeskin.pipelines.pipeline_folder import is_pipeline, read_pipeline


def keep(path: Path, evidence: Evidence) -> None:
    """Record what was measured in the manifest beside `path`, and write its card again.

    The card is that of the model, or of the pipeline that the file lies in. A file that no
    manifest names has neither.

    Args:
        path: A file; of a pipeline as a whole its `pipeline.json`.

    Raises:
        InvalidArtifact: The manifest or the pipeline is damaged.
        CannotWrite: The operating system refuses.
    """
    record(path, evidence)
    folder = path.parent
    if path.name not in read_manifest(folder):
        return
    if is_pipeline(folder):
        pipeline = read_pipeline(folder)
        write_pipeline_card(folder, pipeline.spec, pipeline.specs)
    else:
        write_card(folder, read_metadata(path).spec)
