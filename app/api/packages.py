"""Packages: their headers, seal, manifest, grants, releases, receipts."""
# ruff: noqa: FAST003 - the package in the path is taken by a dependency

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Response

from app.api.answers import from_file, recorded
from app.api.deps import CallerDep, Digest, Id, Octets, Once, RuntimeDep, body_of
from app.api.exchanges import Cursor
from app.api.gate import GuardedRoute
from app.api.models import (
    DownloadOut,
    HeaderPut,
    ManifestOut,
    PackageOut,
    PackageRecorded,
    PackagesOut,
    Recorded,
    RecordOut,
    ReleaseOut,
    StatementIn,
)
from app.api.problems import documented
from app.db.models import PackageState
from app.services import downloads, grants, headers, packages, receipts, uploads
from app.services.bundles import spooled
from app.services.packages import On
from custody.text import to_time

router = APIRouter(prefix="/v1/packages", tags=["packages"], route_class=GuardedRoute)

_SEEN = documented("token-refused", "token-expired", "not-found", "not-entitled")
_CODES = (
    "token-refused", "token-expired", "not-found", "not-entitled", "statement-refused", "clock-skew", "state-conflict",
    "invalid", "idempotency-mismatch", "overloaded", "not-yet-published", "store-down", "too-large",
)  # fmt: skip
_LODGED = documented(*_CODES)
_GRANTED = documented(*_CODES, "manifest-mismatch")
_ANSWERED = documented(*_CODES, "already-answered")
_BYTES: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {"application/octet-stream": {}}}}
_OCTETS = {"requestBody": {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}}


async def command_of(package: Id, body: StatementIn, caller: CallerDep, runtime: RuntimeDep) -> On:
    """What a caller says about a package."""
    return On(package=package, envelope=body.envelope, caller=caller, at=runtime.now())


Command = Annotated[On, Depends(command_of)]


@router.get("", responses=_SEEN, response_model_exclude_none=True)
def list_packages(
    caller: CallerDep,
    runtime: RuntimeDep,
    state: Annotated[PackageState | None, Query()] = None,
    cursor: Cursor = None,
) -> PackagesOut:
    """Packages that the caller's authority sent, or that were sent to it; newest first."""
    views, following = packages.list_packages(caller, state, cursor, runtime)
    return PackagesOut(packages=[PackageOut.of(view) for view in views], next=following)


@router.get("/{package}", responses=_SEEN, response_model_exclude_none=True)
def see_package(package: Id, caller: CallerDep, runtime: RuntimeDep) -> PackageOut:
    """One package."""
    return PackageOut.of(packages.see(package, caller, runtime))


@router.put(
    "/{package}/headers/{sha256}",
    status_code=201,
    responses=documented(
        "token-refused",
        "token-expired",
        "not-found",
        "not-entitled",
        "too-large",
        "media-type",
        "store-down",
        "store-full",
    ),
    openapi_extra=_OCTETS,
    dependencies=[Octets],
)
def put_header(
    *,
    package: Id,
    sha256: Digest,
    data: Annotated[bytes, Depends(body_of)],
    caller: CallerDep,
    runtime: RuntimeDep,
    response: Response,
) -> HeaderPut:
    """Bring an age header that a manifest or grant is to name."""
    command = headers.PutCommand(package=package, sha256=sha256, data=data, caller=caller)
    response.status_code = 201 if headers.put(command, runtime) else 200
    return HeaderPut(sha256=sha256, size=len(data))


@router.get(
    "/{package}/items/{item}/parts",
    response_class=Response,
    responses={**_BYTES, **_SEEN},
)
def see_parts(package: Id, item: Id, caller: CallerDep, runtime: RuntimeDep) -> Response:
    """The SHA-256 of each part of an item, 32 raw bytes each."""
    digests = uploads.parts_of(package, item, caller, runtime)
    return Response(digests, media_type="application/octet-stream")


@router.post("/{package}/seal", status_code=201, responses=_GRANTED, dependencies=[Once])
def seal(command: Command, runtime: RuntimeDep, response: Response) -> PackageRecorded:
    """Seal a package by its manifest."""
    lodged = packages.seal(command, runtime)
    recorded(response, lodged)
    return PackageRecorded(record=RecordOut.of(lodged.record), package=command.package)


@router.get("/{package}/manifest", responses=documented(*_CODES))
def see_manifest(package: Id, caller: CallerDep, runtime: RuntimeDep) -> ManifestOut:
    """The manifest, its record and the grants; that they were looked at is noted."""
    return ManifestOut.of(packages.view_manifest(package, caller, runtime))


@router.post("/{package}/withdrawal", status_code=201, responses=_LODGED, dependencies=[Once])
def withdraw(command: Command, runtime: RuntimeDep, response: Response) -> Recorded:
    """Take back a sealed package: no header of it leaves any more."""
    lodged = packages.withdraw(command, runtime)
    recorded(response, lodged)
    return Recorded(record=RecordOut.of(lodged.record))


@router.post("/{package}/grants", status_code=201, responses=_GRANTED, dependencies=[Once])
def add_grant(command: Command, runtime: RuntimeDep, response: Response) -> Recorded:
    """Grant headers to more authorities."""
    lodged = grants.add(command, runtime)
    recorded(response, lodged)
    return Recorded(record=RecordOut.of(lodged.record))


@router.post("/{package}/conditions", status_code=201, responses=_ANSWERED, dependencies=[Once])
def accept_conditions(command: Command, runtime: RuntimeDep, response: Response) -> Recorded:
    """Accept the conditions that a manifest or grant sets."""
    lodged = grants.accept(command, runtime)
    recorded(response, lodged)
    return Recorded(record=RecordOut.of(lodged.record))


@router.post("/{package}/release", status_code=201, response_model=ReleaseOut, responses=_LODGED, dependencies=[Once])
def release(command: Command, runtime: RuntimeDep) -> Response:
    """Be handed the headers of a grant; on record before they leave."""
    released = grants.release(command, runtime)
    file = spooled(lambda target: target.writelines(ReleaseOut.spelled(released)))
    return from_file(file, "application/json", status=201 if released.lodged.fresh else 200)


@router.post("/{package}/downloads", status_code=201, responses=_LODGED, dependencies=[Once])
def open_download(command: Command, runtime: RuntimeDep, response: Response) -> DownloadOut:
    """Open a handle for the bodies of a package; on record before the first byte leaves."""
    opened = downloads.open_download(command, runtime)
    recorded(response, opened.lodged)
    return DownloadOut(
        record=RecordOut.of(opened.lodged.record), download=opened.download, expires=to_time(opened.expires)
    )


@router.post("/{package}/receipt", status_code=201, responses=_ANSWERED, dependencies=[Once])
def sign_receipt(command: Command, runtime: RuntimeDep, response: Response) -> Recorded:
    """Record the recipient's signed answer to a package."""
    lodged = receipts.sign(command, runtime)
    recorded(response, lodged)
    return Recorded(record=RecordOut.of(lodged.record))
