"""Whoever owns the machine edits one thing, anywhere: the check finds it. Left alone, it finds nothing."""

import shutil
import sqlite3
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import Boolean, Enum, Integer, LargeBinary

from app.db.columns import Base, Time
from app.main import open_store
from app.services.fsck import check
from storage.interface import StoreUnavailable
from tests.app.fsck.conftest import findings
from tests.app.running import Running

NOT_DERIVABLE = {
    "downloads.id": "a secret of its holder, of which the record must know nothing",
    "downloads.bytes_out": "may rise after the download was closed; that it fell has a test of its own",
    "uploads.store_token": "of what is complete or ended, nobody asks; of open ones a test does",
    "uploads.principal": "whoever began it; the record names the authority's package only",
    "uploads.fence": "counts requests",
    "uploads.way": "how the bytes came; the record tells that they came",
    "uploads.expires_at": "moves with each request",
    "uploads.created_at": "shown to nobody",
}
"""Columns that nothing in the record speaks of."""

PASSING = {
    "cosignatures", "idempotency", "partial_parts", "partial_uploads", "pending", "sequencer_term", "spent_tokens",
    "stamps", "validation",
}  # fmt: skip
"""Tables of what is under way; `pending`, `cosignatures`, `stamps` and `validation` have tests of their own."""

TABLES = {name: table for name, table in sorted(Base.metadata.tables.items()) if name not in PASSING}
COLUMNS = [f"{name}.{column.name}" for name, table in TABLES.items() for column in table.columns]


@contextmanager
def edited(lived):
    """The database, open to whoever has every right; put back at the end."""
    path, kept = lived.settings.state / "rogatory.db", lived.directory / "kept.db"
    lived.runtime.engine.dispose()
    shutil.copy(path, kept)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA ignore_check_constraints=ON")
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        yield connection
    finally:
        connection.close()
        lived.runtime.engine.dispose()
        for each in path.parent.glob("rogatory.db-*"):
            each.unlink()
        shutil.move(kept, path)


def told(found):
    """What our own checks say; what SQLite says of its file does not count, PostgreSQL would not."""
    return [each for each in found if each.what != "database"]


def another(column, value):
    """A value of the same kind that is not this one."""
    kind = column.type
    if isinstance(kind, Enum):
        return next(each for each in kind.enums if each != value)
    if isinstance(kind, Boolean):
        return 1 - value
    if isinstance(kind, LargeBinary):
        return value[:-1] + bytes([value[-1] ^ 1])
    if isinstance(kind, Integer):
        return value + 1_000_003  # taken by no other row
    value = value or "0"
    at = 18 if isinstance(kind, Time) else len(value) - 1
    return value[:at] + ("1" if value[at] == "0" else "0") + value[at + 1 :]


def test_what_the_service_has_made_is_found_sound(lived):
    assert findings(lived.runtime, objects=True) == []


def test_every_table_of_the_matter_has_rows_to_edit(lived):
    with edited(lived) as database:
        counts = {name: database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in TABLES}
    assert [name for name, count in counts.items() if not count] == []


@pytest.mark.parametrize("column", [each for each in COLUMNS if each not in NOT_DERIVABLE])
def test_an_edit_of_any_column_is_found(lived, column):
    table, name = column.split(".")
    with edited(lived) as database:
        row, value = (
            database.execute(
                f'SELECT rowid, "{name}" FROM "{table}" WHERE "{name}" IS NOT NULL AND "{name}" <> \'\' ORDER BY rowid'
            ).fetchone()
            or database.execute(f'SELECT rowid, "{name}" FROM "{table}"').fetchone()
        )
        changed = another(TABLES[table].columns[name], value)
        database.execute(f'UPDATE "{table}" SET "{name}" = ? WHERE rowid = ?', (changed, row))
        assert told(findings(lived.runtime)) != []


@pytest.mark.parametrize("table", [name for name in TABLES if name != "checkpoints"])
def test_a_row_taken_away_is_found(lived, table):
    with edited(lived) as database:
        database.execute(f'DELETE FROM "{table}" WHERE rowid = (SELECT min(rowid) FROM "{table}")')
        assert told(findings(lived.runtime)) != []


