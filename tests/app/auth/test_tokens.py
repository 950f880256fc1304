"""The gate accepts a good token and refuses each attack of the corpus by the check that is named for it."""

import json
import logging
import traceback
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from jose.exceptions import JOSEError

from app.auth import tokens
from app.auth.token_keys import TokenKeys, generate
from custody.errors import CustodyError
from tests.app.auth.forge import (
    AUDIENCE,
    AUTHORITY,
    CLIENT,
    ISSUER,
    LIFETIME,
    NOW,
    TYPES,
    attacks,
    base64url,
    claims,
    forge,
    header,
    kid_of,
)

KEY = generate()
KEYS = TokenKeys(current=KEY, next=generate())
KINDS = sorted(TYPES)


def only_key(client, kid):
    return KEY.public_key() if (client, kid) == (CLIENT, kid_of(KEY.public_key())) else None


def never_spent(jti, until):
    return True


def check(kind, token, *, now=NOW, keys=KEYS, find_key=only_key, spend=never_spent):
    if kind == "access":
        return tokens.check_access_token(token, keys=keys, issuer=ISSUER, audience=AUDIENCE, now=now)
    return tokens.check_client_assertion(token, find_key=find_key, audience=AUDIENCE, now=now, spend=spend)


def issue(**changes):
    facts = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "subject": CLIENT,
        "authority": AUTHORITY,
        "client_key": "ab" * 32,
        "scope": ["sender"],
        "now": NOW,
    }
    return tokens.issue_access_token(KEYS, **(facts | changes))


@pytest.mark.parametrize("kind", KINDS)
def test_an_unchanged_recipe_is_accepted(kind):
    found = check(kind, forge(kind, KEY, {}))
    assert (found.issued, found.jti) == (NOW.replace(microsecond=0), "0123456789abcdef")
    assert found.expires - found.issued == timedelta(seconds=LIFETIME[kind])


def refused(kind, case, **how):
    """The refusal of an attack; whatever else comes of it fails with its name."""
    try:
        check(kind, forge(kind, KEY, case), **how)
    except tokens.TokenRefused as refusal:
        return refusal
    except Exception as error:
        raise AssertionError(f"{kind}: {case['name']}") from error
    raise AssertionError(f"accepted: {kind}: {case['name']}")


@pytest.mark.parametrize("kind", KINDS)
def test_an_attack_is_refused_by_the_check_named_for_it(kind):
    wrong = []
    for case in (case for case in attacks() if kind in case.get("kinds", KINDS)):
        refusal = refused(kind, case)
        found, named = (refusal.reason, refusal.code), (case["reason"], case.get("expect", "token-refused"))
        if found != named:
            wrong.append(f"{case['name']}: {found}, expected {named}")
    assert not wrong, "\n".join(wrong)


def test_every_attack_has_its_own_name_and_a_why():
    names = [case["name"] for case in attacks()]
    assert len(names) == len(set(names)) > 200
    assert all(case["why"] and case["reason"] for case in attacks())


def test_a_refusal_tells_nothing_about_the_token_or_the_check():
    for case in attacks()[::7]:
        kind = case.get("kinds", KINDS)[0]
        token = forge(kind, KEY, case)
        with pytest.raises(tokens.TokenRefused) as caught:
            check(kind, token)
        assert str(caught.value) == "token found invalid, expected one this service accepts", case["name"]
        printed = "".join(traceback.format_exception(caught.value, chain=True))
        for part in filter(lambda part: len(part) > 20, token.split(".")):
            assert part not in printed, case["name"]
        assert CLIENT not in printed, case["name"]


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_a_token_with_any_one_character_changed_is_refused(kind, data):
    token = forge(kind, KEY, {})
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters().filter(lambda character: character != token[place]))
    with pytest.raises(tokens.TokenRefused):
        check(kind, token[:place] + other + token[place + 1 :])


