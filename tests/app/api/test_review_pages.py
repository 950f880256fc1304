"""Cursors that nobody was given: refused as such, whatever stands in them."""

import base64

import pytest


def opaque(text):
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


HUGE = "9" * 19
TIME = "2026-01-01T00:00:00.000000Z"


@pytest.mark.parametrize("cursor", [f"{HUGE}-{HUGE}", f"0-{HUGE}", "3-1", f"{HUGE}-1"])
def test_a_place_beyond_the_record_is_refused_or_empty(alice, court, cursor):
    matter = alice.open_exchange(court)
    answer = alice.service.http.get(f"/v1/exchanges/{matter.id}/log", headers=alice.headers, params={"cursor": cursor})
    assert answer.status_code in {200, 400}
    assert "next" not in answer.json()


@pytest.mark.parametrize("path", ["/v1/exchanges", "/v1/packages"])
@pytest.mark.parametrize("row", ["\0", "x", "' OR 1=1", "0" * 31, ""])
def test_a_cursor_names_a_row_or_is_refused(alice, path, row):
    alice.get(path, 400, params={"cursor": opaque(f"{TIME} {row}")})


@pytest.mark.parametrize("path", ["/v1/exchanges", "/v1/packages"])
def test_a_row_that_is_not_there_is_a_place_all_the_same(alice, path):
    alice.get(path, 200, params={"cursor": opaque(f"{TIME} {'0' * 32}")})
