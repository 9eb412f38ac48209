"""L1: what a biller's customer number looks like."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from app.markets import patterns
from app.markets.tables import Fault, Table, one_line

Hint = Annotated[str, Field(min_length=1, max_length=40), AfterValidator(one_line)]


class CustomerNumber(Table):
    """What a customer number looks like, so that a typo is refused before any money moves.

    `kind` phone: the number of a telephone, typed as people write it. `hint` is said in every
    language of the market where the number is asked for.
    """

    kind: Literal["number", "phone"] = "number"
    least: int = Field(ge=3, le=20)
    most: int = Field(ge=3, le=20)
    luhn: bool = False
    letters: bool = False
    pattern: str | None = Field(None, max_length=patterns.LONGEST)
    hint: dict[str, Hint]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.least > self.most:
            raise Fault("must be at most most", "least")
        if self.letters and self.luhn:
            raise Fault("a number with letters has no check digit of this kind", "luhn")
        for key in ("luhn", "letters", "pattern"):
            if self.kind == "phone" and getattr(self, key):
                raise Fault("is for numbers; a telephone's number has its country's rules", key)
        return self

    @model_validator(mode="after")
    def _can_be_typed(self) -> Self:
        if self.pattern is None:
            return self
        try:
            matching = patterns.lengths(self.pattern, letters=self.letters)
        except ValueError as error:
            raise Fault(str(error), "pattern") from error
        typed = range(self.least, self.most + 1)
        if not any(length in matching for length in typed):
            what = "digits and letters" if self.letters else "digits"
            long = f"{self.least}" if len(typed) == 1 else f"{self.least} to {self.most}"
            raise Fault(f"no number of {long} {what} matches it", "pattern")
        return self
