"""A document: what a function of edgeskin returns, as one frozen class, and its JSON at the edge.

Inside Python a document is attributes that a type checker knows; on disk, between processes and
behind `--json` it is the JSON of `to_json`. `from_json` is the only way back.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, ValidationError
from pydantic import model_serializer as serializer

from edgeskin.errors import InvalidResult


class Document(BaseModel):
    """Base of every document and of its parts.

    A field `x: float | None` may be unknown, and is `null` in JSON then; a field
    `x: float | None = None` may not apply, and is left out. Numbers may be
    infinite or NaN (an SQNR of equal outputs is), written `Infinity` and `NaN`.

    >>> class Load(Document):
    ...     first_ms: float
    ...     cached: bool | None = None
    >>> Load(first_ms=2.5).to_json()
    {'first_ms': 2.5}
    >>> Load.from_json({"first_ms": 2.5}).first_ms
    2.5
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    @serializer(mode="wrap")
    def _without_what_does_not_apply(self, handler: SerializerFunctionWrapHandler) -> Any:
        fields = type(self).model_fields
        return {
            name: value
            for name, value in handler(self).items()
            if value is not None or name not in fields or fields[name].is_required()
        }

    def to_json(self) -> dict[str, Any]:
        """Objects, lists, text, numbers, booleans and null, as `json.dumps` writes them."""
        document: dict[str, Any] = self.model_dump(mode="json")
        return document

    @classmethod
    def from_json(cls, document: Any, *, where: Path | str = "the document") -> Self:
        """The document that `to_json` wrote, or its text.

        Raises:
            InvalidResult: A field is missing, unknown or of another type; `where` names the
                document in the message.
        """
        try:
            if isinstance(document, str | bytes):
                document = json.loads(document)
            return cls.model_validate(document)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "it"
            raise InvalidResult(
                f"{where} does not fit {cls.__name__}: {place}: {first['msg']}. It is damaged, "
                "or another version of edgeskin wrote it."
            ) from error
        except ValueError as error:
            raise InvalidResult(f"{where} is not JSON: {error}") from error


class PartialDocument(Document):
    """Base of documents that are added to later, by other versions of edgeskin too.

    Only what was set is written: reading and writing such a document adds nothing
    to it and loses nothing of it.
    """

    model_config = ConfigDict(extra="allow")

    @serializer(mode="wrap")
    def _as_it_was_set(self, handler: SerializerFunctionWrapHandler) -> Any:
        return {key: value for key, value in handler(self).items() if key in self.model_fields_set}
