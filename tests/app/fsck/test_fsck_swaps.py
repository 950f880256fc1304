"""Edits that leave every value one that the service has made itself: swapped between rows, or objects between names."""

import pytest

from tests.app.fsck.conftest import findings
from tests.app.fsck.test_fsck import NOT_DERIVABLE, TABLES, another, edited, stored, told

LINKED = {
    name: [
        column.name
        for column in table.columns
        if not column.primary_key and f"{name}.{column.name}" not in NOT_DERIVABLE
    ]
    for name, table in TABLES.items()
}


def two_that_differ(database, table):
    """Two rows with other values in the columns that count; None where all are alike."""
    columns = LINKED[table]
    if not columns or database.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0] < 2:
        return None
    names = ", ".join(f'"{name}"' for name in columns)
    first, *rest = database.execute(f'SELECT rowid, {names} FROM "{table}" ORDER BY rowid').fetchall()
    return next(((first, other) for other in rest if other[1:] != first[1:]), None)


def test_rows_that_changed_places_are_found(lived):
    swapped = set()
    for table, columns in LINKED.items():
        with edited(lived) as database:
            rows = two_that_differ(database, table)
            if rows is None:
                continue
            for index in database.execute(f'PRAGMA index_list("{table}")').fetchall():
                if index[3] == "c":
                    database.execute(f'DROP INDEX "{index[1]}"')
            assignments = ", ".join(f'"{name}" = ?' for name in columns)
            unique = [name for name in columns if TABLES[table].columns[name].unique]
            for name in unique:
                value = another(TABLES[table].columns[name], rows[0][1 + columns.index(name)] or "0")
                database.execute(f'UPDATE "{table}" SET "{name}" = ? WHERE rowid = ?', (value, rows[0][0]))
            if table == "ledger":
                database.execute("UPDATE ledger SET seq = seq + 1000 WHERE rowid = ?", (rows[0][0],))
            for row, other in (rows[::-1], rows):
                database.execute(f'UPDATE "{table}" SET {assignments} WHERE rowid = ?', (*other[1:], row[0]))
            swapped.add(table)
            assert told(findings(lived.runtime)) != [], table
    assert {"ledger", "log_leaves", "statements", "packages", "items", "upload_parts", "chains"} <= swapped


@pytest.mark.parametrize("column", sorted(NOT_DERIVABLE))
def test_a_column_that_is_said_to_be_underivable_is(lived, column):
    """Were its edit found, it would not belong on the list."""
    table, name = column.split(".")
    with edited(lived) as database:
        closed = "WHERE state <> 'open'" if table == "uploads" else ""
        row, value = database.execute(f'SELECT rowid, "{name}" FROM "{table}" {closed} ORDER BY rowid').fetchone()
        changed = another(TABLES[table].columns[name], value)
        database.execute(f'UPDATE "{table}" SET "{name}" = ? WHERE rowid = ?', (changed, row))
        assert told(findings(lived.runtime)) == []


def test_objects_that_changed_names_are_found(lived):
    for room in ("bodies", "headers"):
        first, second, *_ = (path for path in stored(lived, "objects") if room in path.parts)
        one, two = first.read_bytes(), second.read_bytes()
        assert one != two
        try:
            first.write_bytes(two)
            assert findings(lived.runtime, objects=True) != []
            second.write_bytes(one)
            assert findings(lived.runtime, objects=True) != []
        finally:
            first.write_bytes(one)
            second.write_bytes(two)
