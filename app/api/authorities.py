"""Authorities and their registries."""

from fastapi import APIRouter, Response

from app.api.answers import recorded, zipped
from app.api.deps import AddressDep, AuthorityId, CallerDep, OnceBySignature, RuntimeDep
from app.api.gate import FlatRoute
from app.api.models import AuthoritiesOut, AuthorityOut, Recorded, RecordOut, StatementIn
from app.api.problems import documented
from app.services import registries

router = APIRouter(prefix="/v1/authorities", tags=["authorities"], route_class=FlatRoute)

_LODGED = documented(
    "not-found", "statement-refused", "clock-skew", "state-conflict", "invalid", "idempotency-mismatch", "overloaded",
    "not-yet-published", "too-large",
)  # fmt: skip


@router.get("", responses=documented("token-refused", "not-found"))
def list_authorities(caller: CallerDep, runtime: RuntimeDep) -> AuthoritiesOut:
    """All authorities of this service."""
    members = registries.list_authorities(caller, runtime)
    return AuthoritiesOut(authorities=[AuthorityOut.of(member) for member in members])


@router.get(
    "/{authority}/registry",
    response_class=Response,
    responses={200: {"content": {"application/zip": {}}}, **documented("token-refused", "not-found")},
)
def see_registry(authority: AuthorityId, caller: CallerDep, runtime: RuntimeDep) -> Response:
    """An authority's registry, whole, as a bundle with its tail proof in the newest checkpoint."""
    return zipped(registries.bundle(authority, caller, runtime))


@router.post("/{authority}/registry", status_code=201, responses=_LODGED, dependencies=[OnceBySignature])
def lodge(
    authority: AuthorityId, body: StatementIn, address: AddressDep, runtime: RuntimeDep, response: Response
) -> Recorded:
    """Lodge a statement that an authority signed with its own key; needs no token."""
    command = registries.Lodge(authority=authority, envelope=body.envelope, address=address, at=runtime.now())
    lodged = registries.lodge(command, runtime)
    recorded(response, lodged)
    return Recorded(record=RecordOut.of(lodged.record))
