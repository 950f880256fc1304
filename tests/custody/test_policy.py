import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from custody.errors import CustodyError, FormatError
from custody.note import SignerKey, VerifierKey
from custody.policy import Policy, PolicyMalformed
from tests import reference


def key(kind, name):
    """One and the same key for one name: xdist wants the same test ids in every worker."""
    seed = hashlib.sha256(f"{kind} {name}".encode()).digest()
    private = MLDSA44PrivateKey.from_seed_bytes(seed) if kind == 6 else Ed25519PrivateKey.from_private_bytes(seed)
    return SignerKey.from_private(name, kind, private).verifier


LOG = key(0x01, "evidence.example.org/log")
PQ_LOG = key(0x06, "evidence.example.org/log")
A1, A2 = key(0x04, "a.example"), key(0x06, "a.example")
B1, B2 = key(0x04, "b.example"), key(0x06, "b.example")
C1 = key(0x04, "c.example")
WITNESSES = f"""# who cosigns
log {LOG} https://evidence.example.org/log
log\t {PQ_LOG}

witness a1 {A1} https://a.example/w
witness a2 {A2}
 witness b1 {B1}
witness b2 {B2}
witness c1 {C1}
group a any a1 a2
group b any b1 b2
group c any c1
"""
TWO_OF_THREE = Policy.parse(WITNESSES + "group some 2 a b c\nquorum some\n")
IDS = {name: k.full_id for name, k in {"a1": A1, "a2": A2, "b1": B1, "b2": B2, "c1": C1}.items()}
AUTHORITIES = {"a1": "a", "a2": "a", "b1": "b", "b2": "b", "c1": "c"}
NAMES = st.sets(st.sampled_from(sorted(IDS)))
COSIGNED = st.lists(st.tuples(st.sampled_from([*IDS.values(), "stranger"]), st.integers(1, 9)), max_size=7)


def test_a_policy_tells_its_parts():
    assert TWO_OF_THREE.log == (LOG, PQ_LOG)
    assert TWO_OF_THREE.witnesses == {"a1": A1, "a2": A2, "b1": B1, "b2": B2, "c1": C1}
    assert TWO_OF_THREE.quorum == "some"
    assert TWO_OF_THREE.urls == {LOG.full_id: "https://evidence.example.org/log", A1.full_id: "https://a.example/w"}
    assert not TWO_OF_THREE.is_none
    assert TWO_OF_THREE.who() == {
        "a": frozenset({IDS["a1"], IDS["a2"]}),
        "b": frozenset({IDS["b1"], IDS["b2"]}),
        "c": frozenset({IDS["c1"]}),
    }


@given(NAMES)
def test_a_quorum_counts_authorities_not_keys(names):
    keys = {IDS[name] for name in names} | {LOG.full_id, "stranger"}
    assert TWO_OF_THREE.satisfied(keys) == (len({AUTHORITIES[name] for name in names}) >= 2)


@given(NAMES)
def test_all_and_any_and_groups_of_groups_mean_what_they_say(names):
    seen = {AUTHORITIES[name] for name in names}
    keys = {IDS[name] for name in names}
    assert Policy.parse(WITNESSES + "group g all a b c\nquorum g").satisfied(keys) == (seen == {"a", "b", "c"})
    assert Policy.parse(WITNESSES + "group g any a b\nquorum g").satisfied(keys) == bool(seen & {"a", "b"})
    nested = Policy.parse(WITNESSES + "group ab any a b\ngroup g all ab c\nquorum g")
    assert nested.satisfied(keys) == (bool(seen & {"a", "b"}) and "c" in seen)
    assert list(nested.who()) == ["a", "b", "c"]
    assert Policy.parse(WITNESSES + "quorum c1").satisfied(keys) == ("c" in seen)


def test_a_lone_key_is_an_authority():
    assert Policy.parse(WITNESSES + "quorum c1").who() == {"c1": frozenset({IDS["c1"]})}


def test_none_satisfies_nothing_and_counts_nobody():
    policy = Policy.parse("quorum none\n")
    assert policy.is_none
    assert not policy.satisfied(set(IDS.values()))
    assert policy.who() == {}
    assert policy.upper([(IDS["a1"], 1)]) is None


