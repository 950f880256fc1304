"""A trust file takes a policy whole, demands its quorum, and refuses one of another log."""

import pytest
from rogatory import trust_file

from custody.note import KeyType, SignerKey
from custody.policy import PolicyMalformed
from custody.trust import USUAL, Trust, TrustMalformed

ORIGIN = "evidence.example.org/log"
LOG = SignerKey.generate(ORIGIN, KeyType.ED25519).verifier
KEY = SignerKey.generate("lyon/witness", KeyType.COSIGN_ED25519).verifier
NONE = "quorum none\n"
POLICY = f"log {LOG}\nwitness lyon {KEY}\nquorum lyon\n"


@pytest.fixture
def trust():
    return Trust(origin=ORIGIN, log=(LOG,), policy=NONE, authorities={}, require=USUAL)


def test_a_quorum_is_demanded_from_then_on_and_no_more_when_it_ends(trust):
    taken = trust_file.take_policies(trust, policy=POLICY, auditors=POLICY)
    assert "quorum" in taken.demanded
    assert taken.auditing is not None
    assert Trust.parse(taken.encode()) == taken
    back = trust_file.take_policies(taken, policy=NONE, auditors=NONE)
    assert back == trust


def test_a_policy_of_another_log_or_none_is_refused(trust):
    other = SignerKey.generate(ORIGIN, KeyType.ED25519).verifier
    with pytest.raises(TrustMalformed):
        trust_file.take_policies(trust, policy=POLICY.replace(str(LOG), str(other)), auditors=NONE)
    with pytest.raises(PolicyMalformed):
        trust_file.take_policies(trust, policy="nonsense", auditors=NONE)