@pytest.mark.parametrize("kind", KINDS)
def test_every_last_character_of_a_part_has_one_spelling_only(kind):
    token = forge(kind, KEY, {})
    ends = [i - 1 for i, character in enumerate(token) if character == "."] + [len(token) - 1]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for place in ends:
        for other in alphabet.replace(token[place], ""):
            with pytest.raises(tokens.TokenRefused):
                check(kind, token[:place] + other + token[place + 1 :])


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_a_token_with_anything_cut_out_or_put_in_is_refused(kind, data):
    token = forge(kind, KEY, {})
    start = data.draw(st.integers(0, len(token)))
    end = data.draw(st.integers(start, len(token)))
    changed = token[:start] + data.draw(st.text(max_size=5)) + token[end:]
    if changed != token:
        with pytest.raises(tokens.TokenRefused):
            check(kind, changed)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


@pytest.mark.parametrize("kind", KINDS)
@given(garbage=st.text() | st.binary() | st.none() | st.integers() | st.lists(st.text()))
def test_garbage_raises_only_a_refusal(kind, garbage):
    with pytest.raises(tokens.TokenRefused):
        check(kind, garbage)


@pytest.mark.parametrize("kind", KINDS)
@given(head=st.binary(max_size=60), body=st.binary(max_size=60), tail=st.binary(min_size=64, max_size=64))
def test_garbage_in_the_shape_of_a_token_raises_only_a_refusal(kind, head, body, tail):
    with pytest.raises(tokens.TokenRefused):
        check(kind, ".".join(map(base64url, (head, body, tail))))


@pytest.mark.parametrize("kind", KINDS)
@given(part=st.sampled_from(["header", "claims"]), data=st.data())
def test_a_signed_token_with_any_member_of_any_other_value_is_refused_or_means_the_same(kind, part, data):
    good = header(kind, KEY) if part == "header" else claims(kind)
    name = data.draw(st.sampled_from(sorted(good)) | st.text(max_size=6))
    value = data.draw(JSON)
    try:
        found = check(kind, forge(kind, KEY, {part: {name: value}}))
    except tokens.TokenRefused:
        return
    assert part == "claims"
    assert type(value) is type(good[name])
    assert name not in ("iss", "sub", "aud", "client_id") or value == good[name]
    assert found.expires > NOW


def test_what_is_issued_is_read_back_as_it_was_meant():
    found = check("access", issue(scope=["sender", "approver"], lifetime=timedelta(seconds=90)))
    assert (found.principal, found.authority, found.client_key) == (CLIENT, AUTHORITY, "ab" * 32)
    assert found.scope == ("sender", "approver")
    assert found.issued <= NOW < found.expires <= NOW + timedelta(seconds=90)


def test_no_two_issued_tokens_share_a_jti():
    assert len({check("access", issue()).jti for _ in range(50)}) == 50


@pytest.mark.parametrize("lifetime", [timedelta(0), timedelta(seconds=-1), timedelta(minutes=10, microseconds=1)])
def test_no_token_is_issued_that_the_gate_would_refuse_for_its_lifetime(lifetime):
    with pytest.raises(ValueError, match="expected 1 s to"):
        issue(lifetime=lifetime)


def test_a_made_assertion_is_accepted():
    assertion = tokens.make_client_assertion(
        KEY, kid=kid_of(KEY.public_key()), issuer=CLIENT, audience=AUDIENCE, now=NOW, jti="j" * 16
    )
    found = check("assertion", assertion)
    assert (found.client, found.kid, found.jti) == (CLIENT, kid_of(KEY.public_key()), "j" * 16)


