"""What can go wrong, told apart once and for all.

`FormatError` says that bytes cannot be understood: they are not of the format, or of a version of it
that this code does not know. `VerificationError` says that bytes were understood and do not add up.
A court must never read "tampered" where the truth is "not understood", nor the other way round.

Every leaf carries a stable `code`; codes are what reports, vectors and the API speak, messages are
for people. Raise a leaf, catch a branch.
"""


class CustodyError(Exception):
    """Anything this package refuses. Catch it to catch all of them."""

    code = "custody-error"


class FormatError(CustodyError):
    """The bytes cannot be understood: malformed, or not canonical, or out of bounds."""

    code = "malformed"


class UnsupportedError(FormatError):
    """Well-formed as far as it can be told, but of a version, event, kind or type unknown here.

    Neither ignored nor called tampered: a newer verifier may know it.
    """

    code = "unsupported"


class VerificationError(CustodyError):
    """Understood, and it does not add up: a digest, a proof, a signature, a rule."""

    code = "verification-failed"
