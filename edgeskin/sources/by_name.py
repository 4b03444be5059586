"""Networks of timm and torchvision by name, with weights of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from inspect import signature
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from edgeskin.errors import InvalidRun, UnknownName
from edgeskin.models.architectures import call_factory
from edgeskin.models.run import fit_weights, read_weights
from edgeskin.models.trust import names_factory

LIBRARIES = ("timm", "torchvision")


@dataclass(frozen=True)
class Named:
    """A factory and its arguments, and the preprocessing that its library states.

    `preprocessing` is timm's configuration or torchvision's transform; None where nobody says.
    """

    arch: str
    arguments: Mapping[str, Any]
    preprocessing: Any = None


@dataclass(frozen=True)
class NamedNetwork:
    """A network made by a factory, its weights filled in.

    `text` is what named it, `name` that without the library; `preprocessing` is what the library
    states, as `Named`'s.
    """

    text: str
    name: str
    arch: str
    arguments: Mapping[str, Any]
    network: nn.Module
    preprocessing: Any = None


def open_named(
    text: str, weights: Path | str | None, arguments: Mapping[str, Any], *, trust: bool
) -> NamedNetwork:
    """Make the network that `text` names, and fill in its weights.

    Raises:
        InvalidRun: Without weights, or with those of another network, or its factory fails.
        UnknownName: No such network, or factory.
        NotTrusted: The factory needs `trust`.
    """
    if weights is None:
        raise InvalidRun(f"{text} has no weights of its own here: pass --weights FILE")
    # A library's network has as many classes as its weights; whoever names a factory says it.
    of_library = text.partition(":")[0] in LIBRARIES
    state = read_weights(Path(weights)) if of_library else {}
    named = find_named(text, state, arguments)
    network = call_factory(named.arch, named.arguments, trust=trust)
    fit_weights(network, state or read_weights(Path(weights)), where=str(weights))
    name = text.partition(":")[2].partition(".")[0]
    return NamedNetwork(text, name, named.arch, named.arguments, network, named.preprocessing)


def is_name(text: str) -> bool:
    """Whether a text names a network: `timm:NAME`, `torchvision:NAME`, `package.module:factory`."""
    return text.partition(":")[0] in LIBRARIES or (":" in text and names_factory(text))


def find_named(text: str, weights: Mapping[str, Tensor], arguments: Mapping[str, Any]) -> Named:
    """The factory of a name; the number of classes is read from the weights.

    Args:
        weights: The state dict that will be loaded.
        arguments: For the factory, over what is found out here.

    Raises:
        UnknownName: The library has no such network.
    """
    library, _, name = text.partition(":")
    if library == "timm":
        return _of_timm(name, weights, arguments)
    if library == "torchvision":
        return _of_torchvision(name, weights, arguments)
    return Named(text, arguments)


def _of_timm(name: str, weights: Mapping[str, Tensor], arguments: Mapping[str, Any]) -> Named:
    import timm

    bare, _, tag = name.partition(".")
    if not timm.is_model(bare):
        raise UnknownName(f"timm has no network '{bare}'{_like(bare, timm.list_models())}")
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{bare}.*")]
    if tag and tag not in tags:
        raise UnknownName(f"timm knows no weights '{tag}' of {bare}; there are {', '.join(tags)}")
    stated = timm.get_pretrained_cfg(name)
    config: dict[str, Any] = {} if stated is None else stated.to_dict()
    found: dict[str, Any] = {"model_name": bare}
    last = config.get("classifier") or ()
    for layer in (last,) if isinstance(last, str) else last:
        if (classes := _rows(weights, layer)) is not None:
            found["num_classes"] = classes
    return Named("timm:create_model", found | dict(arguments), config or None)


def _of_torchvision(
    name: str, weights: Mapping[str, Tensor], arguments: Mapping[str, Any]
) -> Named:
    from torchvision import models

    bare, _, tag = name.partition(".")
    if bare not in models.list_models():
        raise UnknownName(f"torchvision has no network '{bare}'{_like(bare, models.list_models())}")
    known = {entry.name: entry for entry in models.get_model_weights(bare)}
    if tag and tag not in known:
        raise UnknownName(
            f"torchvision knows no weights '{tag}' of {bare}; there are {', '.join(known)}"
        )
    chosen = known[tag] if tag else models.get_model_weights(bare).DEFAULT
    found: dict[str, Any] = {"name": bare}
    if (classes := _last_rows(weights)) is not None:
        found["num_classes"] = classes
    takes = signature(models.get_model_builder(bare)).parameters
    if "weights_backbone" in takes:
        found["weights_backbone"] = None  # else it would be fetched
    if "aux_loss" in takes:
        found["aux_loss"] = any(key.startswith("aux_classifier.") for key in weights)
    return Named("torchvision.models:get_model", found | dict(arguments), chosen.transforms())


def _last_rows(weights: Mapping[str, Tensor]) -> int | None:
    """Of the last layer's weights, auxiliary ones left out."""
    last = [
        value
        for key, value in weights.items()
        if key.endswith(".weight") and not key.startswith(("aux", "AuxLogits"))
    ]
    return len(last[-1]) if last else None


def _rows(weights: Mapping[str, Tensor], layer: str) -> int | None:
    return next(
        (len(value) for key, value in weights.items() if f".{key}".endswith(f".{layer}.weight")),
        None,
    )


def _like(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, 3)
    return f"; like it are {', '.join(near)}" if near else ""
