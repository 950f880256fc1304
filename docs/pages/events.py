"""docs/spec/events.md: the table of events, for people."""

from dataclasses import dataclass

from custody import schema as shapes
from custody.events import AUTHORITY_KEY, EVENTS, Event
from custody.kinds import LEGAL, PART_SIZE, SIGN_WITH, SIGNER

HEAD = """\
# Events

This page is made from `custody/events.py` by `make docs`. The table is closed: an event that is not in it is
*unsupported*, neither ignored nor called tampered. It grows by change of this specification only. Which chain an
exchange, a registry or the service has, and what else an entry holds: [entries.md](entries.md). In which order events
may stand: [exchange.md](exchange.md), [registry.md](registry.md).

How to read a row:

- **word of**: the kind of statement ([statements.md](statements.md)) that the entry carries. Where it says *service*, the
  service speaks alone: the entry has no statement, and a reader should take it for what it is, the operator's claim.
- **signed by**: a principal with one of these roles, live and in that role at the entry's place in the log; *authority*
  means the authority's own key, or its recovery key. A second approver is the rules' business, not this table's.
- **subject**: the members that `subject` has, exactly; with `?` those it may have. A dash: nothing is named.
- **detail**: what an act's `detail` holds, the signer's word. A dash: an act has none, and other kinds have members of
  their own, of which one may be fixed here (`state = placed`).
- **noted**: what the service adds of its own knowledge. `?` marks what may be absent; where all of it may, so may `noted`.
- **closed**: *yes* where the event may follow `exchange.closed`.

Shapes: `hash` 64 hex, `id` 32 hex, `time` `YYYY-MM-DDTHH:MM:SS.ffffffZ`, `code` `[a-z][a-z0-9_.-]{0,63}`, `authority` an
authority's id, `origin` a log's name, `number` an integer from 0 to 2^53 − 1, `signer` `{authority, principal?}`,
`a|b` one of these words, `[x]` an array of them. Bounds and patterns to the letter are in
[schemas/entry.json](schemas/entry.json) and [schemas/act.json](schemas/act.json).
"""


@dataclass(frozen=True)
class Family:
    """Events that are explained together."""

    chain: str
    title: str
    text: str
    names: str


FAMILIES = (
    Family(
        "exchange",
        "The exchange itself",
        "An exchange begins by the act of one party that names all of them; others join later by an act of a party. "
        "Auditors are named in the same way and may take an export, nothing else. Closing ends the handing over; what "
        "is still owed afterwards (fixity, holds, destruction, reading what was sent) goes on. `continues` names the "
        "last entry of the same exchange in an earlier log.",
        "exchange.opened party.added exchange.closed",
    ),
    Family(
        "exchange",
        "A package arrives",
        "The sender announces a package and for whom it is. The service says what it received, item by item: size and "
        "grid, and the composite digest of the parts as it hashed them itself. Then the sender's manifest must say the "
        "same, and the package is sealed. Until then an upload can be aborted; afterwards the sender can only withdraw the "
        "package, which stops further release of headers and erases nothing.",
        "package.declared upload.completed upload.aborted package.sealed package.withdrawn",
    ),
    Family(
        "exchange",
        "Who may open it",
        "A body is useless without a header, and headers leave by `key.released` alone, committed before the first byte "
        "is handed out. Where a manifest or grant sets conditions, the receiving authority accepts exactly these, by "
        "signature, first. A grant adds headers for others without touching the body. Destroying all headers of "
        "a body that is locked is how a court's order to erase is carried out.",
        "grant.added conditions.accepted key.released grant.destroyed",
    ),
    Family(
        "exchange",
        "Who looked",
        "Reading leaves entries too. Opening a download is the reader's signed act with its purpose; how many bytes went "
        "out is the service's word and comes later. Neither says that anybody has the item: only a receipt "
        "does. Views of the log and of a manifest are noted by the service.",
        "manifest.viewed download.opened download.closed log.viewed log.exported",
    ),
    Family(
        "exchange",
        "The answer",
        "The receiver's own finding after its own check, for every item, accepted or rejected with a reason. It answers "
        "one sealing, which it names by the hash of that entry.",
        "receipt.signed",
    ),
    Family(
        "exchange",
        "Keeping it",
        "The service reads stored bodies again from time to time and says what it found. Holds and longer retention are "
        "acts of parties; a lock is never shortened.",
        "fixity.checked fixity.failed hold.placed hold.lifted retention.extended",
    ),
    Family(
        "exchange",
        "Duties after delivery",
        "A sender may restrict the use of what it sent, or ask for it back; the receiver answers a demand by a signed "
        "destruction that names it. A hand-over into another exchange is a statement in each of the two chains.",
        "package.restricted package.recalled package.destroyed package.transferred",
    ),
    Family(
        "exchange",
        "Four eyes, and erasure",
        "An approval names one exact act by its statement's id. Erasing an entry destroys its bytes and its "
        "statement's; its hash, salt and index stay, so that everything around it still proves.",
        "approval.given entry.erased",
    ),
    Family(
        "any",
        "Attempts",
        "A refused attempt on an exchange by one of its parties stands in that exchange's chain, one by a stranger in "
        "the service's. It says what was tried, not why it was refused.",
        "access.denied",
    ),
    Family(
        "registry",
        "The authority",
        "The first entry brings the keys that sign it, and any of them can be what a verifier pins. `authority.changed` "
        "sets which algorithms must sign together from then on. An authority suspends and reinstates itself only.",
        "authority.enrolled authority.changed authority.suspended authority.reinstated",
    ),
    Family(
        "registry",
        "Its keys",
        "A new key signs the statement that brings it, where it can sign. A key counts from the place after "
        "its entry to the place of the entry that ends it.",
        "key.added key.rotated key.revoked",
    ),
    Family(
        "registry",
        "Its tools and people",
        "A principal is a client (a tool) or an officer (a person), bears a random id and never a name, and acts in the "
        "roles it has at that place of the log. Revocation is final, suspension is not.",
        "principal.enrolled principal.suspended principal.reinstated principal.revoked role.granted role.ended",
    ),
    Family(
        "service",
        "The log",
        "The chain of the service begins with the log's keys, and with the predecessor's last checkpoint where there "
        "is one. A successor ends it.",
        "log.started log.succeeded",
    ),
    Family(
        "service",
        "What the operator decides",
        "Who witnesses, who is admitted or refused, which rules of law are in force, what went wrong. All of it is the "
        "operator's word; verifiers rely on their own pins and policies instead.",
        "witness.added witness.removed policy.changed law.activated incident.noted",
    ),
)

