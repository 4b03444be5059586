"""Arguments of our own networks: they come from a spec that anybody may have written."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, validate_call

Share = Annotated[float, Field(ge=0, lt=1)]
"""A part of a whole, such as of the features that dropout leaves out."""
Width = Annotated[int, Field(ge=8, le=2048)]
"""A number of channels."""

checked = validate_call(config=ConfigDict(strict=True))
"""A builder that raises pydantic's ValidationError for arguments it has not, or of another kind."""
