"""What a client shows at the token endpoint: its own signature, for a short life. Source: docs/spec/tokens.md."""

import base64
import json
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from custody.keys import SigningKey

_ASSERTION_LIFE = 50


def make_assertion(key: SigningKey, *, client: str, audience: str, at: datetime) -> str:
    """A `private_key_jwt` assertion, good for one login within 50 seconds. Specification: docs/spec/tokens.md."""
    issued = int(at.timestamp())
    header = {"alg": "ES256", "kid": key.public.id, "typ": "client-authentication+jwt"}
    claims = {
        "aud": audience,
        "exp": issued + _ASSERTION_LIFE,
        "iat": issued,
        "iss": client,
        "jti": secrets.token_urlsafe(24),
        "sub": client,
    }
    signed = f"{_part(header)}.{_part(claims)}"
    return f"{signed}.{_base64url(key.sign(signed.encode()))}"


def _part(fields: Mapping[str, Any]) -> str:
    return _base64url(json.dumps(fields, separators=(",", ":")).encode())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
