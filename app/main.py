"""The composition root and the operator's commands.

Everything is put together here: settings, state, database, store, log, application, server. Exit codes: 0; 1 our own
mistake; 2 usage or settings; 5 something does not answer now; 7 refused.
"""

import argparse
import asyncio
import json
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, Final

import uvicorn
from fastapi import FastAPI

from app.api import application
from app.api.edge import start_logging
from app.api.protocol import GuardedProtocol
from app.db import ledger, migrate
from app.db.engine import connect, unsafe
from app.errors import Refusal
from app.jobs.caretaker import Caretaker
from app.jobs.election import NotElected
from app.jobs.sequencer import Sequencer
from app.services import enrolment, health, state
from app.services.runtime import VERSION, Runtime
from app.settings import Settings, SettingsError, Tls, unknown_variables
from custody.errors import CustodyError
from custody.keys import fingerprint
from storage.interface import Store, StoreError
from storage.local import LocalStore
from storage.s3 import S3Store
from storage.s3_probe import probe

OK, INTERNAL, USAGE, TEMPORARY, REFUSED = 0, 1, 2, 5, 7
_GRACE: Final = 10
_KEEP_ALIVE: Final = 30
_RENEWAL: Final = 3600
_PUBLISHED_WITHIN: Final = 15.0
_TEMPORARY: Final = frozenset({"database-down", "overloaded", "not-yet-published", "store-down", "store-full"})


@dataclass(frozen=True)
class Service:
    """A service that is put together and not running yet."""

    runtime: Runtime
    sequencer: Sequencer
    caretaker: Caretaker
    state: state.State

    @asynccontextmanager
    async def background(self) -> AsyncIterator[None]:
        """The log is kept and the house is kept for as long as this is entered."""
        self.sequencer.start()
        self.caretaker.start()
        try:
            yield
        finally:
            await asyncio.to_thread(self.caretaker.stop)
            await asyncio.to_thread(self.sequencer.stop)


def now() -> datetime:
    """The clock of the service."""
    return datetime.now(UTC)


def create_app(runtime: Runtime) -> FastAPI:
    """The application over a runtime, with nothing beside it."""
    return application.build(runtime)


def open_store(settings: Settings) -> Store:
    """The store that the settings name, of the kind that they name.

    Raises:
        StoreError: It cannot be opened.
    """
    return LocalStore(settings.store) if isinstance(settings.store, Path) else S3Store(settings.store)


def assemble(settings: Settings, clock: Callable[[], datetime] = now) -> Service:
    """Make what is missing of the state, and put the service together.

    Raises:
        Refusal, CustodyError, StoreError: The state cannot be used.
    """
    kept = state.prepare(settings, clock())
    engine = connect(settings.database)
    migrate.upgrade(engine)
    store = open_store(settings)
    sequencer = Sequencer(engine, kept.origin, kept.signers, clock)
    runtime = Runtime(
        settings=settings,
        origin=kept.origin,
        engine=engine,
        store=store,
        token_keys=kept.token_keys,
        log_keys=tuple(signer.verifier for signer in kept.signers),
        wake=sequencer.wake,
        now=clock,
        log_failure=lambda: sequencer.failure,
    )
    enrolment.begin(runtime, clock())
    return Service(runtime, sequencer, Caretaker(runtime), kept)


def cli(arguments: Sequence[str] | None = None) -> None:
    """Run a command of the operator and end the process with its code."""
    options = _parser().parse_args(arguments)
    try:
        code = options.command(options)
    except SettingsError as error:
        code = _fail(str(error), "see docs/operations/settings.md, or run rogatory-server check-config", USAGE)
    except Refusal as error:
        code = _fail(str(error), error.hint, TEMPORARY if error.code in _TEMPORARY else REFUSED)
    except StoreError as error:
        code = _fail(f"the store: {error}", "", TEMPORARY)
    except (CustodyError, OSError) as error:
        code = _fail(str(error), "", USAGE)
    sys.exit(code)


def _init(options: argparse.Namespace) -> int:
    settings = _settings(options)
    service = assemble(settings)
    _say(f"state of the log {service.state.origin} in {settings.state}")
    for what, path in service.state.made:
        _say(f"  made {what}: {path}")
    if not service.state.made:
        _say("  nothing was missing")
    _say_log_keys(service)
    service.runtime.engine.dispose()
    return OK


def _migrate(options: argparse.Namespace) -> int:
    engine = connect(_settings(options).database)
    _say("the schema is current" if migrate.is_current(engine) else "bringing the schema up")
    migrate.upgrade(engine)
    engine.dispose()
    return OK


