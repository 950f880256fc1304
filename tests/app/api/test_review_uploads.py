"""An upload between its last byte and its entry."""

from app.services import uploads
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
