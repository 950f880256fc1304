"""The whole way of a package, from the token to the receipt, and the proof of it."""

from tests.app.party import headers_of


def test_a_package_goes_the_whole_way_and_the_bundle_proves_it(service, police, court, alice, bob):
    matter = alice.open_exchange(court)
    sent = alice.send(matter, court, count=3)
    headers = headers_of(bob.release(sent))
    handle = bob.open_download(sent).json()["download"]
    for item in sent.items:
        assert headers[item.id] == item.header
        answer = bob.get(f"/v1/downloads/{handle}/items/{item.id}")
        assert answer.content == item.body
        assert answer.headers["ETag"] == f'"{item.member["sha256"]}"'
    bob.receipt(sent)
    bob.request("POST", f"/v1/downloads/{handle}/close", 201)
    view = alice.get(f"/v1/packages/{sent.package}").json()
    assert view["receipts"] == [{"authority": court.id, "outcome": "accepted"}]
    said = bob.act("log.exported", matter.handle, detail={"form": "bundle"})
    bundle = bob.post(f"/v1/exchanges/{matter.id}/export", said).content
    report = service.verify(bundle, police, court)
    assert report.verified, report
