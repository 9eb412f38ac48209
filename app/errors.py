"""L0: the one exception that carries its own policy."""

from __future__ import annotations


class DomainError(Exception):
    """A refusal or failure that a caller may be told.

    `code` is a constant name (`insufficient_funds`), the key of its sentence in the catalogues.
    `retryable` says whether the same request may succeed later without being changed.
    `facts` fill the sentence; they never hold a PIN, code or key.
    """

    def __init__(self, code: str, *, retryable: bool = False, **facts: object) -> None:
        super().__init__(code)
        self.code = code
        self.retryable = retryable
        self.facts = facts


class OutcomeUnknown(DomainError):
    """The answer of a COMMIT was lost: the work may or may not have been done."""

    def __init__(self) -> None:
        super().__init__("outcome_unknown", retryable=True)
