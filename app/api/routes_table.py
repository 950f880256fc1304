"""For each route: the row of the policy that guards it, and the event it leaves in a record, or why none.

Nothing here is used while requests are served; tests/architecture holds it to the routes that are there.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Route:
    """What a route demands and leaves.

    Attributes:
        action: Row of `app.auth.policy.RULES`; empty where the route is open to anyone.
        event: What it writes; empty where it writes nothing.
        why: Why it writes nothing, or is open.
    """

    action: str
    event: str
    why: str = ""


_LOG = Route("", "", "the public log: random bytes to outsiders, read by everybody, no party to name")
_OWN = "shows the caller what its own authority may know; no evidence and no key leaves"

ROUTES: Final[dict[str, Route]] = {
    "GET /livez": Route("", "", "says nothing of any matter"),
    "GET /readyz": Route("", "", "says nothing of any matter"),
    "GET /v1/service": Route("", "", "public facts of the service"),
    "GET /.well-known/oauth-authorization-server": Route("", "", "public facts of the service"),
    "GET /.well-known/jwks.json": Route("", "", "public keys"),
    "POST /oauth/token": Route("", "", "tokens open doors and are no evidence; what is done with one is recorded"),
    "GET <log>/checkpoint": _LOG,
    "GET <log>/tile/{path:path}": _LOG,
    "GET <log>/cosigned": _LOG,
    "GET <log>/cosigned/{key}": _LOG,
    "GET <log>/stamped": _LOG,
    "GET <log>/policy": _LOG,
    "GET <log>/auditors": _LOG,
    "GET <log>/steps": Route("", "", "policies and the end of the log: the service's own word, for everybody"),
    "POST <log>/cosignatures": Route(
        "", "", "cosignatures of what is public, verified against the policies; they are no act of a party"
    ),
    "GET /v1/authorities": Route("authority.list", "", "bodies of registries are open to all members"),
    "GET /v1/authorities/{authority}/registry": Route(
        "registry.see", "", "bodies of registries are open to all members"
    ),
    "POST /v1/authorities/{authority}/registry": Route(
        "", "the statement's own", "authenticated by the signature of an authority's key, which has no token"
    ),
    "POST /v1/exchanges": Route("exchange.open", "exchange.opened"),
    "GET /v1/exchanges": Route("exchange.list", "", _OWN),
    "GET /v1/exchanges/{exchange}": Route("exchange.see", "", _OWN),
    "POST /v1/exchanges/{exchange}/parties": Route("party.add", "party.added"),
    "POST /v1/exchanges/{exchange}/close": Route("exchange.close", "exchange.closed"),
    "POST /v1/exchanges/{exchange}/packages": Route("package.declare", "package.declared"),
    "GET /v1/exchanges/{exchange}/log": Route("log.view", "log.viewed"),
    "POST /v1/exchanges/{exchange}/export": Route("log.export", "log.exported"),
    "GET /v1/packages": Route("package.list", "", _OWN),
    "GET /v1/packages/{package}": Route("package.see", "", _OWN),
    "PUT /v1/packages/{package}/headers/{sha256}": Route(
        "header.put", "", "a header counts only once a manifest or grant names it, which is recorded"
    ),
    "GET /v1/packages/{package}/items/{item}/parts": Route(
        "parts.see", "", "digests of ciphertext, which the record names"
    ),
    "POST /v1/packages/{package}/seal": Route("package.seal", "package.sealed"),
    "GET /v1/packages/{package}/manifest": Route("manifest.view", "manifest.viewed"),
    "POST /v1/packages/{package}/withdrawal": Route("package.withdraw", "package.withdrawn"),
    "POST /v1/packages/{package}/grants": Route("grant.add", "grant.added"),
    "POST /v1/packages/{package}/conditions": Route("conditions.accept", "conditions.accepted"),
    "POST /v1/packages/{package}/release": Route("key.release", "key.released"),
    "POST /v1/packages/{package}/downloads": Route("download.open", "download.opened"),
    "POST /v1/packages/{package}/receipt": Route("receipt.sign", "receipt.signed"),
    "POST /v1/packages/{package}/items/{item}/uploads": Route("upload.create", "upload.completed"),
    "OPTIONS /v1/packages/{package}/items/{item}/uploads": Route("", "", "public facts of the service"),
    "OPTIONS /v1/uploads/{upload}": Route("", "", "public facts of the service"),
    "HEAD /v1/uploads/{upload}": Route("upload.see", "", _OWN),
    "PATCH /v1/uploads/{upload}": Route("upload.send", "upload.completed"),
    "DELETE /v1/uploads/{upload}": Route("upload.terminate", "upload.aborted"),
    "GET /v1/downloads/{download}/items/{item}": Route(
        "download.read", "", "download.opened came before the first byte, download.closed counts them"
    ),
    "HEAD /v1/downloads/{download}/items/{item}": Route("download.read", "", "no byte of the body leaves"),
    "POST /v1/downloads/{download}/close": Route("download.close", "download.closed"),
}
"""Method and path of every route, `<log>` for the path of the origin."""
