"""Where files will run: which types each destination takes, and who can try one here.

`edgeskin convert --for` names them. A file for a CPU may hold rewrites that only its kernels gain
by; for any other destination they are left out (docs/decisions/0021).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from edgeskin.errors import CannotExpress, UnknownName

CPU = "cpu"


class Chip(NamedTuple):
    """A processor by what it is sold as, and the architecture of its NPU (Hexagon's number)."""

    title: str
    architecture: int


SNAPDRAGONS = {
    "SM8450": Chip("Snapdragon 8 Gen 1", 69),
    "SM8550": Chip("Snapdragon 8 Gen 2", 73),
    "SM8650": Chip("Snapdragon 8 Gen 3", 75),
    "SM8750": Chip("Snapdragon 8 Elite", 79),
    "SM8850": Chip("Snapdragon 8 Elite Gen 5", 81),
    "SC8380XP": Chip("Snapdragon X Elite", 73),
}
"""By Qualcomm's names, those that onnxruntime-qnn 2.7.0 knows: it takes any other for its oldest
one. The architectures are those that its compiler writes into what it compiles."""


@dataclass(frozen=True)
class Destination:
    """A kind of processor.

    Attributes:
        name: As `--for` calls it.
        targets: The formats that it takes; empty: any, other packages' too.
        simulator: In `simulated:NAME`, what takes its files here; None: nothing does.
        chips: By the maker's names, those that `NAME:CHIP` may name.
        schemes: Of INT8 programs that it takes; empty: any.
    """

    name: str
    targets: tuple[str, ...]
    simulator: str | None = None
    chips: Mapping[str, Chip] = field(default_factory=dict)
    schemes: tuple[str, ...] = ()

    def takes(self, target: str) -> bool:
        """Whether files of a format may run there."""
        return not self.targets or target in self.targets


DESTINATIONS = {
    d.name: d
    for d in (
        Destination(CPU, ()),
        # The NPU, by ONNX Runtime's QNN provider or LiteRT's compiler plugin.
        Destination("snapdragon", ("tflite", "onnx"), simulator="htp", chips=SNAPDRAGONS),
        # Of phones, by LiteRT.
        Destination("gpu", ("tflite",), simulator="gpu"),
        # GPUs of NVIDIA's, Jetsons' too.
        Destination("tensorrt", ("onnx",), schemes=("w8a8_symmetric",)),
        # Apple's neural engine, by Core ML.
        Destination("ane", ("coreml",)),
    )
}


@dataclass(frozen=True)
class Wanted:
    """A destination, and the chip where one is named."""

    destination: Destination
    variant: str = ""

    @property
    def simulator(self) -> str:
        """As in `simulated:WHAT`."""
        name = self.destination.simulator or ""
        return f"{name}:{self.variant}" if self.variant else name


def find_destination(text: str) -> Wanted:
    """What `NAME` or `NAME:CHIP` names.

    Raises:
        UnknownName: No destination, or no chip of it, is called so.
    """
    name, _, variant = text.partition(":")
    if name not in DESTINATIONS:
        raise UnknownName(f"no destination '{name}'; there are {', '.join(DESTINATIONS)}")
    found = DESTINATIONS[name]
    if variant and variant not in found.chips:
        known = f"there are {', '.join(found.chips)}" if found.chips else "it has none to name"
        raise UnknownName(f"no chip '{variant}' of {name}; {known}")
    return Wanted(found, variant)


def targets_for(destinations: Iterable[str], asked: Iterable[str], *, every: bool) -> list[str]:
    """The targets, of those that were asked for, that some destination takes.

    Args:
        every: All targets were asked for, so that those that none takes are left out.

    Raises:
        UnknownName: No such destination.
        CannotExpress: A target by its name that no destination takes.
    """
    wanted = [find_destination(text).destination for text in destinations]
    asked = list(asked)
    taken = [target for target in asked if any(one.takes(target) for one in wanted)]
    if refused := [target for target in asked if target not in taken and not every]:
        takes = {d.name: " and ".join(d.targets) for d in wanted}
        names = " and ".join(f"{name} takes {targets}" for name, targets in takes.items())
        raise CannotExpress(f"{names} files, not {refused[0]}")
    return taken


def split_destinations(text: str) -> tuple[str, ...]:
    """The names in "snapdragon:SM8750,SM8650, gpu", each once; a chip alone is of the last one."""
    names: list[str] = []
    for part in map(str.strip, text.split(",")):
        last = names[-1].partition(":")[0] if names else ""
        chips = DESTINATIONS[last].chips if last in DESTINATIONS else {}
        names.append(f"{last}:{part}" if part in chips else part)
    return tuple(dict.fromkeys(names))


def destinations_of(destinations: Iterable[str], target: str) -> tuple[str, ...]:
    """Those of the destinations that take files of a target."""
    return tuple(d for d in destinations if find_destination(d).destination.takes(target))


def is_portable(destinations: Iterable[str]) -> bool:
    """Whether rewrites that only CPUs gain by must be left out."""
    return any(find_destination(d).destination.name != CPU for d in destinations)


def check_scheme(destinations: Iterable[str], target: str, scheme: str) -> None:
    """Raise CannotExpress where one that takes the target takes no programs of a scheme."""
    for text in destinations_of(destinations, target):
        found = find_destination(text).destination
        if found.schemes and scheme not in found.schemes:
            raise CannotExpress(
                f"{found.name} takes symmetric scales, and this is a {scheme} program: calibrate "
                f"with --scheme {found.schemes[0]}"
            )
