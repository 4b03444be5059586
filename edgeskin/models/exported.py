"""A network as a graph: what a run holds where no factory makes its network."""

from __future__ import annotations

import io

import torch
from torch import Tensor, fx, nn

from edgeskin.models.archive import DOCUMENT, distill


class ExportedNetwork(nn.Module):
    """A graph for one image, float32 (1, 3, H, W), that takes any number of them."""

    def __init__(self, network: fx.GraphModule):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        if x.shape[0] == 1:
            return tuple(self.network(x))
        parts = [self.network(image) for image in x.split(1)]
        return tuple(torch.cat(values) for values in zip(*parts, strict=True))


def save_graph(module: nn.Module, example: Tensor, document: str = "{}") -> bytes:
    """An archive of `module`, traced for the shape of `example`; equal graphs give equal bytes."""
    archive = io.BytesIO()
    exported = torch.export.export(module, (example,))
    torch.export.save(exported, archive, extra_files={DOCUMENT.partition("/")[2]: document})
    return distill(archive.getvalue())


def load_graph(archive: bytes) -> fx.GraphModule:
    """The graph in an archive, without gradients. Runs no code of the archive.

    Raises:
        Exception: Damaged, or holds anything else: zip, JSON and torch raise types of their own.
    """
    module = torch.export.load(io.BytesIO(distill(archive))).module(check_guards=False)
    return fx.GraphModule(module, module.graph).requires_grad_(False)
