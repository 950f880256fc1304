"""Fetching a bundle or an auditor's export: asked for by a signed act, which stands in what is fetched."""

import base64
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from custody.bundle import open_bundle
from custody.packing import split_lines
from rogatory.bodies import room_error
from rogatory.connection import AnswerMalformed, Connection
from rogatory.errors import RolledBack
from rogatory.exchanges import Exchange
from rogatory.lodging import Lodge
from rogatory.private_files import FileExists, sync_directory
from rogatory.records import Record
from rogatory.statements import Speaker

_RECORD = "Rogatory-Record"


class BundleStale(RolledBack):
    """A bundle does not hold the act that asked for it: it is of an earlier day, or of another exchange."""

    code = "bundle-stale"


def fetch_bundle(
    exchange: Exchange,
    target: Path,
    *,
    form: str,
    connection: Connection,
    lodge: Lodge,
    speaker: Speaker,
    progress: Callable[[int], None] = lambda _: None,
) -> Record:
    """Fetch the chain of an exchange as one file, and keep the record of having asked for it.

    Of the file only this is checked here, that it reaches as far as the record does: an older one could be right in
    everything and leave out what came since. Whether it holds is for `custody.verify_bundle` and a trust file to say.

    The target does not exist yet; `form` is `bundle`, or `export` for auditors, with a table; `progress` is told of
    every byte that arrived.

    Raises:
        FileExists: The target is there already.
        RecordRefused: The service does not show that it recorded the act.
        BundleStale: The act is not in the file.
        FormatError: The file is no bundle.
        DiskFull, LineDown: Nothing is left under the target's name.
    """
    if target.exists():
        raise FileExists(f"{target} is there already, and is not overwritten")
    said = speaker.act("log.exported", exchange.handle, detail={"form": form})
    body = json.dumps({"envelope": said.envelope.decode()}).encode()
    headers = {"Content-Type": "application/json", "Idempotency-Key": secrets.token_hex(16)}
    path = f"/v1/exchanges/{exchange.id}/export"
    partial = target.with_name(f".{target.name}.partial")
    try:
        with connection.stream("POST", path, content=body, headers=headers) as answer:
            fields = _record_fields(answer.headers.get(_RECORD))
            with partial.open("wb") as file:
                for data in answer.iter_raw(1024 * 1024):
                    file.write(data)
                    progress(len(data))
                file.flush()
                os.fsync(file.fileno())
        record, _ = lodge.take(fields, event="log.exported", said=said)
        _check_holds(partial, record)
        partial.rename(target)
        sync_directory(target.absolute().parent)
    except OSError as error:
        raise room_error(error, target) from error
    finally:
        partial.unlink(missing_ok=True)
    return record


def _check_holds(path: Path, record: Record) -> None:
    bundle = open_bundle(path)
    try:
        lines = split_lines(bundle.read("entries.jsonl")) if "entries.jsonl" in bundle else []
    finally:
        bundle.close()
    if record.entry not in lines:
        raise BundleStale(
            "what the service hands out does not hold the act that asked for it, which its record shows in the log",
            hint="ask again; if it stays so, what came since is being kept from you",
        )


def _record_fields(text: str | None) -> object:
    try:
        return json.loads(base64.b64decode(text or "", validate=True))
    except ValueError as error:
        raise AnswerMalformed(f"the answer bears no record in {_RECORD}") from error