_CHAINS = {
    "exchange": "## Events of an exchange",
    "any": "## Events of an exchange or of the service",
    "registry": "## Events of an authority's registry",
    "service": "## Events of the service",
}
_NAMED = {
    id(shapes.HASH): "hash",
    id(shapes.ID): "id",
    id(shapes.TIME): "time",
    id(shapes.CODE): "code",
    id(shapes.ORIGIN): "origin",
    id(shapes.AUTHORITY_ID): "authority",
    id(PART_SIZE): "power of two, 2^24 to 2^32",
    id(SIGNER): "signer",
    id(LEGAL): "legal",
    id(SIGN_WITH): "[ed25519|ml-dsa-65]",
}
_COLUMNS = (
    "| event | word of | signed by | subject | detail | noted | closed |\n| --- | --- | --- | --- | --- | --- | --- |\n"
)


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for chain, title in _CHAINS.items():
        parts.append(f"\n{title}\n")
        for family in FAMILIES:
            if family.chain == chain:
                parts.append(f"\n### {family.title}\n\n{_wrapped(family.text)}\n\n{_COLUMNS}")
                parts.extend(_row(name, EVENTS[name]) for name in family.names.split())
    return "".join(parts)


def _row(name: str, event: Event) -> str:
    signers = "authority" if AUTHORITY_KEY in event.roles else ", ".join(sorted(event.roles))
    subject = [*sorted(event.subject), *(f"{member}?" for member in sorted(event.may_name))]
    fixed = ", ".join(f"{member} = {value}" for member, value in event.where.items())
    detail = f"`{_members(event.detail)}`" if event.detail else f"`{fixed}`" if fixed else "–"
    cells = (
        f"`{name}`",
        f"`{event.kind}`" if event.kind else "service",
        signers or "–",
        f"`{' '.join(subject)}`" if subject else "–",
        f"{detail} (optional)" if event.detail_optional else detail,
        f"`{_members(event.noted)}`" if event.noted else "–",
        "yes" if event.after_close else "–" if event.chain in ("registry", "service") else "no",
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _members(record: shapes.Record) -> str:
    needed = [f"{name}: {_shape(member)}" for name, member in sorted(record.required.items())]
    rest = [f"{name}?: {_shape(member)}" for name, member in sorted(record.optional.items())]
    return ", ".join(needed + rest)


def _shape(schema: shapes.Schema) -> str:
    if id(schema) in _NAMED:
        return _NAMED[id(schema)]
    if isinstance(schema, shapes.OneOf):
        return "|".join(map(str, schema.values))
    if isinstance(schema, shapes.Whole):
        return "number" if schema.least == 0 else f"number from {schema.least}"
    if isinstance(schema, shapes.ListOf):
        return f"[{_shape(schema.item)}]"
    if isinstance(schema, shapes.Record):
        return "{" + _members(schema) + "}"
    return "text"


def _wrapped(text: str, width: int = 118) -> str:
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return "\n".join([*lines, line])
