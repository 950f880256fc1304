"""The custody sheet: one self-contained page from a bundle and the report on it.

Who, what, when, digests, verdict, what was checked, what was not, and whom one is trusting. No scripts, nothing is
loaded, and the page's own policy forbids both. Everything from the bundle is escaped twice over:
control and override characters are spelled out, then markup is. The page proves nothing by itself, and says so; it
names the bundle by its SHA-256.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from html import escape as escape_markup
from pathlib import Path
from typing import Final

from custody.errors import FormatError
from custody.report import TITLES, Check, Report, Status, escape
from rogatory import matter as reading
from rogatory.matter import Event, Matter, Package
from rogatory.messages import addition, in_words
from rogatory.sheet_style import CSS

_WORDS: Final = {
    Status.PASS: ("pass", "PASS"),
    Status.FAIL: ("fail", "FAIL"),
    Status.NOT_CHECKED: ("open", "NOT CHECKED"),
}
_MEANINGS: Final = {
    3: "It cannot be understood: it is damaged, or not of the format.",
    20: "Bytes are not those that were signed for or recorded.",
    21: "Something that must be there, or must be checked, is missing.",
    22: "Something is not signed by whom it must be, or by too few.",
    23: "A time lies outside what is provable.",
    24: "It is of a version unknown to this verifier.",
    25: "The log shown is not a continuation of the log known.",
}


def render(path: Path, report: Report, *, made_at: str) -> str:
    """The page for a bundle.

    Args:
        path: The bundle that the report is about.
        report: Of `custody.verify_bundle` on the same file.
        made_at: When the page is made, as the format writes times.

    Raises:
        OSError: The path cannot be read.
    """
    digest, of = reading.file_digest(path)
    try:
        told = reading.read(path)
    except FormatError as error:
        told = Matter("", "", "", 0, unread=[str(error)])
    body = [
        _header(told),
        _verdict(report),
        _bundle(path, digest, of, told, report),
        _who(told),
        *(_package(package) for package in told.packages),
        _timeline(told, report),
        _checks(report),
        _not_checked(report),
        _trusting(report),
        _again(path, digest, of, made_at),
    ]
    return _page(f"Custody sheet {told.chain[:16]}", "\n".join(part for part in body if part))


def _page(title: str, body: str) -> str:
    style = base64.b64encode(hashlib.sha256(CSS.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{_text(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


# ---------------------------------------------------------------- sections


def _header(told: Matter) -> str:
    names = ", ".join(f"{row.name} ({row.country})" if row.name else row.id for row in told.authorities)
    kind = {"exchange": "bundle of an exchange", "export": "export for an auditor", "registry": "registry"}
    return (
        f'<header>\n<p class="kind">Custody sheet · {_text(kind.get(told.kind, "unreadable bundle"))}</p>\n'
        f"<h1>Exchange {_text(told.chain[:16] or 'unknown')}</h1>\n<p>{_text(names)}</p>\n</header>"
    )


def _verdict(report: Report) -> str:
    if report.verified:
        meaning = "Every check that the trust file demands was made and holds."
        return f'<section class="verdict good">\n<strong>Verified</strong>\n<p>{meaning}</p>\n</section>'
    meaning = _MEANINGS.get(report.exit_code, "")
    places = [f"{_title(check)}: {check.detail}" + _at(check) for check in report.failed[:3]]
    return (
        f'<section class="verdict">\n<strong>Not verified: {_text(report.verdict)}</strong>\n<p>{meaning} What follows '
        "is what the bundle says; it is not proven.</p>\n" + _list(places) + "\n</section>"
    )


def _bundle(path: Path, digest: str, of: str, told: Matter, report: Report) -> str:
    name = "SHA-256 of the bundle" if of == "file" else f"SHA-256 of its {of}"
    rows = [
        ("File", _text(path.name)),
        (name, _code(digest)),
        ("Exchange (handle)", _code(told.chain)),
        ("Log", _text(told.log)),
        ("Checkpoint", f"size {told.size}" + (f", root {_code(report.root)}" if report.root else "")),
        ("Entries", f"{len(told.events)} in the exchange, {report.entries} disclosed in all chains"),
    ]
    unread = [f"Could not be read: {line}" for line in told.unread[:20]]
    return _section("The bundle", _facts(rows) + _list(unread))


def _who(told: Matter) -> str:
    authorities = [
        (
            _text(row.id),
            _text(row.name),
            _text(row.country),
            "<br>".join(_code(key["id"]) for key in row.keys if key["use"] == "authority"),
        )
        for row in told.authorities
    ]
    acted = {_actor(event)[1] for event in told.events}
    principals = [
        (_code(row.id[:8]), _text(row.authority), _text(row.type), _text(", ".join(row.roles)))
        for row in told.principals
        if row.id in acted
    ]
    return _section(
        "Who",
        _table(
            "Authorities, as their own registries describe them",
            ("Authority", "Name", "Country", "Founding key"),
            authorities,
        )
        + _table("Clients and officers that acted here", ("Id", "Of", "Type", "Roles"), principals),
    )


def _package(package: Package) -> str:
    heading = f"Package {package.id[:8]}"
    if package.manifest is None:
        state = "withdrawn" if package.withdrawn else "announced; its manifest is not in this bundle"
        return _section(heading, f"<p>{_code(package.id)}: {_text(state)}.</p>")
    said = package.manifest.payload
    conditions = ", ".join(row["code"] for row in said.get("conditions", ())) or "none"
    legal = said.get("legal", {})
    rows = [
        ("Package", _code(package.id)),
        ("Sender", _text(package.manifest.authority)),
        ("Recipients", _text(", ".join(row["authority"] for row in said["recipients"]))),
        (
            "Sealed",
            f"{_time(said['time'])} by the sender’s word"
            + (f", recorded {_time(package.sealed.fields['time'])}" if package.sealed else ""),
        ),
        ("Sealing", _text(said["sealing"])),
        ("Handling", _text(said["handling"])),
        ("Legal basis", _text(f"{legal['instrument']} {legal.get('article', '')}" if legal else "none stated")),
        ("Conditions", _text(conditions)),
        ("Locked until", _time(said["retain_until"])),
        ("Manifest (statement)", _code(package.manifest.id)),
    ]
    if package.withdrawn:
        rows.append(("State", "withdrawn by the sender"))
    items = [
        (
            _code(item["id"]) + ("<br>inventory" if item is package.items[-1] else ""),
            f'<span class="number">{item["size"]:,}</span>'.replace(",", "\u202f"),
            f"SHA-256 {_code(item['sha256'])}<br>BLAKE3 {_code(item['blake3'])}",
        )
        for item in package.items
    ]
    return _section(
        heading,
        _facts(rows)
        + _table("Sealed bodies; digests are of the encrypted bytes", ("Item", "Bytes", "Digests"), items, "items")
        + "".join(_receipt(event, package) for event in package.receipts),
    )


def _receipt(event: Event, package: Package) -> str:
    said = event.payload
    if not said or event.entry is None or event.said is None:
        return "<h3>Receipt</h3><p>Its statement is not in this bundle.</p>"
    claimed = {item["id"]: (item["sha256"], item["blake3"]) for item in package.items}
    found = {item["id"]: (item["sha256"], item["blake3"]) for item in said["items"]}
    agree = sum(claimed.get(name) == digests for name, digests in found.items())
    plain = sum(item["plaintext"] == "checked" for item in said["items"])
    reason = f", reason {said['reason']}" if "reason" in said else ""
    return (
        f"<h3>Receipt of {_text(event.said.authority)}: {_text(said['outcome'] + reason)}</h3>"
        f"<p>Signed {_time(said['time'])}, recorded {_time(event.entry.fields['time'])}. Of {len(claimed)} bodies it "
        f"names {len(found)}; for {agree} both digests are those of the manifest; for {plain} the plaintext was "
        "checked too.</p>"
    )


def _timeline(told: Matter, report: Report) -> str:
    rows = [_row(event) for event in told.events]
    if not rows:
        return ""
    bounds = [
        f"Entries {row.first} to {row.last} were logged"
        + (f" not before {row.not_before}" if row.not_before else "")
        + (f" not after {row.not_after}" if row.not_after else "")
        + ", by the co-signing authorities’ clocks."
        for row in report.times
        if row.not_before or row.not_after
    ]
    about = (
        "<p>Times are the service’s, in UTC, unless bounds are given. “Noted” is the service’s own word; all else was "
        "signed by whom it names.</p>"
    )
    return _section("When", about + _list(bounds) + _table("", ("No.", "Time (UTC)", "Who", "What", "About"), rows))


def _row(event: Event) -> Sequence[str]:
    if event.entry is None:
        return (str(event.seq), "", "", '<span class="soft">not disclosed in this bundle</span>', "")
    authority, principal = _actor(event)
    who = "the service" if authority == "@service" else authority + (f" · {principal[:8]}" if principal else "")
    extra = addition(event.entry.event, event.payload, event.entry.noted)
    subject = event.entry.subject
    about = " ".join(f"{name} {value if name == 'authority' else value[:8]}" for name, value in sorted(subject.items()))
    what = _text(in_words(event.entry.event)) + (f'<br><span class="soft">{_text(extra)}</span>' if extra else "")
    return (str(event.seq), _time(event.entry.fields["time"]), _text(who), what, _text(about))


def _checks(report: Report) -> str:
    rows = []
    for check in report.checks:
        css, word = _WORDS[check.status]
        demanded = "yes" if check.id in report.demanded else "no"
        rows.append(
            (
                _text(_title(check)),
                f'<span class="status {css}">{word}</span>',
                demanded,
                _text(check.detail + _at(check)),
            )
        )
    return _section("What was checked", _table("", ("Check", "Outcome", "Demanded", "Found"), rows, "checks"))


def _not_checked(report: Report) -> str:
    lines = [f"{_title(check)}: {check.detail}" for check in report.checks if check.status is Status.NOT_CHECKED]
    lines += [f"Withheld in {row.chain}: {len(row.seqs)} entries, proven and not disclosed" for row in report.withheld]
    return _section("What was NOT checked", _list(lines) or "<p>Nothing was left unchecked.</p>")


def _trusting(report: Report) -> str:
    return _section("Whom one is trusting", _list(report.trusting))


def _again(path: Path, digest: str, of: str, made_at: str) -> str:
    named = _text(path.name if of == "file" else f"{path.name}/{of}")
    return (
        "<section>\n<h2>To check it again</h2>\n<p>This page proves nothing by itself; the bundle does. Compare its "
        "digest, then verify it with a trust file that came by another way than the bundle:</p>\n"
        f"<p><code>sha256sum {named}</code> must print <code>{_text(digest)}</code><br>"
        f"<code>rogatory verify {_text(path.name)} --trust trust.json</code></p>\n</section>\n"
        f"<footer><p>Made {_time(made_at)} by <code>rogatory sheet</code>.</p></footer>"
    )


# ---------------------------------------------------------------- pieces


def _actor(event: Event) -> tuple[str, str]:
    actor = event.entry.fields["actor"] if event.entry else {}
    return actor.get("authority", ""), actor.get("principal", "")


def _title(check: Check) -> str:
    title = TITLES[check.id]
    return title[0].upper() + title[1:]


def _at(check: Check) -> str:
    return f" (at {check.place})" if check.place is not None and str(check.place) else ""


def _text(text: str) -> str:
    return escape_markup(escape(str(text)))


def _code(text: str) -> str:
    return f"<code>{_text(text)}</code>"


def _time(time: str) -> str:
    """A time of the format, to the second, for people and machines."""
    return f'<time class="time" datetime="{_text(time)}">{_text(time[:10])} {_text(time[11:19])}</time>'


def _section(title: str, body: str) -> str:
    return f"<section>\n<h2>{_text(title)}</h2>\n{body}\n</section>"


def _facts(rows: Iterable[tuple[str, str]]) -> str:
    return "<dl>\n" + "\n".join(f"<dt>{_text(name)}</dt><dd>{value}</dd>" for name, value in rows) + "\n</dl>"


def _list(lines: Iterable[str]) -> str:
    found = "\n".join(f"<li>{_text(line)}</li>" for line in lines)
    return f"<ul>\n{found}\n</ul>" if found else ""


def _table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], css: str = "") -> str:
    """A table whose cells are markup already; the first cell of a row is its header."""
    return "\n".join(_table_lines(caption, head, rows, css)) if rows else ""


def _table_lines(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], css: str) -> Iterator[str]:
    yield (f'<table class="{css}">' if css else "<table>") + (f"<caption>{_text(caption)}</caption>" if caption else "")
    yield "<thead><tr>" + "".join(f'<th scope="col">{_text(name)}</th>' for name in head) + "</tr></thead>"
    yield "<tbody>"
    for first, *others in rows:
        yield f'<tr><th scope="row">{first}</th>' + "".join(f"<td>{cell}</td>" for cell in others) + "</tr>"
    yield "</tbody>"
    yield "</table>"
