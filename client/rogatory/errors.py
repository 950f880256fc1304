"""What can go wrong for a client, and the exit code it leaves with.

The branches are the exit codes of the command line; a leaf stands next to where it is raised. What `custody` refuses
keeps its own type and gets its exit code here too, so that "cannot be understood" and "does not add up" stay apart up
to the shell. Messages and hints never hold secrets. Specification: docs/spec/report.md, *Exit codes*.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from custody.errors import CustodyError, FormatError, UnsupportedError, VerificationError

INTERNAL = 1
INTERRUPTED = 130
_SIGNER_CODES = frozenset(
    {"not-signed", "signature-invalid", "signature-missing", "signer-not-entitled", "public-key-refused"}
)


class ClientError(Exception):
    """Anything the client refuses or fails at. `hint` says what the reader can do about it, if anything."""

    code = "client-error"
    exit_code: ClassVar[int] = INTERNAL

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UsageProblem(ClientError):
    """What was asked for cannot be asked for like this."""

    code = "usage"
    exit_code = 2


class Malformed(ClientError):
    """A file or an answer cannot be understood."""

    code = "malformed"
    exit_code = 3


class AuthenticationFailed(ClientError):
    """The service does not accept who we say we are."""

    code = "authentication-failed"
    exit_code = 4


class Temporary(ClientError):
    """It may work later: line, store, disk."""

    code = "temporary"
    exit_code = 5


class NotFound(ClientError):
    """Absent, or not for us to see."""

    code = "not-found"
    exit_code = 6


class Refused(ClientError):
    """A rule forbids it."""

    code = "refused"
    exit_code = 7


class Tampered(ClientError):
    """Bytes are not those that were signed for."""

    code = "tampered"
    exit_code = 20


class SignerProblem(ClientError):
    """Not signed by whom it must be, or by nobody we trust."""

    code = "signer"
    exit_code = 22


class TimeProblem(ClientError):
    """A clock is off, or what we hold is too old to rely on."""

    code = "time"
    exit_code = 23


class RolledBack(ClientError):
    """The log we are shown is not a continuation of the log we know."""

    code = "rolled-back"
    exit_code = 25


class ServiceRefusal(ClientError):
    """What the service answered instead of doing it.

    Attributes:
        status: HTTP status.
        code: The stable code of the problem document; `http-<status>` where there is none.
        retry_after: Seconds the service asks to wait, if it says so.
    """

    exit_code = 7

    def __init__(
        self, message: str, *, status: int, code: str, retry_after: float | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.status, self.code, self.retry_after = status, code, retry_after


class ServiceRefusedToken(ServiceRefusal, AuthenticationFailed):
    """401."""

    exit_code = 4


class ServiceKnowsNot(ServiceRefusal, NotFound):
    """404, 410."""

    exit_code = 6


class ServiceUnavailable(ServiceRefusal, Temporary):
    """429, 5xx."""

    exit_code = 5


class ServiceClockDiffers(ServiceRefusal, TimeProblem):
    """Our statement's time is not the service's."""

    exit_code = 23


class ServiceUnderstoodNot(ServiceRefusal, Malformed):
    """400, and bodies that are not of their schema."""

    exit_code = 3


_BY_CODE: dict[str, type[ServiceRefusal]] = {
    "clock-skew": ServiceClockDiffers,
    "bad-request": ServiceUnderstoodNot,
    "invalid": ServiceUnderstoodNot,
    "token-refused": ServiceRefusedToken,
    "token-expired": ServiceRefusedToken,
    "not-found": ServiceKnowsNot,
    "gone": ServiceKnowsNot,
}
_BY_STATUS: dict[int, type[ServiceRefusal]] = {
    400: ServiceUnderstoodNot,
    401: ServiceRefusedToken,
    404: ServiceKnowsNot,
    410: ServiceKnowsNot,
    429: ServiceUnavailable,
}
_HINTS = {
    "clock-skew": "set this machine's clock, then try again",
    "not-entitled": "ask your authority to grant the role this needs",
    "token-refused": "is this client enrolled, and neither it nor its login key suspended or revoked?",
    "not-found": "check the id; what you may not see looks the same as what is absent",
}


def from_problem(status: int, problem: Any, headers: Mapping[str, str]) -> ServiceRefusal:
    """The refusal that an answer of 400 or above stands for; `problem` is its JSON, or None if it has none."""
    fields = problem if isinstance(problem, dict) else {}
    code = fields.get("code")
    if not isinstance(code, str):
        code = f"http-{status}"
    detail = next((fields[name] for name in ("detail", "title") if isinstance(fields.get(name), str)), None)
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status) or (ServiceUnavailable if status >= 500 else ServiceRefusal)
    hint = fields.get("hint")
    return kind(
        f"the service answers {status} {code}" + (f": {detail}" if detail else ""),
        status=status,
        code=code,
        retry_after=_seconds(headers.get("retry-after")),
        hint=hint if isinstance(hint, str) else _HINTS.get(code),
    )


def exit_code_of(error: BaseException) -> int:
    """The exit code an error leaves the command line with."""
    if isinstance(error, ClientError):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, UnsupportedError):
        return 24
    if isinstance(error, FormatError):
        return Malformed.exit_code
    if isinstance(error, VerificationError):
        return SignerProblem.exit_code if error.code in _SIGNER_CODES else Tampered.exit_code
    if isinstance(error, CustodyError):
        return Refused.exit_code
    return INTERNAL


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isascii() and text.isdigit() and len(text) < 7 else None