def _serve(options: argparse.Namespace) -> int:
    listener, settings = _listen(options)
    service = assemble(settings)
    start_logging(settings.log_level.value)
    _announce(service, settings)
    server = _Server(_config(service, settings), service, options.ready_file)
    server.run(sockets=[listener])
    service.runtime.engine.dispose()
    return OK if server.started else TEMPORARY


def _enrol(options: argparse.Namespace) -> int:
    service = assemble(_settings(options))
    application_ = enrolment.read(options.file.read_text(encoding="utf-8"), service.runtime)
    _say(f"authority  {application_.authority}\nname       {application_.name}\ncountry    {application_.country}")
    for key in application_.keys:
        _say(f"key        {key.id}  {key.use} ({key.alg})")
    _say(f"fingerprint of its authority key:\n  {application_.spelt}")
    if not _confirmed(options.fingerprint, application_):
        return _fail(
            "the fingerprint is not the one of this file",
            "ask the authority, by a way the file did not come, and compare all of it",
            REFUSED,
        )
    earlier = enrolment.admitted(application_.statement, service.runtime)
    entry = earlier or enrolment.admit(
        service.runtime.unit_of_work(), application_.statement, origin=service.state.origin, at=now()
    )
    try:
        service.sequencer.run_once()
    except NotElected:
        pass  # a server is running and publishes it
    finally:
        service.sequencer.stop()
    record = ledger.wait_for_record(service.runtime.engine, entry, _PUBLISHED_WITHIN)
    _say(f"{'was enrolled before' if earlier else 'enrolled'}: entry {record.index} of {service.state.origin}")
    service.runtime.engine.dispose()
    return OK


def _check_config(options: argparse.Namespace) -> int:
    settings = _settings(options)
    wrong = [f"{name} is none of the service's variables" for name in unknown_variables()]
    if not isinstance(settings.store, Path):
        wrong += [f"the bucket, {each.name}: {each.told}" for each in probe(settings.store) if not each.holds]
    if not state.is_made(settings):
        _say(f"no state in {settings.state} yet: `init` or `serve` makes it")
        return _verdict(wrong)
    service = assemble(settings)
    wrong += [f"{name} does not answer" for name in health.missing(service.runtime)]
    if not migrate.is_current(service.runtime.engine):
        wrong.append("the database has another schema: run `migrate`")
    wrong += unsafe(service.runtime.engine)
    _say(f"origin      {service.state.origin}\npublic URL  {settings.public_url}\nstate       {settings.state}")
    _say(f"database    {service.runtime.engine.url.render_as_string()}\nstore       {settings.store}")
    _say(f"TLS         {settings.tls}")
    service.runtime.engine.dispose()
    return _verdict(wrong)


def _verdict(wrong: Sequence[str]) -> int:
    for each in wrong:
        _fail(each, "", USAGE)
    if not wrong:
        _say("all is well")
    return USAGE if wrong else OK


class _Server(uvicorn.Server):
    """uvicorn, which says when it accepts connections."""

    def __init__(self, config: uvicorn.Config, service: Service, ready_file: Path | None) -> None:
        super().__init__(config)
        self._service, self._ready_file = service, ready_file
        self._renewing: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as uvicorn calls it
        """End in order, and with code 0: uvicorn would raise the signal once more at the end."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, then say so."""
        await super().startup(sockets)
        if self.config.ssl is not None:
            self._renewing = asyncio.create_task(self._renew(self.config.ssl))
        if self._ready_file is not None and self.started:
            await asyncio.to_thread(self._write_ready, self._ready_file)

    async def _renew(self, context: ssl.SSLContext) -> None:
        """Take up a renewed certificate, ours or one that was put in its files, without a restart."""
        settings = self._service.runtime.settings
        while True:
            await asyncio.sleep(_RENEWAL)
            try:
                tls = await asyncio.to_thread(state.certificate, settings, now())
                if tls is not None:
                    context.load_cert_chain(tls.server_cert, tls.server_key)
            except (CustodyError, OSError):
                logging.getLogger("rogatory.certificate").exception("the certificate was not renewed")

    def _write_ready(self, target: Path) -> None:
        service = self._service
        tls = service.state.tls
        facts = {
            "url": service.runtime.settings.public_url,
            "origin": service.state.origin,
            "log_keys": [str(key) for key in service.runtime.log_keys],
            "pid": os.getpid(),
        } | ({"ca": str(tls.ca_cert)} if tls else {})
        scratch = target.with_name(f".{target.name}.{os.getpid()}")
        scratch.write_text(json.dumps(facts) + "\n", encoding="ascii")
        scratch.replace(target)


