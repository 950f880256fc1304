"""Bundle vectors: time stamps and renewals (docs/spec/timestamps.md), made by `tests.reference_stamps` at fixed times."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from custody.trust import TimestampAuthority
from tests.custody.world import DUMMY, TAIL, Authority, World, packed
from tests.reference_stamps import AT, POLICY, STAMPING, Tsa, der_of, element, integer, key_of, renewal, reply, sequence
from tests.vectors.bundle_table import Made, row, slim
from tests.vectors.seeded import seeded

ENDED, RENEWED, MUCH_LATER = (datetime(year, 6, 1, tzinfo=UTC) for year in (2032, 2029, 2045))
STAMPED = 4
"""Leaves under the stamped checkpoint; the bundle's own has two more."""
STAMP, SECOND, LIST = f"timestamps/{STAMPED}-0.tsr", f"timestamps/{STAMPED}-1.tsr", "renewal/1.json"


class Founded(World):
    """The smallest log: two authorities that were founded, and nothing else."""

    def enrol(self, name):
        who = Authority(name)
        self.registries[name] = who.handle
        said = self.say(who, "enrolment", who.handle, [who.key, who.recovery], **who.founding())
        self.lodge("authority.enrolled", said)
        return who


@cache
def base():
    """(world, files, stamped note): a registry under a log of one key, and an earlier note of it."""
    with seeded("stamped bundle vectors"):
        w = Founded(seen=False)
        w.signers = w.signers[:1]
        early = w.checkpoint()
        w.views.append(len(w.slots))
        w.tick(DUMMY)
        w.tick(TAIL)
        return w, slim(w.bundle("registry", checkpoints={STAMPED: early})), early


@cache
def tsa(name, **how):
    return Tsa(name, **how)


def one():
    return tsa("one")


def two():
    """Another authority, whose certificates last longer."""
    return tsa("two", ends=datetime(2061, 1, 1, tzinfo=UTC))


def trusted(*authorities, policies=(POLICY,)):
    return tuple(TimestampAuthority(each.name, each.roots, policies) for each in authorities)