@pytest.mark.parametrize("table", [name for name in TABLES if name != "put_headers"])
def test_a_row_put_in_is_found(lived, table):
    """A copy of the last one under another key; a header that nobody grants is no lie."""
    columns = [column.name for column in TABLES[table].columns]
    with edited(lived) as database:
        last = database.execute(f'SELECT * FROM "{table}" ORDER BY rowid DESC').fetchone()
        cursor = database.execute(f'SELECT * FROM "{table}" LIMIT 0')
        row = dict(zip([each[0] for each in cursor.description], last, strict=True))
        unique = {column.name for column in TABLES[table].primary_key}
        unique |= {column.name for column in TABLES[table].columns if column.unique}
        for name in unique:
            row[name] = another(TABLES[table].columns[name], row[name]) if row[name] is not None else None
        names = ", ".join(f'"{name}"' for name in columns)
        marks = ", ".join("?" * len(columns))
        for index in database.execute(f'PRAGMA index_list("{table}")').fetchall():
            if index[3] == "c":
                database.execute(f'DROP INDEX "{index[1]}"')
        if table == "ledger":
            row["seq"] += 1
        database.execute(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', [row[name] for name in columns])
        assert told(findings(lived.runtime)) != []


def test_an_entry_that_waits_for_nothing_is_found(lived):
    with edited(lived) as database:
        database.execute("INSERT INTO pending SELECT min(id) FROM ledger")
        assert [each.what for each in told(findings(lived.runtime))] == ["pending"]


def test_an_open_upload_is_held_to_what_it_has_kept(lived):
    with edited(lived) as database:
        database.execute("UPDATE uploads SET store_token = replace(store_token, '~', '~0') WHERE state = 'open'")
        assert {each.what for each in told(findings(lived.runtime))} == {"upload"}
    with edited(lived) as database:
        database.execute('UPDATE uploads SET "offset" = "offset" + 1 WHERE state = \'open\'')
        assert {each.what for each in told(findings(lived.runtime))} == {"upload"}


PARTIAL_EDITS = {
    "a window that stands further": 'UPDATE partial_uploads SET "offset" = "offset" + 16777216 WHERE "offset" > 16777216',
    "a window that stands beyond its end": 'UPDATE partial_uploads SET "offset" = length + 1 WHERE start > 0',
    "a window that moved": "UPDATE partial_uploads SET start = 16777216 WHERE start > 0",
    "a window off the grid": "UPDATE partial_uploads SET start = start + 1 WHERE start = 0",
    "a part that is gone": "DELETE FROM partial_parts WHERE number = 1",
    "a part of another number": "UPDATE partial_parts SET number = 4 WHERE number = 3",
    "a part of another size": "UPDATE partial_parts SET size = size - 1 WHERE number = 3",
    "a piece that stands further": 'UPDATE partial_uploads SET "offset" = "offset" + 1 WHERE start IS NULL',
    "a piece of another store": "UPDATE partial_uploads SET store_token = 'x' WHERE start IS NULL",
}


@pytest.mark.parametrize("how", PARTIAL_EDITS)
def test_an_open_partial_upload_is_held_to_what_it_has_kept(lived, how):
    with edited(lived) as database:
        assert database.execute(PARTIAL_EDITS[how]).rowcount == 1
        assert [each.what for each in told(findings(lived.runtime))] == ["upload"]


def test_another_digest_of_a_window_is_found_by_reading_it(lived):
    with edited(lived) as database:
        database.execute("UPDATE partial_parts SET sha256 = zeroblob(32) WHERE number = 1")
        assert [each.what for each in told(findings(lived.runtime, objects=True))] == ["upload"]


def test_a_download_of_which_less_went_out_than_its_entry_says_is_found(lived):
    with edited(lived) as database:
        database.execute("UPDATE downloads SET bytes_out = bytes_out - 1 WHERE closed")
        assert [each.what for each in told(findings(lived.runtime))] == ["downloads.bytes_out"]


def test_two_entries_that_changed_places_are_found(lived):
    with edited(lived) as database:
        rows = database.execute("SELECT id, body FROM ledger WHERE seq IN (3, 4) ORDER BY chain, seq").fetchall()[:2]
        for (one, _), (_, body) in zip(rows, reversed(rows), strict=True):
            database.execute("UPDATE ledger SET body = ? WHERE id = ?", (body, one))
        assert told(findings(lived.runtime)) != []


def test_keys_of_another_log_are_found(lived, tmp_path):
    other = Running(tmp_path)
    other.stop()
    stranger = lived.runtime.__class__(**{**vars(lived.runtime), "log_keys": other.runtime.log_keys})
    found = {each.what for each in findings(stranger)}
    assert {"log keys", "checkpoints.note"} <= found


# ---------------------------------------------------------------- the store


def stored(lived, room):
    """Files of the store that a row names."""
    return sorted(path for path in (lived.settings.store / room).rglob("*") if path.is_file() and path.stat().st_size)


EDITS = {
    "flipped": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "cut": lambda data: data[:-1],
    "emptied": lambda data: b"",
    "lengthened": lambda data: data + b"\0",
}


@contextmanager
def tampered(path, change):
    kept = path.read_bytes()
    try:
        path.unlink() if change is None else path.write_bytes(change(kept))
        yield
    finally:
        path.write_bytes(kept)


@pytest.mark.parametrize("how", [*EDITS, "removed"])
def test_an_edit_of_any_object_is_found(lived, how):
    paths = stored(lived, "objects")
    assert len({path.parts[-3] for path in paths}) == 2, "bodies and headers"
    for path in paths:
        with tampered(path, EDITS.get(how)):
            assert findings(lived.runtime, objects=True) != [], path


@pytest.mark.parametrize("how", ["cut", "emptied", "lengthened", "removed"])
def test_all_but_the_bytes_themselves_is_found_without_reading_them(lived, how):
    for path in stored(lived, "objects"):
        with tampered(path, EDITS.get(how)):
            assert findings(lived.runtime) != [], path


@pytest.mark.parametrize("how", [*EDITS, "removed"])
def test_an_edit_of_any_record_is_found(lived, how):
    for path in stored(lived, "records"):
        with tampered(path, EDITS.get(how)):
            if how == "lengthened":
                continue
            assert findings(lived.runtime) != [], path


def test_a_lock_that_was_shortened_is_found(lived):
    for path in stored(lived, "records"):
        if b'"locked_until": null' in path.read_bytes():
            continue
        year = str(lived.now().year + 5).encode()
        with tampered(path, lambda data, year=year: data.replace(year, b"2001")):
            assert [each.what for each in findings(lived.runtime)] == ["lock"]


def test_an_edit_of_what_an_open_upload_has_kept_is_found(lived):
    bodies = [path for path in stored(lived, "uploads") if path.name == "body"]
    full = [body for body in bodies if body.stat().st_size >= 16 * 1024 * 1024]
    assert (len(bodies), len(full)) == (3, 2)
    for body in bodies:
        for change in (EDITS["cut"], EDITS["emptied"], None):
            with tampered(body, change):
                assert [each.what for each in findings(lived.runtime)] == ["upload"]
    for body in full:  # nobody has a digest of less than a part yet
        with tampered(body, lambda data: b"\1" + data[1:]):
            assert [each.what for each in findings(lived.runtime, objects=True)] == ["upload"]


class Down:
    """A store that does not answer."""

    def __getattr__(self, name):
        def failing(*_, **__):
            raise StoreUnavailable("EIO")

        return failing


def test_a_store_that_does_not_answer_is_no_finding(lived):
    runtime = lived.runtime.__class__(**{**vars(lived.runtime), "store": Down()})
    with pytest.raises(StoreUnavailable):
        findings(runtime)


def test_a_seal_may_be_locked_for_a_day_only_while_its_locks_are_being_lengthened(lived, tmp_path, monkeypatch):
    running = Running(tmp_path)
    running.service.caretaker.stop()
    alice, court = running.authority().enrol(), running.authority()
    with monkeypatch.context() as patch:
        patch.setattr("app.services.packages.keep", lambda *_: None)
        alice.send(alice.open_exchange(court), court)
    assert findings(running.runtime) == []
    running.now.ahead = timedelta(hours=2)
    assert {each.what for each in findings(running.runtime)} == {"lock"}
    running.stop()


def test_beside_a_service_at_work_nothing_is_found(tmp_path):
    running = Running(tmp_path)
    alice, court = running.authority().enrol(), running.authority()
    matter = alice.open_exchange(court)
    for _ in range(3):
        package = alice.declare(matter, court)
        running.service.sequencer.wake()
        assert findings(running.runtime) == []
        alice.create(package, "ab" * 16, 1000)
    store = open_store(running.settings)
    assert len(list(store.uploads())) == 3
    assert check(running.runtime, print, objects=True).findings == 0
    running.stop()


def test_what_a_death_leaves_of_an_upload_whose_body_is_published_is_no_finding(tmp_path, monkeypatch):
    def dies(_, directory):
        (directory / "body").unlink()
        raise StoreUnavailable("died here")

    running = Running(tmp_path)
    running.service.caretaker.stop()
    alice, court = running.authority().enrol(), running.authority()
    location = alice.create(alice.declare(alice.open_exchange(court), court), "ab" * 16, 1000).headers["Location"]
    with monkeypatch.context() as patch:
        patch.setattr("storage.partfile.remove", dies)
        alice.patch(location, 0, b"x" * 1000, expect=503)
    assert len(list(running.runtime.store.uploads())) == 1
    assert findings(running.runtime, objects=True) == []
    running.stop()
