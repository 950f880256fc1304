"""Kept cosignatures: each by a key that was let in, of a checkpoint of this log, at the time that is noted.

That one was taken away cannot be seen here: nothing speaks of it but whoever made it.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.log_models import CheckpointRow, CosignatureRow, LedgerRow
from app.services.fsck.findings import Findings
from app.services.runtime import Runtime
from custody import entry as entries
from custody import leaf, witness
from custody.note import VerifierKey, encode_note, parse_note


def check(session: Session, runtime: Runtime, findings: Findings) -> None:
    """Verify every cosignature that is kept."""
    keys = _let_in(session, runtime, findings)
    query = select(CosignatureRow, CheckpointRow.note).outerjoin(
        CheckpointRow, CheckpointRow.size == CosignatureRow.size
    )
    for row, note in session.execute(query):
        where = f"cosignature of {row.size} by {row.key[:16]}"
        if note is None or row.key not in keys:
            found = "no such checkpoint" if note is None else "a key that no entry let in"
            findings.add("cosignatures", where, "a checkpoint of this log, cosigned by a key that was let in", found)
            continue
        with findings.guarded("cosignatures.line", where):
            signed = encode_note(parse_note(note).text, [row.line.decode()])
            _, time = witness.cosignatures(signed, [keys[row.key]])[keys[row.key]]
            findings.expect("cosignatures.time", where, time, row.time)


def _let_in(session: Session, runtime: Runtime, findings: Findings) -> dict[str, VerifierKey]:
    """Every key that the service's chain has named as a witness's, by full id; removed ones too."""
    found = {}
    chain = leaf.registry_handle(runtime.origin, leaf.SERVICE).hex()
    for seq, body in session.execute(select(LedgerRow.seq, LedgerRow.body).where(LedgerRow.chain == chain)):
        if b'"event":"witness.added"' in body:
            with findings.guarded("ledger.body", f"entry {seq} of the service"):
                key = VerifierKey.parse(entries.parse(body).noted["vkey"])
                found[key.full_id] = key
    return found
