"""Fetching revocation lists from where certificates say they are.

Those addresses were chosen by others, so a fetch must not become a way into the operator's own network: only HTTP,
only to the address that was looked at, and to no private one, unless the time-stamping authority itself stands there.
"""

import ipaddress
import socket
from collections.abc import Iterator
from time import monotonic
from typing import Final
from urllib.parse import urljoin, urlsplit

import httpx
from cryptography import x509

from custody.timestamp import MAX_VALIDATION, Reply

_WITHIN: Final = 30.0
_STEP: Final = 5.0
_LONGEST: Final = 2048
_MOST: Final = 16
_REDIRECTS: Final = 3
_OK: Final = 200
_SCHEMES: Final = {"http": 80, "https": 443}
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class ListSilent(Exception):
    """A revocation list cannot be fetched, or must not be."""


def points(reply: Reply) -> list[str]:
    """Where the certificates of a reply say that revocation lists are, each once."""
    found: list[str] = []
    for certificate in reply.certificates:
        try:
            named = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
            continue
        names = [name.value for point in named for name in point.full_name or () if isinstance(name.value, str)]
        found += [name for name in names if name.startswith(("http://", "https://")) and len(name) <= _LONGEST]
    return list(dict.fromkeys(found))[:_MOST]


def fetch(url: str, tsa: str) -> bytes:
    """What lies at an address that a certificate of an authority names.

    Args:
        url: The address.
        tsa: The authority's own, by which the operator has said which network is meant.

    Raises:
        ListSilent: Nothing does, or it must not be asked.
    """
    near = {_kind(each) for each in _resolved(*_target(tsa))}
    allowed = {"public"} | ({"private"} if near & {"private", "loopback"} else set()) | (near & {"loopback"})
    end = monotonic() + _WITHIN
    for _ in range(_REDIRECTS + 1):
        answer = _get(url, allowed, end)
        if isinstance(answer, bytes):
            return answer
        url = urljoin(url, answer)
    raise ListSilent(f"more than {_REDIRECTS} redirects")


def _get(url: str, allowed: set[str], end: float) -> bytes | str:
    """The body, or where it has moved. The line goes to the very address that was looked at."""
    host, port = _target(url)
    found = list(_resolved(host, port))
    if not found or not all(_kind(each) in allowed for each in found):
        raise ListSilent(f"{host} is at no public address")
    parts = urlsplit(url)
    place = f"[{found[0]}]" if found[0].version == 6 else str(found[0])
    asked = parts._replace(netloc=f"{place}:{port}").geturl()
    data = bytearray()
    try:
        with (
            httpx.Client(timeout=_STEP, trust_env=False) as line,
            line.stream("GET", asked, headers={"Host": parts.netloc}, extensions={"sni_hostname": host}) as answer,
        ):
            if answer.is_redirect:
                return str(answer.headers.get("Location", ""))
            if answer.status_code != _OK:
                raise ListSilent(f"{host} answers {answer.status_code}")
            for piece in answer.iter_raw():
                data += piece
                if len(data) > MAX_VALIDATION or monotonic() > end:
                    raise ListSilent(f"the answer of {host} is too long, or takes too long")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ListSilent(f"{host} does not answer: {error.__class__.__name__}") from error
    return bytes(data)


def _target(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ListSilent("no address") from error
    if parts.scheme not in _SCHEMES or not host or "@" in parts.netloc:
        raise ListSilent("no address of HTTP")
    return host, port or _SCHEMES[parts.scheme]


def _resolved(host: str, port: int) -> Iterator[_Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for *_, place in found:
            yield ipaddress.ip_address(place[0])
    except (OSError, UnicodeError, ValueError) as error:
        raise ListSilent(f"{host} is nowhere") from error


def _kind(address: _Address) -> str:
    """`public`, `private` or `loopback`; any other is never asked."""
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_loopback:
        return "loopback"
    if address.is_link_local or address.is_multicast or address.is_unspecified or address.is_reserved:
        return "none"
    return "public" if address.is_global else "private"