def bundle(more, *, by=None, without=(), now=None, trust=None, policies=(POLICY,)):
    """What a verifier is given: the registry with these files (or without some), and these authorities trusted."""
    w, files, _ = base()
    files = {path: data for path, data in files.items() if path not in without}
    facts = {"tsa": trusted(*(by or [one()]), policies=policies), "require": ("timestamps",)} | (trust or {})
    options = {} if now is None else {"now": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
    return Made(packed(files | more), w.trust(**facts), options)


def note():
    return base()[2]


def valid(data):
    """A file of `validation/`."""
    data = data if isinstance(data, bytes) else der_of(data)
    return {f"validation/{hashlib.sha256(data).hexdigest()}.der": data}


# ---------------------------------------------------------------- stamps that count, and stamps of strangers


def counts(name, about, more, **options):
    row(name, about, lambda: bundle(more(), **options))


def unknown(name, about, more, **options):
    row(name, about, lambda: bundle(more(), **options), "timestamps", status="not_checked", exit_code=23)


def stamped(**how):
    """The stamp of the first authority, which differs so from a right one."""
    return lambda: {STAMP: one().stamp(note(), **how)}


def with_certificates(*held):
    return lambda: {STAMP: one().stamp(note(), certificates=[getattr(one(), name) for name in held])}


def under_own_checkpoint():
    w, files, _ = base()
    own = files["checkpoint"]
    return {f"checkpoints/{len(w.slots)}": own, f"timestamps/{len(w.slots)}-0.tsr": one().stamp(own)}


counts("honest-with-a-stamp", "a stamp over an earlier checkpoint", stamped())
counts("honest-with-a-stamp-over-its-own-checkpoint", "the stamped checkpoint is the bundle's", under_own_checkpoint)
row("honest-with-stamps-of-two-authorities", "two authorities under two roots", lambda: bundle({STAMP: one().stamp(note()), SECOND: two().stamp(note())}, by=[one(), two()]))  # fmt: skip
counts("honest-with-a-stamp-of-a-stranger-beside", "a stranger's stamp is no failure", lambda: {STAMP: one().stamp(note()), SECOND: two().stamp(note())})  # fmt: skip
counts("honest-with-certificates-in-any-order", "sets in any order, a grant with modifications", lambda: {STAMP: one().stamp(note(), certificates=[one().root, one().middle, one().signer], status=1)})  # fmt: skip
counts("honest-with-a-stamp-without-accuracy", "no accuracy", stamped(accuracy=None))
counts("honest-with-certificates-in-validation", "the reply brings no certificate, the folder does", lambda: with_certificates()() | valid(one().signer) | valid(one().middle))  # fmt: skip
for _version, _hash in [(1, None), (2, "sha512"), (2, "sha384")]:
    counts(
        f"honest-with-a-signer-named-by-{_hash or 'sha1'}", "another form of the attribute that names the signer",
        lambda version=_version, by=_hash: stamped(naming=[one().naming(one().signer, version, by)])(),
    )  # fmt: skip
for _reason in ("affiliation_changed", "superseded", "cessation_of_operation"):
    counts(
        f"honest-with-a-signer-that-ended-by-{_reason.replace('_', '-')}", "the certificate ended after the stamp, for no bad reason",
        lambda reason=_reason: stamped()() | valid(one().revoking(AT + timedelta(days=1), x509.ReasonFlags[reason])),
    )  # fmt: skip
counts("honest-with-a-list-that-another-signed", "a revocation list with a wrong signature revokes nobody", lambda: stamped()() | valid(one().revoking(AT, signed_by=key_of("another"))))  # fmt: skip
counts("honest-with-a-list-in-the-reply", "only lists of validation/ count", stamped(lists=[one().revoking(AT)]))  # fmt: skip

unknown("stamp-of-an-authority-nobody-trusts", "its root is not in the trust file", lambda: {STAMP: two().stamp(note())})  # fmt: skip
unknown("stamp-whose-root-came-along", "a root of validation/ is none", lambda: {STAMP: two().stamp(note())} | valid(two().root))  # fmt: skip
unknown("stamp-without-its-signers-certificate", "nobody brings it", with_certificates("middle"))
unknown("stamp-without-the-certificate-between", "no path to the root", with_certificates("signer"))
unknown("stamp-after-its-certificates-ended", "expired at its own time", stamped(at=ENDED))
unknown("stamp-before-its-certificates-began", "not yet valid at its own time", stamped(at=datetime(2025, 6, 1, tzinfo=UTC)))  # fmt: skip
unknown("stamp-whose-certificates-ended-since", "nothing renewed it", stamped(), now=MUCH_LATER)
unknown("stamp-over-a-note-that-is-not-compared", "no proof from that size to the bundle's", stamped(), without=[f"consistency/{STAMPED}-{STAMPED + 2}"])  # fmt: skip
for _name, _ca in [("that-may-sign-none", False), ("that-says-nothing-of-it", None)]:
    row(
        f"stamp-by-a-certificate-{_name}", "the certificate between is no authority's",
        lambda name=_name, ca=_ca: bundle({STAMP: tsa(name, ca=ca).stamp(note())}, by=[tsa(name, ca=ca)]),
        "timestamps", status="not_checked", exit_code=23,
    )  # fmt: skip
row("stamps-before-no-trust-file", "the reader trusts nobody", lambda: Made(bundle(stamped()()).bundle, None), "timestamps", status="not_checked", exit_code=22)  # fmt: skip
row("stamp-without-the-bundles-checkpoint", "nothing says which history the stamped note is of", lambda: bundle(stamped()(), without=["checkpoint"]), "timestamps", status="not_checked", exit_code=3)  # fmt: skip
unknown("validation-without-stamps", "there is nothing to validate", lambda: valid(one().middle))

# ---------------------------------------------------------------- stamps that are wrong


def wrong(name, about, more, code="timestamp-invalid", *, exit_code=23, file=STAMP, **options):
    row(
        name, about, lambda: bundle(more(), **options), "timestamps", code=code, exit_code=exit_code,
        **({"file": file} if file else {}),
    )  # fmt: skip


def unfit(name, **how):
    """The stamp of an authority whose signer's certificate is not fit."""
    made = tsa(name, **how)
    return bundle({STAMP: made.stamp(note())}, by=[made])


wrong("stamp-over-another-note", "it is of the bundle's checkpoint, under the name of an earlier one", lambda: {STAMP: one().stamp(base()[1]["checkpoint"])})  # fmt: skip
wrong("stamp-of-another-log", "it is of a note of another log", lambda: {STAMP: one().stamp(note().replace(b"evidence.example.org", b"evidence.example.net"))})  # fmt: skip
wrong("stamp-by-a-short-hash", "an imprint by SHA-256", stamped(imprint="sha256"))
wrong("stamp-by-a-hash-of-another-name", "an imprint by SHA-512 that says SHA-256", stamped(called="sha256"))
wrong("stamp-under-another-policy", "a policy that the trust file does not name", stamped(policy="1.3.6.1.4.1.32473.2"))
wrong("stamp-that-names-another-certificate", "the signed attribute names another", stamped(naming=[one().naming(one().middle)]))  # fmt: skip
wrong("stamp-that-names-no-certificate", "no signed attribute names the signer's", stamped(naming=[]))
wrong("stamp-that-names-by-an-unknown-hash", "the second version of the attribute, by SHA-1", stamped(naming=[one().naming(one().signer, 2, "sha1")]))  # fmt: skip
wrong("stamp-with-a-wrong-signature", "the signature is of other bytes", stamped(spoil=True))
wrong("stamp-with-a-signature-of-another-authority", "signed by another authority's key", stamped(key=two().key("signer")))  # fmt: skip
wrong("stamp-after-the-verifiers-clock", "from the future", stamped(), now=AT - timedelta(minutes=10))
for _name, _about, _how in [
    ("for-more", "stamps time and signs code", {"usages": (*STAMPING, ExtendedKeyUsageOID.CODE_SIGNING)}),
    ("for-anything", "without a purpose", {"usages": ()}),
    ("not-critical", "its purpose is not critical", {"critical": False}),
]:
    row(f"stamp-by-a-certificate-{_name}", _about, lambda name=_name, how=_how: unfit(name, **how), "timestamps", code="timestamp-invalid", exit_code=23, file=STAMP)  # fmt: skip
for _name, _about, _at, _reason in [
    ("for-its-key", "its key may be stolen", AT + timedelta(days=1), x509.ReasonFlags.key_compromise),
    ("for-no-reason", "no reason is given", AT + timedelta(days=1), None),
    ("before", "superseded, and stamped after", AT - timedelta(days=1), x509.ReasonFlags.superseded),
]:
    wrong(f"stamp-by-a-signer-revoked-{_name}", _about, lambda at=_at, reason=_reason: stamped()() | valid(one().revoking(at, reason)))  # fmt: skip
wrong("stamp-under-an-authority-revoked", "the certificate between was revoked", lambda: stamped()() | valid(one().revoking(AT, by="root", certificate=one().middle)))  # fmt: skip


# ---------------------------------------------------------------- stamps that are none


def malformed(name, about, more, file=STAMP, **options):
    wrong(name, about, more, "timestamp-malformed", exit_code=3, file=file, **options)


def spelled(change):
    return lambda: {STAMP: change(one().stamp(note()))}


def numbered_zero():
    """A certificate whose serial number was 5, before that was made 0."""
    return der_of(one().certify("middle", "root", number=5)).replace(integer(5), integer(0), 1)


def beside(more):
    """A reply that brings something besides its certificates, in their set."""
    return lambda: {STAMP: one().stamp(note(), certificates=[one().signer, one().middle, more])}


REPLIES = [
    ("of-garbage", "no DER", lambda data: b"garbage"),
    ("of-nothing", "no bytes", lambda data: b""),
    ("with-a-byte-more", "something follows", lambda data: data + b"\0"),
    ("that-is-cut", "the last byte is missing", lambda data: data[:-1]),
    ("with-a-long-length", "a length not in its shortest form", lambda data: b"\x30\x83\0" + data[2:]),
    ("with-a-long-tag", "a tag of two octets", lambda data: b"\x3f\x01" + data[1:]),
    ("that-is-a-set", "another tag", lambda data: b"\x31" + data[1:]),
    ("without-a-token", "a status alone", lambda data: sequence(sequence(integer(0)))),
    ("of-an-empty-token", "a token of nothing", lambda data: reply(sequence())),
    ("that-was-refused", "the authority refused", lambda data: sequence(sequence(integer(2)))),
]
for _name, _about, _change in REPLIES:
    malformed(f"stamp-{_name}", _about, spelled(_change))
malformed("stamp-that-was-refused-with-a-token", "refused, and a token all the same", stamped(status=2))
malformed("stamp-of-two-signers", "two signers", stamped(signers=2))
malformed("stamp-of-no-signer", "no signer", stamped(signers=0))
malformed("stamp-that-names-its-signer-badly", "the attribute is no sequence", stamped(naming=[sequence(one().naming(one().signer)[2:15], element(0x31, integer(1)))]))  # fmt: skip
malformed("stamp-too-large", "a reply of more than 64 KiB, over a note that is not compared", lambda: {STAMP: hashlib.shake_256(b"large").digest(512) * 128 + b"."}, without=[f"consistency/{STAMPED}-{STAMPED + 2}"])  # fmt: skip
malformed("stamp-with-a-long-tag-inside", "an element with a tag of two octets", beside(b"\x1f\x01\x00"))
malformed("stamp-with-an-element-that-is-cut", "an element that says more than is left", beside(b"\x30\x05\x01"))
malformed("stamp-with-an-indefinite-length", "an element without a length", beside(b"\x30\x80\x00\x00"))
malformed("stamp-with-a-long-length-inside", "a length not in its shortest form", beside(b"\x30\x81\x01\x00"))
malformed("stamp-with-a-status-of-another-type", "an enumerated where an integer stands", spelled(lambda data: data.replace(b"\x30\x03\x02\x01\x00", b"\x30\x03\x0a\x01\x00", 1)))  # fmt: skip
malformed("stamps-too-many", "1,001 of them", lambda: {f"timestamps/{4 + number // 1000}-{number % 1000}.tsr": b"" for number in range(1001)}, "timestamps/")  # fmt: skip
for _path, _about in [
    ("timestamps/x.tsr", "no size and number"),
    ("timestamps/04-0.tsr", "a leading zero"),
    ("timestamps/4-1000.tsr", "a number too large"),
    ("timestamps/4-0.der", "another ending"),
    ("timestamps/more/4-0.tsr", "a folder more"),
    ("validation/x.der", "no digest"),
    (f"validation/{'ab' * 32}.der", "another digest"),
    ("renewal/0.json", "the number zero"),
    ("renewal/1-8.tsr", "a ninth stamp"),
    ("renewal/readme", "no renewal"),
]:
    malformed(f"stamps-beside-{_path.replace('/', '-').replace('.', '-')}", f"{_path}: {_about}", lambda path=_path: stamped()() | {path: b"x"}, _path)  # fmt: skip
malformed("stamp-without-its-checkpoint", "there is no note of that size", lambda: {"timestamps/7-0.tsr": one().stamp(note())}, "timestamps/7-0.tsr")  # fmt: skip
malformed("validation-of-garbage", "neither certificate nor list", lambda: stamped()() | valid(b"garbage"), "validation/")  # fmt: skip
malformed("validation-of-a-certificate-of-number-zero", "a certificate whose number is not positive", lambda: stamped()() | valid(numbered_zero()), "validation/")  # fmt: skip


def no_root():
    """A trust file of an authority whose root is no certificate; no writer of ours makes it."""
    made = bundle(stamped()())
    found, root = made.trust.encode(), base64.b64encode(one().roots[0])
    return Made(made.bundle, found.replace(root, base64.b64encode(b"garbage")))


row("trust-file-with-a-root-that-is-none", "a root of a time-stamping authority is no certificate", no_root, "@trust", code="trust-malformed", exit_code=3)  # fmt: skip


def forked():
    """A note of the bundle's size and another root, stamped."""
    w, _, _ = base()
    other = w.checkpoint(root=bytes(32))
    return {f"checkpoints/{len(w.slots)}": other, f"timestamps/{len(w.slots)}-0.tsr": one().stamp(other)}


wrong("stamp-over-a-forked-note", "another root of the bundle's size", forked, "root-mismatch", exit_code=25, file="timestamps/6-0.tsr")  # fmt: skip
row("stamp-before-the-entries", "the entries bear times from after their stamp", lambda: bundle(stamped(at=AT - timedelta(hours=1))()), "time", code="time-outside", exit_code=23, chain="police.nl", seq=0)  # fmt: skip

# ---------------------------------------------------------------- renewals


def renewed(*, change=None, at=RENEWED, by=two, stamp=True, extra=None, **fields):
    """A stamp of the first authority and a renewal that the second stamped; `change` takes what is listed."""
    more = stamped()() | (extra() if extra else {})
    listed = {path: data for path, data in (base()[1] | more).items() if path != "bundle.json"}
    data = renewal(1, change(listed) if change else listed, **fields)
    return more | {LIST: data} | ({"renewal/1-0.tsr": by().stamp(data, at=at)} if stamp else {})


def both(more, **options):
    return lambda: bundle(more(), by=[one(), two()], now=MUCH_LATER, **options)


def renewals_of_two():
    """Two renewals, a decade apart."""
    more = renewed()
    data = renewal(2, {path: data for path, data in (base()[1] | more).items() if path != "bundle.json"})
    return more | {"renewal/2.json": data, "renewal/2-0.tsr": two().stamp(data, at=RENEWED + timedelta(days=3650))}


row("honest-with-a-renewal", "renewed before the first certificates ended", both(renewed))
row("honest-with-two-renewals", "renewed twice", both(renewals_of_two))
row("honest-with-a-renewal-and-later-validation", "what validates a later layer may come later", both(lambda: renewed() | valid(two().middle)))  # fmt: skip
for _name, _about, _make in [
    ("that-came-too-late", "the first certificates had ended", lambda: renewed(at=datetime(2033, 6, 1, tzinfo=UTC))),
    ("without-a-stamp", "nobody stamped the renewal", lambda: renewed(stamp=False)),
    ("of-a-stranger", "a stranger stamped it", lambda: renewed(by=lambda: tsa("three", ends=datetime(2061, 1, 1, tzinfo=UTC)))),
    ("whose-certificates-ended-too", "the renewal was not renewed", lambda: renewed(by=one)),
]:  # fmt: skip
    row(f"renewal-{_name}", _about, both(_make), "timestamps", status="not_checked", exit_code=23)


def drop(name):
    return lambda files: {path: data for path, data in files.items() if path != name}


def also(**more):
    return lambda files: files | more


def reversed_rows():
    """A renewal whose files descend."""
    more = renewed(stamp=False)
    first, second = (b'{"digest":"' + part for part in more[LIST].split(b'{"digest":"')[1:3])
    head = more[LIST].replace(first + second, second + first, 1)
    return more | {LIST: head}


for _name, _about, _make, _code, _exit in [
    ("that-leaves-out-a-file", "a file that is not listed", lambda: renewed(change=drop("inclusion")), "renewal-broken", 23),
    ("that-leaves-out-its-stamp", "the stamp it is to carry is not listed", lambda: renewed(change=drop(STAMP)), "renewal-broken", 23),
    ("of-another-digest", "a file changed since", lambda: renewed(change=also(inclusion=b"x")), "renewal-broken", 23),
    ("of-a-file-that-is-gone", "a file was taken since", lambda: renewed(change=also(policy=b"x")), "renewal-broken", 23),
    ("of-another-hash", "digests by another algorithm", lambda: renewed(hash="sha256"), "renewal-unsupported", 24),
    ("of-version-2", "a version to come", lambda: renewed(v=2), "renewal-unsupported", 24),
    ("of-another-number", "number 2 under the name of 1", lambda: renewed(n=2), "renewal-malformed", 3),
    ("of-another-kind", "another kind", lambda: renewed(kind="removal"), "schema", 3),
    ("with-a-member-too-many", "a member no schema knows", lambda: renewed(more=1), "schema", 3),
    ("of-no-such-time", "a thirteenth month", lambda: renewed(time="2029-13-01T00:00:00.000000Z"), "schema", 3),
    ("out-of-order", "its files descend", reversed_rows, "schema", 3),
    ("of-garbage", "no JSON", lambda: renewed(stamp=False) | {LIST: b"garbage"}, "not-canonical", 3),
]:  # fmt: skip
    row(f"renewal-{_name}", _about, both(_make), "timestamps", code=_code, exit_code=_exit, file=LIST)
for _name, _about, _make in [
    ("with-a-gap", "a second without a first", lambda: {"renewal/2.json": b"{}"}),
    ("that-is-missing", "a stamp of a renewal that is not there", lambda: {"renewal/1-0.tsr": b"x"}),
    ("of-too-many", "65 renewals", lambda: {f"renewal/{number}.json": b"{}" for number in range(1, 66)}),
]:
    row(f"renewal-{_name}", _about, both(lambda make=_make: stamped()() | make()), "timestamps", code="renewal-malformed", exit_code=3, file="renewal/")  # fmt: skip
row("renewal-stamped-as-another", "the stamp is of other bytes", both(lambda: renewed() | {"renewal/1-0.tsr": two().stamp(b"x", at=RENEWED)}), "timestamps", code="timestamp-invalid", exit_code=23, file="renewal/1-0.tsr")  # fmt: skip
row("renewal-that-a-later-one-leaves-out", "the second renewal does not list the first", both(lambda: renewed() | {"renewal/2.json": renewal(2, {path: data for path, data in (base()[1] | stamped()()).items() if path != "bundle.json"})}), "timestamps", code="renewal-broken", exit_code=23, file="renewal/2.json")  # fmt: skip
