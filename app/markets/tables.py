"""L1: the kinds of values that a market file is made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Code = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{1,30}$")]
Minor = Annotated[int, Field(ge=0)]
BasisPoints = Annotated[int, Field(ge=0, le=10_000)]
Seconds = Annotated[int, Field(gt=0)]


class Table(BaseModel):
    """A table of a market file: every name known, nothing changed after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)
