"""Refusals: what the service will not do, in the words of the matter.

Each leaf has one stable `code`; the HTTP status of each stands in one table (`app.api.problems`), so that nothing
below the API knows HTTP. A message says what was found, then what was expected; `hint` says what the caller can do.
What a caller may not see is `NotFound` as well: absent and forbidden look alike.
"""

from typing import ClassVar


class Refusal(Exception):
    """Anything the service refuses. Nothing was changed when one is raised.

    Attributes:
        code: Stable, one for each class; what clients may rely on.
        hint: What the caller can do, or empty.
        retry_after: Seconds after which the same request may succeed; None where repeating it is no use.
    """

    code: ClassVar[str] = "refused"
    retry_after: int | None = None

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class BadRequest(Refusal):
    """The request cannot be understood at all."""

    code = "bad-request"


class BadInput(Refusal):
    """Understood, and something in it is not of its schema or out of bounds."""

    code = "invalid"


class NotFound(Refusal):
    """There is no such thing, or the caller may not know of it."""

    code = "not-found"


class NotEntitled(Refusal):
    """The caller sees the thing, and may not do this with it."""

    code = "not-entitled"


class AlreadyAnswered(Refusal):
    """What can be answered once has been answered."""

    code = "already-answered"


class StateConflict(Refusal):
    """The thing is not in a state in which this can be done; an id that is taken counts as one."""

    code = "state-conflict"


class ManifestMismatch(Refusal):
    """The manifest is not what was uploaded."""

    code = "manifest-mismatch"


class StatementRefused(Refusal):
    """The signed statement says another thing than the request, or is not signed as it must be."""

    code = "statement-refused"


class ClockSkew(Refusal):
    """The statement's time is more than 10 minutes from the service's, or it has expired."""

    code = "clock-skew"


class StatementReplayed(Refusal):
    """The same statement stands in the log already; whoever lodges it again gets the record it has.

    Attributes:
        ledger_id: The row of the ledger that carries it.
    """

    code = "statement-replayed"

    def __init__(self, message: str, *, ledger_id: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.ledger_id = ledger_id


class IdempotencyMismatch(Refusal):
    """The Idempotency-Key was used with another request."""

    code = "idempotency-mismatch"


class TooLarge(Refusal):
    """More bytes, items or parts than a limit allows."""

    code = "too-large"


class OffsetMismatch(Refusal):
    """Bytes were sent for another offset than the upload stands at.

    Attributes:
        offset: Where it stands, in bytes.
    """

    code = "offset-mismatch"

    def __init__(self, message: str, *, offset: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.offset = offset


class UploadSuperseded(Refusal):
    """A later request has taken over the upload."""

    code = "upload-superseded"


class ChecksumMismatch(Refusal):
    """The bytes that arrived are not those whose digest was given; none of them was kept."""

    code = "checksum-mismatch"


class Gone(Refusal):
    """The upload or download handle has ended."""

    code = "gone"


class NotYetPublished(Refusal):
    """The fact is committed; its record is not yet in a signed checkpoint. The same request finds it later.

    Attributes:
        ledger_id: The row of the ledger that waits.
    """

    code = "not-yet-published"
    retry_after = 1

    def __init__(self, message: str, *, ledger_id: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.ledger_id = ledger_id


class Overloaded(Refusal):
    """The service is behind; nothing was taken."""

    code = "overloaded"
    retry_after = 2


class ReadOnly(Refusal):
    """The service takes no entries: no witness has confirmed its log yet, or one has shown a later or another one."""

    code = "read-only"
    retry_after = 10


class DatabaseDown(Refusal):
    """The database did not answer, or has no room; nothing was taken."""

    code = "database-down"
    retry_after = 5


class StoreDown(Refusal):
    """The object store did not answer; what was acknowledged before is safe."""

    code = "store-down"
    retry_after = 5


class StoreFull(Refusal):
    """The object store has no room; what was acknowledged before is safe."""

    code = "store-full"