def _config(service: Service, settings: Settings) -> uvicorn.Config:
    tls = service.state.tls
    behind = settings.tls is Tls.BEHIND_PROXY
    return uvicorn.Config(
        application.build(service.runtime, service.background),
        http=GuardedProtocol,
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=behind,
        forwarded_allow_ips="127.0.0.1" if behind else "",
        ssl_certfile=tls.server_cert if tls else None,
        ssl_keyfile=tls.server_key if tls else None,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=_GRACE,
        backlog=1024,
    )


def _listen(options: argparse.Namespace) -> tuple[socket.socket, Settings]:
    """A bound socket, and the settings with its port; first the socket, so that a taken port is found at once."""
    settings = _settings(options, port=options.port or None)
    port = settings.port if options.port != 0 else 0
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, port))
    except OSError as error:
        listener.close()
        raise OSError(f"cannot listen on {settings.host}:{port}: {error.strerror}") from error
    listener.set_inheritable(True)
    return listener, _settings(options, port=listener.getsockname()[1])


def _settings(options: argparse.Namespace, port: int | None = None) -> Settings:
    overrides: dict[str, Any] = {}
    if options.state is not None:
        overrides["state"] = options.state
    if port is not None:
        overrides["port"] = port
    if getattr(options, "behind_proxy", False):
        overrides["tls"] = Tls.BEHIND_PROXY
    return Settings.from_environment(**overrides)


def _announce(service: Service, settings: Settings) -> None:
    for what, path in service.state.made:
        _say(f"made {what}: {path}")
    _say(f"rogatory-server {VERSION}: {settings.public_url}, log {service.state.origin}")
    if service.state.tls is not None and settings.tls is Tls.AUTO:
        _say(f"clients pin {service.state.tls.ca_cert}")
    _say_log_keys(service)


def _say_log_keys(service: Service) -> None:
    _say("keys of the log, to be told to every authority by another way (rogatory trust init compares them):")
    for key in service.runtime.log_keys:
        _say(f"  {fingerprint(key.full_id)}")


def _confirmed(given: str | None, application_: enrolment.Application) -> bool:
    """Whether the operator has compared the fingerprint."""
    if given is None:
        if not sys.stdin.isatty():
            return False
        given = input("type the fingerprint as the authority told it to you: ")
    return "".join(given.split()).lower() == application_.fingerprint


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _fail(error: str, hint: str, code: int) -> int:
    sys.stderr.write(f"error: {error}\n" + (f"hint: {hint}\n" if hint else ""))
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rogatory-server",
        description="The Rogatory service: authorities exchange sealed evidence, and everybody can check the record.",
        epilog="Settings are environment variables ROGATORY_*: docs/operations/settings.md. "
        "Exit codes: 0, 2 usage or settings, 5 does not answer now, 7 refused.",
    )
    parser.add_argument("--version", action="version", version=f"rogatory-server {VERSION}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--state", type=Path, metavar="DIR", help="state directory (default: ROGATORY_STATE, or ./var)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, function, text in (
        ("init", _init, "make the state: keys, certificate, database, store; repeatable"),
        ("migrate", _migrate, "bring the database to the schema of this version"),
        ("check-config", _check_config, "try settings, database, store, keys and certificate, and say what is wrong"),
    ):
        each = commands.add_parser(name, parents=[common], help=text, description=text)
        each.set_defaults(command=function)
    _add_serve(commands.add_parser("serve", parents=[common], help="run the service over HTTPS; makes a missing state"))
    _add_enrol(
        commands.add_parser("enrol", parents=[common], help="admit an authority after comparing its fingerprint")
    )
    return parser


def _add_serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, help="port to listen on; 0 takes a free one (default: ROGATORY_PORT)")
    parser.add_argument("--ready-file", type=Path, metavar="PATH", help="written, as JSON, once connections are taken")
    parser.add_argument(
        "--behind-proxy", action="store_true", help="speak plain HTTP to a proxy of yours that speaks TLS"
    )
    parser.set_defaults(command=_serve)


def _add_enrol(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="enrolment file that the authority made")
    parser.add_argument(
        "--fingerprint", metavar="HEX", help="what the authority told you of its key, by another way than the file came"
    )
    parser.set_defaults(command=_enrol)


if __name__ == "__main__":
    cli()
