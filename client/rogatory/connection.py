"""The line to the service: HTTPS, a token that is renewed in time, retries that change nothing twice.

Requests that are safe to repeat are repeated with growing pauses while the line or the service is down. POSTs bear an
Idempotency-Key, one for all tries, so that repeating them yields the same answer. Tokens open doors and nothing
else; they live in memory only.
"""

import json
import random
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from custody.errors import CustodyError
from custody.keys import SigningKey
from custody.text import from_time
from rogatory import errors
from rogatory.assertion import make_assertion
from rogatory.statements import utc_now

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_RENEW_BEFORE = 60.0
_MAX_SKEW = 60.0
_TRIES = 7
_LONGEST_PAUSE = 15.0
_MAX_JSON = 32 * 1024 * 1024
_TEMPORARY = frozenset({429, 502, 503, 504})
_TRANSFER_WAITS = 3600.0
_LOOPBACK: dict[str, None] = {"all://127.0.0.1": None, "all://localhost": None, "all://[::1]": None}


class LineDown(errors.Temporary):
    """The service cannot be reached, also after several tries."""

    code = "line-down"


class CertificateRefused(errors.AuthenticationFailed):
    """Whoever answers cannot show a certificate for the name we asked for."""

    code = "certificate-refused"


class AnswerMalformed(errors.Malformed):
    """The service answers what the interface does not have."""

    code = "answer-malformed"


class ClockDiffers(errors.TimeProblem):
    """This machine's clock is so far off that the service cannot accept our signatures."""

    code = "clock-differs"


