"""A trust file follows its log step by step: only where the log's keys and the quorum held so far stand behind it."""

from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

import httpx
import pytest
from rogatory import trust_file, trust_update
from rogatory.connection import Connection
from rogatory.log import PublicLog
from rogatory.records import LogRolledBack, LogUnsigned, RecordStore

from app.main import witnesses
from app.services import witnessing
from custody.checkpoint import Checkpoint, sign_checkpoint
from custody.note import KeyType, SignerKey
from custody.policy import Policy
from custody.trust import USUAL, Trust
from tests.app.running import Running
from tests.app.test_witnesses import ORIGIN, Asked, add, note_something, operator


class Plain(httpx.HTTPTransport):
    """Takes what is meant for https to the loopback without it."""

    def handle_request(self, request):
        request.url = request.url.copy_with(scheme="http")
        return super().handle_request(request)


class Shown(PublicLog):
    """The log, in which a test can put other words: `lies` is name → what is shown of the truth."""

    def __init__(self, *args):
        super().__init__(*args)
        self.lies = {}

    def steps(self):
        return self.lies.get("steps", lambda found: found)(super().steps())

    def text(self, name):
        return self.lies.get(name, lambda found: found)(super().text(name))


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """A log whose three witnesses were let in one after the other; the trust file is of when there were two."""
    directory = tmp_path_factory.mktemp("steps")
    running = Running(directory, witness_interval=timedelta(seconds=1))
    running.asked = [Asked(directory, name, running.log_keys) for name in ("fr.lyon", "nl.zeeland", "be.gent")]
    for number, each in enumerate(running.asked):
        each.clock = running.now
        url = each.start()
        if number == 2:
            place = note_something(running)
            assert witnessing.await_quorum(running.runtime, place, 20)
            running.held = running.runtime.witnesses.text
        add(running, each, url, quorum=min(number + 1, 2))
    running.now_text = running.runtime.witnesses.text
    assert running.held != running.now_text
    yield running
    for each in running.asked:
        each.stop()
    running.stop()


@pytest.fixture
def log(stage):
    connection = Connection(f"https://127.0.0.1:{stage.port}", transport=Plain())
    yield Shown(connection, ORIGIN)
    connection.close()


@pytest.fixture
def trust(stage):
    base = Trust(ORIGIN, tuple(stage.log_keys), "quorum none\n", {}, USUAL)
    return trust_file.take_policies(base, policy=stage.held, auditors="quorum none\n")


@pytest.fixture
def records(tmp_path, trust):
    return RecordStore(tmp_path / "records", trust)


def test_an_endorsed_policy_and_a_newer_checkpoint_come_in_by_themselves(stage, log, trust, records):
    done = trust_update.update(trust, log, records)
    assert done.changed == ("policy",)
    assert done.trust.policy == stage.now_text
    assert Trust.parse(done.trust.encode()).held == done.checkpoint == records.newest()
    again = trust_update.update(done.trust, log, RecordStore(records._directory, done.trust))
    assert again.changed == ()
    assert again.checkpoint.size >= done.checkpoint.size


def without_the_last(found):
    return found[:-1]


def without_the_held(found):
    return found[-1:]


def altered(found):
    last = found[-1]
    return [*found[:-1], last | {"entry": last["entry"].replace('"witnesses"', '"auditors"')}]


def moved(found):
    return [*found[:-1], found[-1] | {"index": found[-2]["index"]}]


@pytest.mark.parametrize(
    ("lie", "error"),
    [
        (without_the_last, trust_update.StepNotEndorsed),
        (without_the_held, trust_update.StepNotEndorsed),
        (lambda _: [], trust_update.StepNotEndorsed),
        (altered, trust_update.StepWrong),
        (moved, trust_update.StepWrong),
    ],
)
def test_a_step_that_is_hidden_changed_or_elsewhere_is_none(log, trust, records, lie, error):
    log.lies = {"steps": lie}
    with pytest.raises(error):
        trust_update.update(trust, log, records)


def test_a_policy_that_no_entry_names_is_refused(stage, log, trust, records):
    log.lies = {"policy": lambda text: text.replace("quorum members", "quorum be.gent")}
    with pytest.raises(trust_update.StepNotEndorsed, match="newest entry"):
        trust_update.update(trust, log, records)


def test_an_old_policy_is_no_step_from_the_new_one(stage, log, trust, records):
    new = trust_file.take_policies(trust, policy=stage.now_text, auditors="quorum none\n")
    log.lies = {"policy": lambda _: stage.held, "steps": without_the_last}
    with pytest.raises(trust_update.StepNotEndorsed, match="no entry"):
        trust_update.update(new, log, records)


def test_without_a_quorum_nobody_can_endorse_a_policy(log, trust, records):
    bare = trust_file.take_policies(trust, policy="quorum none\n", auditors="quorum none\n")
    with pytest.raises(trust_update.StepNotEndorsed, match="no quorum"):
        trust_update.update(bare, log, records)


def test_other_log_keys_are_another_log(log, trust, records):
    other = SignerKey.generate(ORIGIN, KeyType.ED25519).verifier
    text = "\n".join(line for line in trust.policy.split("\n") if not line.startswith("log "))
    with pytest.raises(LogUnsigned):
        trust_update.update(replace(trust, log=(other,), policy=text), log, records)


def test_witnesses_that_the_log_does_not_have_are_a_quorum_that_is_missing(log, trust, records):
    stranger = SignerKey.generate("xx/witness", KeyType.COSIGN_ED25519).verifier
    alone = trust_file.take_policies(trust, policy=f"witness xx {stranger}\nquorum xx\n", auditors="quorum none\n")
    with pytest.raises(trust_update.StepNotEndorsed, match="cosigned by the quorum"):
        trust_update.update(alone, log, records)


def test_a_log_that_forgot_what_was_seen_is_rolled_back(stage, log, trust, records):
    shown = trust_update.update(trust, log, records)
    fork = Checkpoint(ORIGIN, shown.checkpoint.size + 5, bytes(32))
    signers = stage.service.state.signers
    held = replace(trust, checkpoint=sign_checkpoint(fork, signers, 1))
    with pytest.raises((LogRolledBack, trust_update.StepNotEndorsed)):
        trust_update.update(held, log, RecordStore(records._directory / "other", held))


def test_a_weaker_policy_comes_in_only_by_name(stage, log, trust, records, capsys):
    """Last of this file: the log changes for good."""
    assert operator(stage, witnesses.remove, authority="be.gent", quorum=1) == 0
    assert "trust update" in capsys.readouterr().out
    text = stage.runtime.witnesses.text
    assert trust_update.least(Policy.parse(text)) == 1
    with pytest.raises(trust_update.StepWeaker) as caught:
        trust_update.update(trust, log, records)
    digest = sha256(text.encode()).hexdigest()
    assert digest in caught.value.hint
    assert trust_update.update(trust, log, records, accepted={digest}).trust.policy == text
