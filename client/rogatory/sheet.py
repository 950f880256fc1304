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
from typing import Any, Final

from custody.errors import FormatError
from custody.report import Check, Report, Status, escape
from custody.statement import Statement
from custody.words import DEFAULT, catalogue, in_language, text
from rogatory import matter as reading
from rogatory.ids import exchange_id, short
from rogatory.matter import Event, Matter, Package
from rogatory.messages import addition, in_words, outcome, role
from rogatory.sheet_style import CSS

_OF_EXCHANGES: Final = ("exchange", "export")
_STYLES: Final = {Status.PASS: "pass", Status.FAIL: "fail", Status.NOT_CHECKED: "open"}


def render(path: Path, report: Report, *, made_at: str, language: str = DEFAULT) -> str:
    """The page for a bundle.

    Args:
        path: The bundle that the report is about.
        report: Of `custody.verify_bundle` on the same file.
        made_at: When the page is made, as the format writes times.
        language: One of `custody.words`.

    Raises:
        OSError: The path cannot be read.
    """
    digest, of = reading.file_digest(path)
    try:
        told = reading.read(path)
    except FormatError as error:
        told = Matter("", "", "", 0, unread=[str(error)])
    return _Sheet(report, told, language).page(path, digest, of, made_at)


class _Sheet:
    """A page in the making."""

    def __init__(self, report: Report, told: Matter, language: str) -> None:
        self.report, self.told, self.language = report, told, language

    def page(self, path: Path, digest: str, of: str, made_at: str) -> str:
        body = [
            self._header(),
            self._verdict(),
            self._bundle(path, digest, of),
            self._who(),
            *(self._package(package) for package in self.told.packages),
            self._timeline(),
            self._checks(),
            self._not_checked(),
            self._section("trusting", _list(in_language(self.language, line) for line in self.report.trusting)),
            self._again(path, digest, of, made_at),
        ]
        title = f"{self._say('title')} {short(self._id())}"
        return _page(title, "\n".join(part for part in body if part), self.language)

    def _id(self) -> str:
        """What commands call the exchange; of another chain its handle, of an unreadable bundle nothing."""
        told = self.told
        return exchange_id(told.chain) if told.kind in _OF_EXCHANGES else told.chain

    def _say(self, key: str, **values: Any) -> str:
        return text(self.language, f"sheet.{key}", **values)

    def _mark(self, key: str, **values: Any) -> str:
        """A text as markup; so are its values."""
        return _text(catalogue(self.language)[f"sheet.{key}"]).format(**values)

    def _section(self, key: str, body: str) -> str:
        return _section(self._say(key), body)

    def _rows(self, *rows: tuple[str, str]) -> str:
        return _facts((self._say(key), value) for key, value in rows)

    def _columns(self, *keys: str) -> list[str]:
        return [self._say(key) for key in keys]

    # ------------------------------------------------------------ sections

    def _header(self) -> str:
        told = self.told
        names = ", ".join(f"{row.name} ({row.country})" if row.name else row.id for row in told.authorities)
        kind = text(self.language, f"kind.{told.kind or 'unknown'}")
        heading = self._say("exchange", id=short(self._id()) or self._say("unknown"))
        return (
            f'<header>\n<p class="kind">{_text(self._say("title"))} · {_text(kind)}</p>\n'
            f"<h1>{_text(heading)}</h1>\n<p>{_text(names)}</p>\n</header>"
        )

    def _verdict(self) -> str:
        report, meaning = self.report, text(self.language, f"meaning.{self.report.exit_code}")
        if report.verified:
            word = self._say("verified")
            return (
                f'<section class="verdict good">\n<strong>{_text(word)}</strong>\n<p>{_text(meaning)}</p>\n</section>'
            )
        word = self._say("not-verified", verdict=text(self.language, f"verdict.{report.exit_code}"))
        places = [_meaning(check, self.language) for check in report.failed]
        return (
            f'<section class="verdict">\n<strong>{_text(word)}</strong>\n<p>{_text(meaning)} '
            f"{_text(self._say('unproven'))}</p>\n{_list(places[:3])}\n</section>"
        )

    def _bundle(self, path: Path, digest: str, of: str) -> str:
        told, report = self.told, self.report
        name = self._say("sha256") if of == "file" else self._say("sha256-of", file=of)
        root = _text(self._say("root")) + _code(report.root) if report.root else ""
        counts = self._say("entry-counts", own=len(told.events), all=report.entries)
        rows = [
            (self._say("file"), _text(path.name)),
            (name, _code(digest)),
            *([(self._say("id-of-exchange"), _code(self._id()))] if told.kind in _OF_EXCHANGES else []),
            (self._say("handle"), _code(told.chain)),
            (self._say("log"), _text(told.log)),
            (self._say("checkpoint"), _text(self._say("size", size=told.size)) + root),
            (self._say("entries"), _text(counts)),
        ]
        unread = [self._say("unread", what=line) for line in told.unread[:20]]
        return self._section("bundle", _facts(rows) + _list(unread))

    def _who(self) -> str:
        authorities = [
            (
                _text(row.id),
                _text(row.name),
                _text(row.country),
                "<br>".join(_code(key["id"]) for key in row.keys if key["use"] == "authority"),
            )
            for row in self.told.authorities
        ]
        acted = {_actor(event)[1] for event in self.told.events}
        principals = [
            (
                _code(row.id[:8]),
                _text(row.authority),
                _text(catalogue(self.language).get(f"sheet.type-{row.type}", row.type)),
                _text(", ".join(role(name, self.language) for name in row.roles)),
            )
            for row in self.told.principals
            if row.id in acted
        ]
        return self._section(
            "who",
            _table(self._say("authorities"), self._columns("authority", "name", "country", "founding-key"), authorities)
            + _table(self._say("principals"), self._columns("id", "of", "type", "roles"), principals),
        )

    def _package(self, package: Package) -> str:
        heading = self._say("package-heading", id=package.id[:8])
        if package.manifest is None:
            state = self._say("withdrawn" if package.withdrawn else "announced")
            return _section(heading, f"<p>{_code(package.id)}: {_text(state)}.</p>")
        items = [
            (
                _code(item["id"]) + (f"<br>{_text(self._say('inventory'))}" if item is package.items[-1] else ""),
                f'<span class="number">{item["size"]:,}</span>'.replace(",", "\u202f"),
                f"SHA-256 {_code(item['sha256'])}<br>BLAKE3 {_code(item['blake3'])}",
            )
            for item in package.items
        ]
        return _section(
            heading,
            self._manifest(package, package.manifest)
            + _table(self._say("bodies"), self._columns("item", "bytes", "digests"), items, "items")
            + "".join(self._receipt(event, package) for event in package.receipts),
        )

    def _manifest(self, package: Package, manifest: Statement) -> str:
        said = manifest.payload
        conditions = ", ".join(row["code"] for row in said.get("conditions", ())) or self._say("conditions-none")
        legal = said.get("legal", {})
        basis = f"{legal['instrument']} {legal.get('article', '')}" if legal else self._say("legal-none")
        sealed = self._mark("sealed-at", time=_time(said["time"]))
        if package.sealed:
            sealed += self._mark("recorded-at", time=_time(package.sealed.time))
        rows = [
            ("package", _code(package.id)),
            ("sender", _text(manifest.authority)),
            ("recipients", _text(", ".join(row["authority"] for row in said["recipients"]))),
            ("sealed", sealed),
            ("sealing", _text(said["sealing"])),
            ("handling", _text(said["handling"])),
            ("legal", _text(basis)),
            ("conditions", _text(conditions)),
            ("retain", _time(said["retain_until"])),
            ("manifest", _code(manifest.id)),
        ]
        return self._rows(*rows, *([("state", _text(self._say("withdrawn-by")))] if package.withdrawn else []))

    def _receipt(self, event: Event, package: Package) -> str:
        said = event.payload
        if not said or event.entry is None or event.said is None:
            return f"<h3>{_text(self._say('receipt'))}</h3><p>{_text(self._say('receipt-absent'))}</p>"
        claimed = {item["id"]: (item["sha256"], item["blake3"]) for item in package.items}
        found = {item["id"]: (item["sha256"], item["blake3"]) for item in said["items"]}
        heading = self._say("receipt-of", authority=event.said.authority, outcome=outcome(said, self.language))
        says = self._mark(
            "receipt-says",
            signed=_time(said["time"]),
            recorded=_time(event.entry.time),
            claimed=len(claimed),
            found=len(found),
            agree=sum(claimed.get(name) == digests for name, digests in found.items()),
            plain=sum(item["plaintext"] == "checked" for item in said["items"]),
        )
        return f"<h3>{_text(heading)}</h3><p>{says}</p>"

    def _timeline(self) -> str:
        rows = [self._row(event) for event in self.told.events]
        if not rows:
            return ""
        head = self._columns("number", "time", "who", "what", "about")
        about = f"<p>{_text(self._say('times'))}</p>"
        bounds = _list(line for span in self.report.times if (line := span.text(self.language)))
        return self._section("when", about + bounds + _table("", head, rows))

    def _row(self, event: Event) -> Sequence[str]:
        if event.entry is None:
            return (str(event.seq), "", "", f'<span class="soft">{_text(self._say("undisclosed"))}</span>', "")
        authority, principal = _actor(event)
        who = (
            self._say("service")
            if authority == "@service"
            else authority + (f" · {principal[:8]}" if principal else "")
        )
        extra = addition(event.entry.event, event.payload, event.entry.noted, self.language)
        about = ", ".join(
            text(self.language, f"subject.{name}", id=value if name == "authority" else value[:8])
            for name, value in sorted(event.entry.subject.items())
        )
        what = _text(in_words(event.entry.event, self.language))
        what += f'<br><span class="soft">{_text(extra)}</span>' if extra else ""
        return (str(event.seq), _time(event.entry.time), _text(who), what, _text(about))

    def _checks(self) -> str:
        rows = [
            (
                _text(self._title(check)),
                self._status(check.status),
                _text(self._say("yes" if check.id in self.report.demanded else "no")),
                "<br>".join(_text(line) for line in check.lines(self.language)),
            )
            for check in self.report.checks
        ]
        head = self._columns("check", "outcome", "demanded", "found")
        return self._section("checked", _table("", head, rows, "checks"))

    def _not_checked(self) -> str:
        lines = [
            self._say("line", title=self._title(check), text=_lines(check, self.language))
            for check in self.report.checks
            if check.status is Status.NOT_CHECKED
        ]
        lines += [self._say("withheld", chain=row.chain, count=len(row.seqs)) for row in self.report.withheld]
        return self._section("not-checked", _list(lines) or f"<p>{_text(self._say('all-checked'))}</p>")

    def _again(self, path: Path, digest: str, of: str, made_at: str) -> str:
        named = _text(path.name if of == "file" else f"{path.name}/{of}")
        body = (
            f"<p>{_text(self._say('again-how'))}</p>\n<p><code>sha256sum {named}</code>"
            f"{_text(self._say('must-print'))}<code>{_text(digest)}</code><br>"
            f"<code>rogatory verify {_text(path.name)} --trust trust.json</code></p>"
        )
        made = self._mark("made", time=_time(made_at))
        return f"{self._section('again', body)}\n<footer><p>{made}<code>rogatory sheet</code>.</p></footer>"

    def _status(self, status: Status) -> str:
        word = text(self.language, f"status.{status.value}")
        return f'<span class="status {_STYLES[status]}">{_text(word)}</span>'

    def _title(self, check: Check) -> str:
        title = text(self.language, f"check.{check.id}")
        return title[0].upper() + title[1:]


def _page(title: str, body: str, language: str) -> str:
    style = base64.b64encode(hashlib.sha256(CSS.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'"
    return (
        f'<!doctype html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{_text(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


# ---------------------------------------------------------------- pieces


def _actor(event: Event) -> tuple[str, str]:
    actor = event.entry.actor if event.entry else {}
    return actor.get("authority", ""), actor.get("principal", "")


def _meaning(check: Check, language: str) -> str:
    """What a FAIL means, and where; the finding itself stands in the table of checks."""
    said = text(language, f"fail.{check.id}")
    where = check.place.text(language) if check.place is not None else ""
    return f"{said} ({where})" if where else said


def _lines(check: Check, language: str) -> str:
    return " – ".join(check.lines(language))


def _text(said: str) -> str:
    return escape_markup(escape(str(said)))


def _code(said: str) -> str:
    return f"<code>{_text(said)}</code>"


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