@pytest.mark.parametrize("kind", KINDS)
def test_an_access_token_is_no_assertion_and_the_other_way_round(kind):
    other = "assertion" if kind == "access" else "access"
    with pytest.raises(tokens.TokenRefused) as caught:
        check(kind, forge(other, KEY, {}))
    assert caught.value.reason == "typ"


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_ends_at_exp_and_begins_ten_seconds_before_iat(kind):
    token = forge(kind, KEY, {"clock": {"iat": 0, "exp": 30}})
    start = NOW.replace(microsecond=0)
    check(kind, token, now=start - timedelta(seconds=10))
    check(kind, token, now=start + timedelta(seconds=29, microseconds=999_999))
    with pytest.raises(tokens.TokenExpired):
        check(kind, token, now=start + timedelta(seconds=30))
    with pytest.raises(tokens.TokenRefused, match="token found invalid"):
        check(kind, token, now=start - timedelta(seconds=10, microseconds=1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("jump", [timedelta(hours=-1), timedelta(days=-3), timedelta(hours=1), timedelta(days=25_000)])
def test_a_clock_that_jumps_closes_the_gate(kind, jump):
    with pytest.raises(tokens.TokenRefused):
        check(kind, forge(kind, KEY, {}), now=NOW + jump)


@pytest.mark.parametrize("kind", KINDS)
def test_a_clock_without_a_zone_closes_the_gate(kind):
    with pytest.raises(tokens.TokenRefused):
        check(kind, forge(kind, KEY, {}), now=NOW.replace(tzinfo=None))


def test_an_assertion_is_good_once():
    seen = set()

    def spend(jti, until):
        fresh = jti not in seen
        seen.add(jti)
        return fresh

    assertion = forge("assertion", KEY, {})
    check("assertion", assertion, spend=spend)
    with pytest.raises(tokens.TokenRefused) as caught:
        check("assertion", assertion, spend=spend)
    assert caught.value.reason == "replayed"
    again = forge("assertion", KEY, {"claims_splice": " "})
    assert again != assertion
    with pytest.raises(tokens.TokenRefused):
        check("assertion", again, spend=spend)
    check("assertion", forge("assertion", KEY, {"claims": {"jti": "f" * 16}}), spend=spend)
    assert all(len(jti) == 64 for jti in seen)


def test_a_jti_is_spent_per_client():
    spent = []

    def spend(jti, until):
        spent.append(jti)
        return True

    for client in ("tool-7f", "tool-80"):
        recipe = {"claims": {"iss": client, "sub": client}}
        check("assertion", forge("assertion", KEY, recipe), find_key=lambda *_: KEY.public_key(), spend=spend)
    assert len(set(spent)) == 2


def test_a_spent_jti_outlives_its_assertion_by_more_than_any_clock_jump_we_expect():
    kept = []
    check("assertion", forge("assertion", KEY, {}), spend=lambda jti, until: kept.append(until) or True)
    assert kept[0] > NOW + timedelta(seconds=60 + 10) + timedelta(days=3)


@pytest.mark.parametrize("answer", [False, None, 0, 1, "yes"])
def test_only_true_from_the_spender_counts_as_spent(answer):
    with pytest.raises(tokens.TokenRefused) as caught:
        check("assertion", forge("assertion", KEY, {}), spend=lambda *_: answer)
    assert caught.value.reason == "replayed"


def test_nothing_is_spent_for_a_refused_assertion():
    spent = []
    tried = [case for case in attacks() if "assertion" in case.get("kinds", KINDS)]
    for case in tried:
        refused("assertion", case, spend=lambda *_, name=case["name"]: spent.append(name) or True)
    assert spent == []
    assert len(tried) > 200


PUBLIC = KEY.public_key()
STAND_INS = {
    "pem": PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    "pem text": PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    "der": PUBLIC.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    "point": PUBLIC.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
    "jwk": {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
    "jwks": {"keys": []},
    "private": KEY,
    "private pem": KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    "none": None,
    "true": True,
    "p-384": ec.generate_private_key(ec.SECP384R1()).public_key(),
    "ed25519": ed25519.Ed25519PrivateKey.generate().public_key(),
    "another p-256 key": generate().public_key(),
}


@pytest.mark.parametrize("stand_in", STAND_INS.values(), ids=STAND_INS)
def test_only_the_named_key_as_an_object_is_asked(stand_in):
    with pytest.raises(tokens.TokenRefused) as caught:
        check("assertion", forge("assertion", KEY, {}), find_key=lambda *_: stand_in)
    assert caught.value.reason == "key"


def test_a_key_found_under_another_keys_id_is_not_used():
    stranger = generate()
    assertion = forge("assertion", stranger, {"header": {"kid": kid_of(PUBLIC)}})
    with pytest.raises(tokens.TokenRefused) as caught:
        check("assertion", assertion, find_key=lambda *_: stranger.public_key())
    assert caught.value.reason == "key"


def test_the_key_of_one_client_does_not_speak_for_another():
    other = generate()
    registered = {("tool-7f", kid_of(PUBLIC)): PUBLIC, ("tool-80", kid_of(other.public_key())): other.public_key()}
    assertion = forge("assertion", other, {})
    with pytest.raises(tokens.TokenRefused):
        check("assertion", assertion, find_key=lambda *name: registered.get(name))


@pytest.mark.parametrize("callback", ["find_key", "spend"])
def test_a_database_that_is_down_is_no_refusal(callback):
    def down(*_):
        raise ConnectionError("database")

    with pytest.raises(ConnectionError):
        check("assertion", forge("assertion", KEY, {}), **{callback: down})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", [RecursionError(), MemoryError(), JOSEError("x"), ValueError("x"), OverflowError()])
def test_whatever_python_jose_raises_is_a_refusal(kind, error, monkeypatch):
    def broken(*_, **__):
        raise error

    monkeypatch.setattr(tokens.jws, "verify", broken)
    with pytest.raises(tokens.TokenRefused) as caught:
        check(kind, forge(kind, KEY, {}))
    assert caught.value.reason == "signature"


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_our_own_parser_raises_is_a_refusal(kind, monkeypatch):
    def broken(*_, **__):
        raise RecursionError

    monkeypatch.setattr(tokens, "parse", broken)
    with pytest.raises(tokens.TokenRefused) as caught:
        check(kind, forge(kind, KEY, {}))
    assert caught.value.reason == "unexpected-RecursionError"


@pytest.mark.parametrize("kind", KINDS)
def test_python_jose_is_believed_only_about_the_bytes_we_read(kind, monkeypatch):
    monkeypatch.setattr(tokens.jws, "verify", lambda *_, **__: b'{"sub":"admin"}')
    with pytest.raises(tokens.TokenRefused) as caught:
        check(kind, forge(kind, KEY, {}))
    assert caught.value.reason == "signature"


STATIC = [case for case in attacks() if case["reason"] not in ("signature", "key")]


def test_python_jose_sees_nothing_that_the_gate_can_refuse_itself(monkeypatch):
    asked = []
    monkeypatch.setattr(tokens.jws, "verify", lambda *_, **__: asked.append("python-jose") or b"")
    for case in STATIC:
        for kind in case.get("kinds", KINDS):
            refused(kind, case)
            assert asked == [], (kind, case["name"])
    assert STATIC


def test_white_space_and_order_inside_signed_json_are_the_signers_choice():
    text = json.dumps(claims("assertion"), indent=2)
    reverse = json.dumps(dict(reversed(header("assertion", KEY).items())))
    check("assertion", forge("assertion", KEY, {"claims_text": text, "header_text": reverse}))
    check("assertion", forge("assertion", KEY, {"clock": {"nbf": 0}}))


@pytest.mark.parametrize("reader", ["current", "next", "previous"])
def test_tokens_of_each_kept_key_check_and_of_no_other(reader):
    keys = TokenKeys(current=generate(), next=generate(), previous=generate())
    check("access", forge("access", getattr(keys, reader), {}), keys=keys)
    with pytest.raises(tokens.TokenRefused):
        check("access", forge("access", generate(), {}), keys=keys)


def test_the_gate_logs_nothing(caplog):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(tokens.TokenRefused):
        check("access", forge("access", KEY, {"sign": "stranger"}))
    assert caplog.text == ""


def test_a_refusal_is_one_of_our_own_errors():
    assert issubclass(tokens.TokenRefused, CustodyError)
    assert issubclass(tokens.TokenExpired, tokens.TokenRefused)


def test_everything_the_module_offers_is_there():
    assert all(hasattr(tokens, name) for name in tokens.__all__)
