"""An upload between its last byte and its entry, and one whose request takes its time."""

from datetime import timedelta

from app.db.models import Upload
from app.jobs import lapse
from app.services import uploads
from app.services.places import place_of
from app.services.uploads import UploadSuperseded
from tests.app.party import TUS, Item


def test_a_body_that_is_being_published_cannot_be_taken_back(monkeypatch, service, alice, court):
    matter = alice.open_exchange(court)
    package, item = alice.declare(matter, court), Item(b"evidence", [court.identity.recipient])
    location = alice.create(package, item.id, len(item.body)).headers["Location"]
    with monkeypatch.context() as patch:  # another process is about to make it a fact

        def elsewhere(*_):
            raise UploadSuperseded("a later request has taken over this upload")

        patch.setattr(uploads, "finish", elsewhere)
        alice.patch(location, 0, item.body, 409)
        assert alice.request("DELETE", location, 409, headers=TUS).json()["code"] == "state-conflict"
    assert alice.offset(location) == len(item.body)
    alice.request("DELETE", location, 409, headers=TUS)
    assert service.events(matter.handle).count("upload.completed") == 1
    assert "upload.aborted" not in service.events(matter.handle)


def test_an_upload_does_not_expire_while_its_bytes_arrive(service, alice, court):
    package, item = alice.declare(alice.open_exchange(court), court), Item(b"evidence", [court.identity.recipient])
    location = alice.create(package, item.id, len(item.body)).headers["Location"]
    with service.runtime.reading() as session:
        place = place_of(session.get_one(Upload, location.rpartition("/")[2]))
    expiry = service.runtime.settings.upload_expiry
    try:
        service.now.ahead = expiry - timedelta(minutes=1)
        uploads.advance(place, 5, [], service.runtime)
        service.now.ahead = expiry + timedelta(minutes=1)
        while lapse.run(service.runtime, lambda: False):
            pass
    finally:
        service.now.ahead = timedelta(0)
    assert alice.offset(location) == 5
