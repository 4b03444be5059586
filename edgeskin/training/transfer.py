"""Networks that start from others: backbones taken over, and training of the heads alone."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from edgeskin.errors import InvalidRun
from edgeskin.models import ARCHS
from edgeskin.models.run import load_run
from edgeskin.spec import Spec
from edgeskin.training.loop import ParameterGroup, Trainer


def started_from(spec: Spec, *, pretrained: bool) -> str:
    """Where the weights of a fresh network come from, in words."""
    arch = ARCHS[spec.arch]
    if not pretrained or arch.pretrained is None:
        return "random weights"
    return f"ImageNet weights of {arch.name} ({arch.pretrained}, Apache-2.0); random heads"


def start_from(network: nn.Module, run: Path) -> str:
    """Take over the backbone of a run of the same network; the words that say so.

    Raises:
        InvalidRun: `run` is of another network, or has none that can be taken over.
    """
    source = load_run(run)
    theirs, ours = (getattr(net, "backbone", None) for net in (source.network, network))
    if theirs is None or ours is None:
        raise InvalidRun(f"{run} is of {source.spec.arch}, which has no backbone to start from")
    own, given = ours.state_dict(), theirs.state_dict()
    if own.keys() != given.keys() or any(own[n].shape != given[n].shape for n in own):
        raise InvalidRun(f"{run} is of {source.spec.arch}, another network than is to be trained")
    ours.load_state_dict(given)
    return f"the backbone of {source.spec.name} (weights {source.sha256[:12]}); random heads"


class FrozenTrainer(Trainer):
    """Trains the heads alone; the backbone stays as it is, in eval mode."""

    def parameter_groups(self) -> list[ParameterGroup]:
        self.frozen.requires_grad_(False)
        return [{"params": [p for p in self.network.parameters() if p.requires_grad]}]

    def train_mode(self) -> None:
        super().train_mode()
        self.frozen.eval()

    @property
    def frozen(self) -> nn.Module:
        """The part that is not trained.

        Raises:
            InvalidRun: The network has no such part.
        """
        backbone = getattr(self.network, "backbone", None)
        if backbone is None:
            raise InvalidRun(f"{self.spec.arch} has no backbone that could be frozen")
        module: nn.Module = backbone
        return module
