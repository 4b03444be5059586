"""A model file opened once, for everything that is measured of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Self

from edgeskin.artifacts import Metadata, check_manifest, read_metadata
from edgeskin.errors import InvalidArtifact
from edgeskin.formats import format_of, is_artifact, open_session, read_network
from edgeskin.formats.network import Network
from edgeskin.predictor import Predictor, check_input
from edgeskin.runtimes import Session


class OpenedFile:
    """A model file; each part is read when it is first asked for. Use as a context manager."""

    def __init__(self, path: Path):
        self.path = path

    @cached_property
    def metadata(self) -> Metadata:
        """What the file says of itself.

        Raises:
            InvalidArtifact: Missing, damaged, or without a spec.
        """
        return read_metadata(self.path)

    @cached_property
    def has_spec(self) -> bool:
        """Whether the file says what it is; a damaged one says so when it is opened."""
        try:
            return bool(self.metadata)
        except InvalidArtifact:
            return not self.path.exists() or not is_artifact(self.path)

    @cached_property
    def network(self) -> Network:
        """Its operators and tensors."""
        return read_network(self.path)

    @cached_property
    def session(self) -> Session:
        """The file on its own runtime; closed with the file."""
        return open_session(self.path)

    @cached_property
    def predictor(self) -> Predictor:
        """The session with its spec: pixels in, decoded outputs out; see `edgeskin.load`."""
        format_of(self.path)
        check_manifest(self.path)
        predictor = Predictor(self.metadata.spec, self.session, self.metadata.io)
        check_input(predictor, self.path)
        return predictor

    def close(self) -> None:
        if "session" in vars(self):
            self.session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def opened(file: OpenedFile | Path | str) -> Iterator[OpenedFile]:
    """`file` for use inside: one that is open already stays open."""
    if isinstance(file, OpenedFile):
        yield file
        return
    with OpenedFile(Path(file)) as fresh:
        yield fresh
