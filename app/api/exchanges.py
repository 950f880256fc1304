"""Exchanges, and the record of each."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.api.answers import recorded, zipped
from app.api.deps import CallerDep, Id, Once, RuntimeDep
from app.api.gate import GuardedRoute
from app.api.models import (
    ExchangeOpened,
    ExchangeOut,
    ExchangesOut,
    LogOut,
    PackageRecorded,
    Recorded,
    RecordOut,
    StatementIn,
)
from app.api.problems import documented
from app.services import exchanges, exports, packages
from app.services.statements import Lodge

router = APIRouter(prefix="/v1/exchanges", tags=["exchanges"], route_class=GuardedRoute)

_SEEN = documented("token-refused", "token-expired", "not-found", "not-entitled")
_LODGED = documented(
    "token-refused", "token-expired", "not-found", "not-entitled", "statement-refused", "clock-skew", "state-conflict",
    "invalid", "idempotency-mismatch", "overloaded", "not-yet-published", "too-large",
)  # fmt: skip
Cursor = Annotated[str | None, Query(max_length=200, description="`next` of the page before")]


@router.post("", status_code=201, responses=_LODGED, dependencies=[Once])
def open_exchange(body: StatementIn, caller: CallerDep, runtime: RuntimeDep, response: Response) -> ExchangeOpened:
    """Open an exchange between the parties that the act names."""
    found = exchanges.open_exchange(Lodge(envelope=body.envelope, caller=caller, at=runtime.now()), runtime)
    recorded(response, found.lodged)
    return ExchangeOpened(record=RecordOut.of(found.lodged.record), exchange=found.exchange)


@router.get("", responses=_SEEN, response_model_exclude_none=True)
def list_exchanges(caller: CallerDep, runtime: RuntimeDep, cursor: Cursor = None) -> ExchangesOut:
    """The exchanges that the caller may see, newest first."""
    views, following = exchanges.list_exchanges(caller, cursor, runtime)
    return ExchangesOut(exchanges=[ExchangeOut.of(view) for view in views], next=following)


@router.get("/{exchange}", responses=_SEEN)
def see_exchange(exchange: Id, caller: CallerDep, runtime: RuntimeDep) -> ExchangeOut:
    """One exchange."""
    return ExchangeOut.of(exchanges.see(exchange, caller, runtime))


@router.post("/{exchange}/parties", status_code=201, responses=_LODGED, dependencies=[Once])
def add_party(exchange: Id, body: StatementIn, caller: CallerDep, runtime: RuntimeDep, response: Response) -> Recorded:
    """Let another authority in, as a party or as an auditor."""
    command = exchanges.On(exchange=exchange, envelope=body.envelope, caller=caller, at=runtime.now())
    lodged = exchanges.add_party(command, runtime)
    recorded(response, lodged)
    return Recorded(record=RecordOut.of(lodged.record))


@router.post("/{exchange}/close", status_code=201, responses=_LODGED, dependencies=[Once])
def close(exchange: Id, body: StatementIn, caller: CallerDep, runtime: RuntimeDep, response: Response) -> Recorded:
    """Close an exchange; what was handed over stays readable."""
    command = exchanges.On(exchange=exchange, envelope=body.envelope, caller=caller, at=runtime.now())
    lodged = exchanges.close(command, runtime)
    recorded(response, lodged)
    return Recorded(record=RecordOut.of(lodged.record))


@router.post("/{exchange}/packages", status_code=201, responses=_LODGED, dependencies=[Once])
def declare(
    exchange: Id, body: StatementIn, caller: CallerDep, runtime: RuntimeDep, response: Response
) -> PackageRecorded:
    """Declare a package and its recipients; uploads can begin."""
    command = packages.Declare(exchange=exchange, envelope=body.envelope, caller=caller, at=runtime.now())
    found = packages.declare(command, runtime)
    recorded(response, found.lodged)
    return PackageRecorded(record=RecordOut.of(found.lodged.record), package=found.package)


@router.get("/{exchange}/log", responses=_SEEN, response_model_exclude_none=True)
def view_log(
    exchange: Id,
    caller: CallerDep,
    runtime: RuntimeDep,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=exports.MAX_PAGE)] = 200,
) -> LogOut:
    """A page of the exchange's record; that it was looked at is noted there."""
    return LogOut.of(exports.view(exchange, cursor, limit, caller, runtime))


@router.post(
    "/{exchange}/export",
    status_code=201,
    response_class=Response,
    responses={201: {"content": {"application/zip": {}}}, **_LODGED},
    dependencies=[Once],
)
def export(exchange: Id, body: StatementIn, caller: CallerDep, runtime: RuntimeDep) -> Response:
    """The whole record as a bundle or an auditor's export; the act's own record stands in a header."""
    command = exchanges.On(exchange=exchange, envelope=body.envelope, caller=caller, at=runtime.now())
    found = exports.export(command, runtime)
    record = RecordOut.of(found.lodged.record).header()
    return zipped(found.file, status=201 if found.lodged.fresh else 200, headers={"Rogatory-Record": record})
