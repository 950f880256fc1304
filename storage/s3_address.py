"""Where an S3 store lies: bucket, prefix, endpoint. Never who may: credentials are boto3's to find."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qsl, urlencode, urlsplit

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z")
_PREFIX = re.compile(r"(?:[a-z0-9][a-z0-9._-]*(?:/[a-z0-9][a-z0-9._-]*)*)?\Z")
_REGION = re.compile(r"[a-z0-9-]{1,40}\Z")
_MAX_PREFIX = 100


@dataclass(frozen=True, slots=True)
class S3Address:
    """A place in a bucket.

    Attributes:
        bucket: Its name.
        prefix: What every key begins with, without a slash at the end; "" for the whole bucket.
        endpoint: `https://host` or `https://host:port`; "" for AWS itself.
        region: "" for whatever boto3's own configuration says.
    """

    bucket: str
    prefix: str = ""
    endpoint: str = ""
    region: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `s3://bucket/prefix?endpoint=https://host:port&region=name`.

        Raises:
            ValueError: What was expected instead.
        """
        try:
            url = urlsplit(text)
            fields = parse_qsl(url.query, keep_blank_values=True, strict_parsing=bool(url.query))
        except ValueError:
            raise ValueError("s3://bucket/prefix?endpoint=https://host") from None
        known = dict(fields)
        if "@" in url.netloc:
            raise ValueError("no credentials in the URL: boto3 reads them from its own environment and files")
        if url.scheme != "s3" or url.fragment or len(known) != len(fields) or known.keys() - {"endpoint", "region"}:
            raise ValueError("s3://bucket/prefix, then endpoint= and region= at most once each")
        prefix = url.path.strip("/")
        if not _BUCKET.match(url.netloc):
            raise ValueError("a bucket's name of 3 to 63 characters a-z 0-9 . - behind s3://")
        if len(prefix) > _MAX_PREFIX or not _PREFIX.match(prefix):
            raise ValueError(f"a prefix of at most {_MAX_PREFIX} characters a-z 0-9 . _ - in segments")
        if not _REGION.match(known.get("region", "x")):
            raise ValueError("a region such as eu-central-1")
        endpoint = _endpoint(known["endpoint"]) if "endpoint" in known else ""
        return cls(url.netloc, prefix, endpoint, known.get("region", ""))

    def __str__(self) -> str:
        query = urlencode({k: v for k, v in (("endpoint", self.endpoint), ("region", self.region)) if v}, safe=":/[]")
        return f"s3://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "") + (f"?{query}" if query else "")


def _endpoint(text: str) -> str:
    """The endpoint itself; without TLS only on this machine, since answers carry no signature."""
    expected = "endpoint=https://host or https://host:port; http:// to this machine only"
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError(expected) from None
    plain = url.scheme == "http" and url.hostname is not None and _is_loopback(url.hostname)
    clean = not (url.path.strip("/") or url.query or url.fragment or "@" in url.netloc)
    if not (url.scheme == "https" or plain) or not url.hostname or port == 0 or not clean:
        raise ValueError(expected)
    return f"{url.scheme}://{url.netloc}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
