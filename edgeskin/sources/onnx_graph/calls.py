"""What a specialised graph is made of: operators with their arguments, and constants."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Ref:
    """A tensor by its name in the file: the image, a constant, or another operator's result."""

    name: str


@dataclass(frozen=True)
class Call:
    """One operator that depends on the image.

    `arguments` are `Ref`s and Python values, in the order of the function's
    parameters; `options` are those that are given by name. `module` is the path of
    the module that it was exported from, where the file says so.
    """

    type: str
    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    outputs: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    module: str = ""

    @property
    def label(self) -> str:
        return f"{self.type} '{self.name or self.outputs[0]}'"

    def reads(self) -> Iterator[str]:
        """Names of the tensors it takes."""
        for value in (*self.arguments, *self.options.values()):
            if isinstance(value, Ref):
                yield value.name

    def run(self, values: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        arguments = [_resolved(value, values) for value in self.arguments]
        options = {key: _resolved(value, values) for key, value in self.options.items()}
        results = self.function(*arguments, **options)
        return (results,) if isinstance(results, Tensor) else tuple(results)


def _resolved(value: Any, values: Mapping[str, Tensor]) -> Any:
    return values[value.name] if isinstance(value, Ref) else value


@dataclass
class Draft:
    """A graph while it is being worked on.

    Attributes:
        image: The name of its input.
        outputs: Names, in the file's order.
        calls: In an order in which they can run.
        samples: The value of every tensor for an image of zeros; those of `fixed`
            are the same for every image.
        fixed: Names of constants.
        origins: The initializer that a constant was made from, where it was made of one.
        shifts: What was taken off an unsigned tensor, to hold it as a signed one.
    """

    image: str
    outputs: tuple[str, ...]
    calls: list[Call] = field(default_factory=list)
    samples: dict[str, Tensor] = field(default_factory=dict)
    fixed: set[str] = field(default_factory=set)
    origins: dict[str, str] = field(default_factory=dict)
    shifts: dict[str, int] = field(default_factory=dict)

    def add_constant(self, name: str, value: Tensor, origin: str | None = None) -> Ref:
        self.samples[name] = value
        self.fixed.add(name)
        self.origins[name] = self.origins.get(origin, origin) if origin else name
        return Ref(name)

    def users(self) -> dict[str, list[Call]]:
        """The operators that read each tensor."""
        found: dict[str, list[Call]] = {}
        for call in self.calls:
            for name in call.reads():
                found.setdefault(name, []).append(call)
        return found

    def drop_unused(self) -> None:
        needed = set(self.outputs)
        kept = []
        for call in reversed(self.calls):
            if needed.intersection(call.outputs):
                kept.append(call)
                needed.update(call.reads())
        self.calls = kept[::-1]