class Connection:
    """One service, as one principal (or as nobody, for what is open to anyone).

    Args:
        server: Base URL, https.
        ca_file: PEM of the CA that signed the service's certificate; the system's CAs if None.
        principal: Our id; None to use only what is open.
        login_key: Gives our ES256 key when a token is needed.
        now: The clock.
        sleep: Waits between tries.
        transport: Stands in for the network in tests.

    Raises:
        UsageProblem: The URL is not https.
    """

    def __init__(
        self,
        server: str,
        *,
        ca_file: Path | None = None,
        principal: str | None = None,
        login_key: Callable[[], SigningKey] | None = None,
        now: Callable[[], datetime] = utc_now,
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        if urlsplit(server).scheme != "https":
            raise errors.UsageProblem(
                f"the service's address is {server[:80]!r}, expected one that begins with https://"
            )
        self._principal, self._login_key = principal, login_key
        self._now, self._sleep = now, sleep
        self._token, self._token_ends = "", 0.0
        self._turn = threading.Lock()
        self._service: dict[str, Any] | None = None
        self._patience, self._reached = 0.0, False
        context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
        self._http = httpx.Client(
            base_url=server,
            verify=context,
            transport=transport,
            mounts=_LOOPBACK,
            timeout=httpx.Timeout(60.0, connect=15.0),
            headers={
                "User-Agent": "rogatory",
                "Accept-Encoding": "identity",
            },  # ranges and digests are of bytes as they are
        )

    def __repr__(self) -> str:
        return f"Connection({str(self._http.base_url)!r}, principal={self._principal!r})"

    def close(self) -> None:
        """Close the line and forget the token."""
        self._token = ""
        self._http.close()

    def service(self) -> dict[str, Any]:
        """What the service says of itself (`GET /v1/service`), asked once."""
        if self._service is None:
            found = self.get_json("/v1/service", authenticated=False)
            if not all(isinstance(found.get(name), str) for name in ("origin", "token_endpoint", "issuer")):
                raise AnswerMalformed("what the service says of itself lacks origin, token_endpoint or issuer")
            if urlsplit(found["token_endpoint"]).scheme != "https":
                raise AnswerMalformed("the service wants tokens to be asked for over another line than https")
            self._service = found
        return self._service

    # ------------------------------------------------------------ requests

    @contextmanager
    def patient(self) -> Iterator[None]:
        """Inside, an outage of up to an hour is waited for, if the service was reached before it."""
        before, self._patience = self._patience, _TRANSFER_WAITS
        try:
            yield
        finally:
            self._patience = before

    def waits_for(self, error: Exception, waited: float) -> bool:
        """Whether to try once more after so many seconds of pauses, beyond the tries that each request has."""
        passing = isinstance(error, LineDown) or getattr(error, "status", 0) in _TEMPORARY
        return passing and self._reached and waited < self._patience

    def _is_over(self, error: Exception, tries: int, waited: float) -> bool:
        return tries >= _TRIES and not self.waits_for(error, waited)

    def get_json(self, path: str, *, authenticated: bool = True, **params: str | int | None) -> dict[str, Any]:
        """The JSON object at a path."""
        return read_json(self.request("GET", path, params=params, authenticated=authenticated))

    def post_json(self, path: str, body: Mapping[str, Any] | None, *, authenticated: bool = True) -> httpx.Response:
        """POST a JSON object (or nothing); repeated under one Idempotency-Key until it is answered."""
        headers = {"Idempotency-Key": secrets.token_hex(16)}
        content = b""
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body, ensure_ascii=False).encode()
        return self.request("POST", path, content=content, headers=headers, authenticated=authenticated)

    def pages(self, path: str, member: str, **params: str | int | None) -> Iterator[Any]:
        """The members of a list that comes in pages."""
        cursor: str | None = None
        while True:
            page = read_json(self.request("GET", path, params={**params, "cursor": cursor}))
            if not isinstance(page.get(member), list):
                raise AnswerMalformed(f"a page of {path} lacks its list {member}")
            yield from page[member]
            cursor = page.get("next")
            if not cursor:
                return

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int | None] | None = None,
        content: bytes | Callable[[], Iterator[bytes]] = b"",
        headers: Mapping[str, str] | None = None,
        authenticated: bool = True,
        repeat: bool = True,
        allow: frozenset[int] = frozenset(),
    ) -> httpx.Response:
        """Ask, and read the whole answer.

        `content` is the body, or what makes an iterator of it anew for each try; `repeat` says whether asking twice
        is harmless; `allow` are statuses of 400 and above that are an answer to the caller, not a refusal.

        Raises:
            ServiceRefusal: The service refuses; a leaf for what the status means.
            LineDown, CertificateRefused: It cannot be reached, or is not who it should be.
        """
        with self.stream(
            method,
            path,
            params=params,
            content=content,
            headers=headers,
            authenticated=authenticated,
            repeat=repeat,
            allow=allow,
        ) as answer:
            answer.read()
            return answer

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int | None] | None = None,
        content: bytes | Callable[[], Iterator[bytes]] = b"",
        headers: Mapping[str, str] | None = None,
        authenticated: bool = True,
        repeat: bool = True,
        allow: frozenset[int] = frozenset(),
    ) -> Iterator[httpx.Response]:
        """Ask, and hand over the answer while it still arrives; reading it is not repeated here."""
        given = {name: str(value) for name, value in (params or {}).items() if value is not None}
        tries, renewed, waited = 0, False, 0.0
        while True:
            tries += 1
            sent = dict(headers or {})
            if authenticated:
                sent["Authorization"] = f"Bearer {self._bearer()}"
            body = content() if callable(content) else content
            request = self._http.build_request(method, path, params=given or None, content=body or None, headers=sent)
            try:
                answer = self._send(request)
                refusal = self._refusal(answer, allow)
            except LineDown as error:
                if not repeat or self._is_over(error, tries, waited):
                    raise
                waited += self._pause(tries, None)
                continue
            if refusal is None:
                break
            if refusal.status == 401 and authenticated and not renewed:
                renewed, self._token = True, ""
                continue
            if refusal.status not in _TEMPORARY or not repeat or self._is_over(refusal, tries, waited):
                raise refusal
            waited += self._pause(tries, refusal.retry_after)
        try:
            yield answer
        except httpx.TransportError as error:
            raise LineDown(f"the line broke while an answer arrived: {_said(error)}") from error
        finally:
            answer.close()

    def _send(self, request: httpx.Request) -> httpx.Response:
        try:
            return self._http.send(request, stream=True)
        except httpx.TransportError as error:
            if _is_certificate(error):
                raise CertificateRefused(
                    f"the service's certificate is not accepted: {_said(error)}",
                    hint="name the CA of the service in the profile, as its operator gave it to you",
                ) from error
            raise LineDown(f"the service cannot be reached: {_said(error)}") from error

    def _refusal(self, answer: httpx.Response, allow: frozenset[int]) -> errors.ServiceRefusal | None:
        if answer.status_code < 400 or answer.status_code in allow:
            self._reached = True
            return None
        try:
            answer.read()
            problem = answer.json() if len(answer.content) < _MAX_JSON else None
        except httpx.TransportError as error:
            raise LineDown(f"the line broke while an answer arrived: {_said(error)}") from error
        except ValueError:
            problem = None
        finally:
            answer.close()
        return errors.from_problem(answer.status_code, problem, answer.headers)

    def _pause(self, tries: int, asked: float | None) -> float:
        """Wait between two tries; how long."""
        growing = min(_LONGEST_PAUSE, 0.25 * 2 ** min(tries, 10))
        pause = growing * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries
        pause = pause if asked is None else min(max(asked, 0.1), 60.0)
        self._sleep(pause)
        return pause

    # ------------------------------------------------------------ token

    def _bearer(self) -> str:
        with self._turn:  # several lanes share one token
            if not self._token or time.monotonic() > self._token_ends - _RENEW_BEFORE:
                self._log_in()
            return self._token

    def _log_in(self) -> None:
        if self._principal is None or self._login_key is None:
            raise errors.AuthenticationFailed(
                "this profile has no principal to log in as", hint="enrol a client or officer, name it in the profile"
            )
        service, key = self.service(), self._login_key()
        tries, waited = 0, 0.0
        while True:
            tries += 1
            form = {
                "grant_type": "client_credentials",
                "client_assertion_type": _ASSERTION_TYPE,
                "client_assertion": make_assertion(
                    key, client=self._principal, audience=service["issuer"], at=self._now()
                ),
            }
            request = self._http.build_request("POST", service["token_endpoint"], data=form)
            try:
                answer = self._send(request)
                answer.read()
            except LineDown as error:
                if self._is_over(error, tries, waited):
                    raise
                waited += self._pause(tries, None)
                continue
            refusal = errors.from_problem(answer.status_code, None, answer.headers)
            if answer.status_code not in _TEMPORARY or self._is_over(refusal, tries, waited):
                break
            waited += self._pause(tries, refusal.retry_after)
        self._take_token(answer)

    def _take_token(self, answer: httpx.Response) -> None:
        if answer.status_code != 200:
            if answer.status_code == 401:
                self._judge_clock()
            raise _token_problem(answer)
        found = read_json(answer)
        token, life = found.get("access_token"), found.get("expires_in")
        if not isinstance(token, str) or not isinstance(life, int):
            raise AnswerMalformed("the token endpoint answers without access_token or expires_in")
        self._token, self._token_ends = token, time.monotonic() + life

    def _judge_clock(self) -> None:
        """Say so if the reason for a refused login is likely our clock."""
        self._service = None
        said = self.service().get("time")
        try:
            ahead = (self._now() - from_time(said)).total_seconds() if isinstance(said, str) else 0.0
        except CustodyError:
            return
        if abs(ahead) > _MAX_SKEW:
            way = "ahead of" if ahead > 0 else "behind"
            raise ClockDiffers(
                f"this machine's clock is {abs(ahead):.0f} s {way} the service's, which refuses the login",
                hint="set the clock; signatures made with a wrong clock are refused",
            )


def read_json(answer: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer.

    Raises:
        AnswerMalformed: It holds none.
    """
    try:
        found = json.loads(answer.content)
    except ValueError as error:
        raise AnswerMalformed(f"the service answers {answer.status_code} without JSON") from error
    if not isinstance(found, dict):
        raise AnswerMalformed(f"the service answers {type(found).__name__}, expected an object")
    return found


def _token_problem(answer: httpx.Response) -> errors.ServiceRefusal:
    try:
        found = json.loads(answer.content)
    except ValueError:
        found = {}
    if answer.status_code in (400, 401) and isinstance(found, dict) and isinstance(found.get("error"), str):
        return errors.ServiceRefusedToken(
            f"the service refuses the login: {found['error']}",
            status=answer.status_code,
            code="token-refused",
            hint="is this client enrolled, and neither it nor its login key suspended or revoked?",
        )
    return errors.from_problem(answer.status_code, found, answer.headers)


def _is_certificate(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        cause = cause.__cause__ or cause.__context__
    return "CERTIFICATE_VERIFY_FAILED" in str(error)


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
