"""Whose factories run unasked.

`spec.arch` may name a factory, `package.module:name`. Calling it runs code, with arguments of
the run's choice: `torch:load` executes a pickle, other functions a command. Trusted by
themselves are

- networks of torchvision, timm and edgeskin: a `torch.nn.Module` of their `models`, a builder of
  their registries, `timm:create_model` and `torchvision.models:get_model`; not with arguments
  that fetch or read weights;
- the current project: what is defined in a module below the current folder, unless that is an
  installed package, or lies in a run folder: a run that somebody sent brings no code.

All else takes `trust`, or its package in `config_file()`. Where a module lies is found out before
any of it runs. What counts is where a factory is defined: a project's `from torch import load`
is torch's.
"""

from __future__ import annotations

import importlib
import os
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import timm
import torchvision
from torch import nn

from edgeskin.errors import InvalidSpec, NotTrusted, UnknownName
from edgeskin.models.run_files import GRAPH, WEIGHTS
from edgeskin.trusted import config_file, packages

_LIBRARIES = ("torchvision", "timm", "edgeskin")
_NETWORKS = tuple(f"{library}.models." for library in _LIBRARIES)
_BY_NAME = (timm.create_model, torchvision.models.get_model)
_READS_WEIGHTS = ("pretrained", "weights", "checkpoint", "cache_dir")
_STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib")).resolve()
_INSTALLED = ("site-packages", "dist-packages")


def find_factory(arch: str, arguments: Mapping[str, Any], *, trust: bool) -> Callable[..., Any]:
    """Import `package.module:name` if it may be called with `arguments`.

    The current folder may hold the package.

    Raises:
        InvalidSpec: `arch` reads otherwise.
        UnknownName: No such module or factory.
        NotTrusted: It needs `trust`, and was not called.
    """
    if not names_factory(arch):
        raise InvalidSpec(f"arch must read package.module:factory, got {arch!r}")
    module, _, name = arch.partition(":")
    trust = trust or _is_listed(module)
    with _current_folder_last():
        try:
            if not (trust or _may_import(module)):
                raise _refusal(arch)
            factory = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise UnknownName(
                f"cannot import the network '{arch}': {error}. Run where the module can be "
                "imported, or install its package."
            ) from error
    if not (trust or _may_call(factory, arguments)):
        raise _refusal(arch)
    return factory


def names_factory(text: str) -> bool:
    module, _, name = text.partition(":")
    return all(part.isidentifier() for part in (*module.split("."), name))


def _is_listed(module: str) -> bool:
    return any(f"{module}.".startswith(f"{package}.") for package in packages())


def _refusal(arch: str) -> NotTrusted:
    return NotTrusted(
        f"'{arch}' was not run: a factory is code, and its arguments may bring more. Trusted are "
        "networks of torchvision, timm and edgeskin without weights of their own, and modules "
        "below the current folder that lie in no run. Pass --trust (Python: trust=True) if you "
        f"trust whoever made the run, or write its package into {config_file()}."
    )


def _may_import(module: str) -> bool:
    return module.partition(".")[0] in _LIBRARIES or _is_of_project(module)


def _may_call(factory: Any, arguments: Mapping[str, Any]) -> bool:
    home = str(getattr(factory, "__module__", None))
    if home.partition(".")[0] in _LIBRARIES:
        return _is_network(factory, home) and not _reads_weights(arguments)
    return home in sys.modules and _is_of_project(home)


def _is_network(factory: Any, home: str) -> bool:
    if isinstance(factory, type):
        return issubclass(factory, nn.Module) and home.startswith(_NETWORKS)
    name, models = getattr(factory, "__name__", ""), torchvision.models
    return (
        factory in _BY_NAME
        or (timm.is_model(name) and timm.model_entrypoint(name) is factory)
        or any(models.get_model_builder(known) is factory for known in models.list_models())
    )


def _reads_weights(arguments: Mapping[str, Any]) -> bool:
    """Whether they ask for weights, or name a model of a hub or a folder, as timm takes them."""
    asked = any(value and key.startswith(_READS_WEIGHTS) for key, value in arguments.items())
    return asked or any(mark in str(arguments.get("model_name")) for mark in ":/\\")


def _is_of_project(module: str) -> bool:
    place, here = _place(module), Path.cwd().resolve()
    if place is None or here not in place.parents:
        return False
    return not any(_is_foreign(folder) for folder in (place, *place.parents))


def _is_foreign(folder: Path) -> bool:
    """A folder whose modules are not the project's, wherever it lies."""
    is_run = (folder / "spec.json").is_file() and any(
        (folder / name).is_file() for name in (WEIGHTS, GRAPH)
    )
    return is_run or folder.name in _INSTALLED or folder == _STANDARD_LIBRARY


def _place(module: str) -> Path | None:
    """The file of a module, or where it must be inside its package; None where nobody can say.

    A folder without `__init__.py` is no package of the project: any folder would be one.

    Raises:
        ModuleNotFoundError: No such package.
    """
    top, *rest = module.split(".")
    if (loaded := sys.modules.get(module)) is not None:
        file, rest = getattr(loaded, "__file__", None), []
    elif (package := sys.modules.get(top)) is not None:
        file = getattr(package, "__file__", None)
    elif (found := find_spec(top)) is not None:  # a name without a dot: this imports nothing
        file = found.origin if found.has_location else None
    else:
        raise ModuleNotFoundError(f"No module named '{top}'", name=top)
    if file is None:
        return None
    return (Path(file).parent.joinpath(*rest) if rest else Path(file)).resolve()


@contextmanager
def _current_folder_last() -> Iterator[None]:
    """Let modules of the current folder be imported, for as long as this lasts."""
    here = os.getcwd()
    sys.path.append(here)
    try:
        yield
    finally:
        sys.path.remove(here)
