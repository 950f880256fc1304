"""The server process: uvicorn as this service runs it."""

import argparse
import asyncio
import json
import logging
import math
import os
import socket
import ssl
import sys
from pathlib import Path
from types import FrameType
from typing import Any, Final

import uvicorn
from fastapi import FastAPI

from app import VERSION
from app.api import application
from app.api.edge import start_logging
from app.api.protocol import DEADLINE, GuardedProtocol
from app.main.assembly import Service, assemble, now
from app.main.commands import say_log_keys
from app.main.options import OK, TEMPORARY, say, settings_of
from app.main.witnesses import without_witnesses
from app.services import state
from app.services.runtime import Runtime
from app.settings import Settings, Tls
from custody.errors import CustodyError

_GRACE: Final = 10
"""Seconds for requests that were broken off to keep what they have and to answer."""

_KEEP_ALIVE: Final = 30
_RENEWAL: Final = 3600


if sys.platform != "win32":
    import uvloop

    class _PatientLoop(uvloop.Loop):
        async def create_server(self, *given: Any, **more: Any) -> asyncio.AbstractServer:  # type: ignore[override]
            if more.get("ssl") is not None:
                more.setdefault("ssl_handshake_timeout", DEADLINE)
            return await super().create_server(*given, **more)


def serve(options: argparse.Namespace) -> int:
    """Run the service until it is told to end: the command."""
    listener, settings = listen(options)
    service = assemble(settings)
    start_logging(settings.log_level.value)
    _announce(service, settings)
    if options.without_witnesses:
        without_witnesses(service)
    server = Server(configured(service, settings), service, options.ready_file)
    server.run(sockets=[listener])
    service.runtime.engine.dispose()
    return OK if server.started else TEMPORARY


def create_app(runtime: Runtime) -> FastAPI:
    """The application over a runtime, with nothing beside it."""
    return application.build(runtime)


class Server(uvicorn.Server):
    """uvicorn, which says when it accepts connections, and drains before it ends.

    Told to end, it takes no more connections and lets requests under way go on for as long as the setting `drain` says.
    Then bodies that still come or go are broken off; what has arrived of uploads is made durable and answered with
    503, and the log takes up what was committed. Told twice, it ends at once: what was acknowledged is durable anyway.
    """

    def __init__(self, config: uvicorn.Config, service: Service, ready_file: Path | None) -> None:
        super().__init__(config)
        self._service, self._ready_file = service, ready_file
        self._renewing: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as uvicorn calls it
        """End in order, and with code 0: uvicorn would raise the signal once more at the end."""
        if self.should_exit:
            os._exit(128 + sig)
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, then end."""
        drain = self._service.runtime.settings.drain.total_seconds()
        breaking = asyncio.get_running_loop().call_later(drain, self.config.app.state.traffic.break_off)  # type: ignore[union-attr]
        await super().shutdown(sockets)
        breaking.cancel()

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


def patient_loop() -> asyncio.AbstractEventLoop:
    """An event loop that waits no longer for the beginning of TLS than for the headers of a request."""
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    return _PatientLoop()


def configured(service: Service, settings: Settings) -> uvicorn.Config:
    """How uvicorn is to run the service."""
    tls = service.state.tls
    behind = settings.tls is Tls.BEHIND_PROXY
    return uvicorn.Config(
        application.build(service.runtime, service.background),
        http=GuardedProtocol,
        loop="app.main.server:patient_loop",
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
        timeout_graceful_shutdown=math.ceil(settings.drain.total_seconds()) + _GRACE,
        backlog=1024,
    )


def listen(options: argparse.Namespace) -> tuple[socket.socket, Settings]:
    """A bound socket, and the settings with its port; first the socket, so that a taken port is found at once."""
    settings = settings_of(options, port=options.port or None)
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
    return listener, settings_of(options, port=listener.getsockname()[1])


def _announce(service: Service, settings: Settings) -> None:
    for what, path in service.state.made:
        say(f"made {what}: {path}")
    say(f"rogatory-server {VERSION}: {settings.public_url}, log {service.state.origin}")
    if service.state.tls is not None and settings.tls is Tls.AUTO:
        say(f"clients pin {service.state.tls.ca_cert}")
    say_log_keys(service)