@given(COSIGNED)
def test_times_of_a_checkpoint_agree_with_trying_every_moment(cosigned):
    assert TWO_OF_THREE.upper(iter(cosigned)) == reference.upper(TWO_OF_THREE.satisfied, cosigned)
    assert TWO_OF_THREE.lower(iter(cosigned)) == reference.lower(TWO_OF_THREE.satisfied, cosigned)


def test_one_late_witness_does_not_move_a_quorum():
    cosigned = [(IDS["a1"], 10), (IDS["b1"], 20), (IDS["c1"], 99)]
    assert (TWO_OF_THREE.upper(cosigned), TWO_OF_THREE.lower(cosigned)) == (20, 20)


def test_the_time_of_an_entry_lies_between_the_checkpoints_around_it():
    both = lambda at: [(IDS["a1"], at), (IDS["b2"], at + 1)]  # noqa: E731
    checkpoints = [(20, both(300)), (5, both(100)), (10, both(200)), (8, [(IDS["a1"], 150)]), (30, both(400))]
    assert TWO_OF_THREE.bounds(8, checkpoints) == (100, 201)
    assert TWO_OF_THREE.bounds(9, checkpoints) == (100, 201)
    assert TWO_OF_THREE.bounds(10, checkpoints) == (200, 301)
    assert TWO_OF_THREE.bounds(4, checkpoints) == (None, 101)
    assert TWO_OF_THREE.bounds(30, checkpoints) == (400, None)
    assert TWO_OF_THREE.bounds(0, []) == (None, None)


@pytest.mark.parametrize(
    "lines",
    [
        "",
        "quorum\n",
        "quorum none x\n",
        "quorum none\nquorum none\n",
        "quorum some\n",
        "quorum g\ngroup g any a\n",
        "group g any\nquorum none\n",
        "group g 0 a b\nquorum none\n",
        "group g 3 a b\nquorum none\n",
        "group g 02 a b\nquorum none\n",
        f"group g {'9' * 5000} a b\nquorum none\n",
        "group g most a b\nquorum none\n",
        "group g any a a\nquorum none\n",
        "group g any g\nquorum none\n",
        "group g any a\ngroup h any a\nquorum none\n",
        "group a any b\nquorum none\n",
        "group none any b\nquorum none\n",
        "group g any none\nquorum none\n",
        "group g any later\nwitness later x\nquorum none\n",
        "anything else\nquorum none\n",
        "quorum\x0bnone\n",
        "quorum none\r\n",
        "log\nquorum none\n",
        f"log {LOG}\nquorum none\n",
        f"witness a1 {key(4, 'd.example')}\nquorum none\n",
        f"witness none {key(4, 'd.example')}\nquorum none\n",
        f"witness d {A1}\nquorum none\n",
        f"witness d {key(1, 'd.example')}\nquorum none\n",
        f"log {key(4, 'd.example')}\nquorum none\n",
        f"witness d {key(4, 'd.example')} url url\nquorum none\n",
    ],
)
def test_what_is_no_policy_is_malformed(lines):
    with pytest.raises(PolicyMalformed):
        Policy.parse(WITNESSES + lines)


@pytest.mark.parametrize(
    "groups",
    [
        "group g all a1 b1",
        "group g 2 a1 b1 c1",
        "group a any a1\ngroup g any a b1",
        "group a any a1\ngroup b any a2 b1",
    ],
)
def test_a_quorum_that_could_count_keys_is_refused(groups):
    witnesses = WITNESSES[: WITNESSES.index("group a")]
    with pytest.raises(PolicyMalformed):
        Policy.parse(witnesses + groups + "\nquorum none\n")


def test_one_public_key_is_one_witness_whatever_its_name_or_type():
    again = VerifierKey(name="other", type=LOG.type, public=LOG.public)
    with pytest.raises(PolicyMalformed):
        Policy.parse(f"log {LOG}\nlog {again}\nquorum none")
    with pytest.raises(PolicyMalformed):
        Policy.parse(f"log {LOG}\nwitness w {reference.vkey('w', 4, LOG.public)}\nquorum none")


def test_a_bad_key_is_named_as_what_it_is():
    with pytest.raises(FormatError):
        Policy.parse("log nonsense\nquorum none")


@given(st.text())
def test_garbage_raises_only_custody_errors(text):
    for made in (text, WITNESSES + text):
        try:
            Policy.parse(made)
        except CustodyError:
            continue
