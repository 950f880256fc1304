"""Put `verifier.html` together: one file, no dependency, no network; the same bytes for the same sources.

    python verifier/build.py            write vocabulary.js, catalogue.js and verifier.html
    python verifier/build.py --check    fail if any is not what the sources give

The schemas of `docs/spec/schemas` and the table of `docs/spec/events.md` are the specification's own machine-readable
parts: they become `src/vocabulary.js`. What reports say in words comes from `custody/words`, the one catalogue of both
verifiers: it becomes `src/catalogue.js`. Modules are put one after the other, imports first, each a function that is
called at once: imports become constants, exports what it returns. The page's policy names script and style by their
digests and forbids everything else.
"""

import base64
import hashlib
import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SPEC = HERE.parent / "docs" / "spec"
WORDS = HERE.parent / "custody" / "words"
SAID = (
    "status", "verdict", "meaning", "check", "fail", "place", "head", "kind", "report", "trusting", "reason", "detail",
)  # fmt: skip
SOURCE = HERE / "src"
TARGET = HERE / "verifier.html"
IMPORT = re.compile(r'^import (\{[^}]*\}) from "\./([a-z0-9-]+)\.js";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function\*?|class|const|let) (\w+))", re.MULTILINE)
ROW = re.compile(r"^\| `([a-z]+\.[a-z]+)` \|(.*)\|$", re.MULTILINE)


def event_row(cells: list[str], chain: str) -> dict[str, object]:
    """One event as the verifier needs it: kind of chain, kind of statement, roles, fixed member, after the end."""
    word, signed, _subject, detail, _noted, closed = cells
    fixed = re.fullmatch(r"`([a-z_]+) = ([a-z]+)`", detail)
    return {
        "chain": chain,
        "kind": word.strip("`") if word.startswith("`") else None,
        "roles": [role.strip() for role in signed.split(",")] if signed != "–" else [],
        "fixed": list(fixed.groups()) if fixed else None,
        "closed": closed == "yes",
    }


def events() -> dict[str, object]:
    """The table of events, with the kind of chain that each section speaks of."""
    found: dict[str, object] = {}
    for section in (SPEC / "events.md").read_text(encoding="utf-8").split("\n## ")[1:]:
        title = section.splitlines()[0]
        chain = "both" if " or " in title else title.split()[-1]
        for name, rest in ROW.findall(section):
            cells = [cell.strip().replace("\\", "") for cell in re.split(r"(?<!\\)\|", rest)]
            found[name] = event_row(cells, chain)
    return found


def vocabulary() -> str:
    """The module that holds the specification's machine-readable parts."""
    schemas = {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((SPEC / "schemas").glob("*.json"))
    }
    for schema in schemas.values():
        for member in ("$schema", "$id", "title", "description"):
            schema.pop(member, None)
    schemas.pop("report", None)
    rows = ",\n".join(
        f"  {json.dumps(name)}: {json.dumps(schema, separators=(',', ':'))}" for name, schema in schemas.items()
    )
    table = ",\n".join(
        f"  {json.dumps(name)}: {json.dumps(row, separators=(',', ':'))}" for name, row in events().items()
    )
    return (
        "// Made by verifier/build.py from docs/spec/schemas and docs/spec/events.md.\n\n"
        f"export const SCHEMAS = {{\n{rows},\n}};\n\nexport const EVENTS = {{\n{table},\n}};\n"
    )


def catalogue() -> str:
    """The module that holds what reports say, by language: of our catalogue what the report needs."""
    languages = {}
    for path in sorted(WORDS.glob("*.json")):
        words = json.loads(path.read_text(encoding="utf-8"))
        languages[path.stem] = {key: said for key, said in words.items() if key.partition(".")[0] in SAID}
    rows = ",\n".join(f"  {json.dumps(name)}: {_lines(words)}" for name, words in languages.items())
    return f"// Made by verifier/build.py from custody/words.\n\nexport const CATALOGUE = {{\n{rows},\n}};\n"


def _lines(words: dict[str, str]) -> str:
    rows = ",\n".join(f"    {json.dumps(key)}: {json.dumps(said, ensure_ascii=False)}" for key, said in words.items())
    return f"{{\n{rows},\n  }}"


def scope(name: str) -> str:
    """What a module is called in the one script."""
    return f"{name.replace('-', '_')}_js"


def joined(name: str, done: list[str], modules: dict[str, str]) -> str:
    """A module behind everything it imports, each once: a function that is called at once and gives what it exports."""
    if name in done:
        return ""
    done.append(name)
    text = modules[f"{name}.js"]
    before = "".join(joined(found, done, modules) for _, found in IMPORT.findall(text))
    exports = ", ".join(EXPORT.findall(text))
    body = IMPORT.sub(lambda found: f"const {found[1].replace(' as ', ': ')} = {scope(found[2])};\n", text)
    return f"{before}const {scope(name)} = (() => {{\n{EXPORT.sub('', body)}\nreturn {{ {exports} }};\n}})();\n"


def digest(text: str) -> str:
    """How a policy names a script or style that stands in the page."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def page(modules: dict[str, str]) -> str:
    """The whole file. The core stands in a script of its own, which the page also hands to its worker."""
    style = (SOURCE / "page.css").read_text(encoding="utf-8")
    done: list[str] = []
    core = '\n"use strict";\n' + joined("worker", done, modules)
    ui = '\n"use strict";\n' + joined("page", done, modules)
    if "</script" in core + ui:
        raise SystemExit("error: a script holds the end of a script")
    policy = (
        f"default-src 'none'; script-src {digest(core)} {digest(ui)}; style-src {digest(style)}; "
        "worker-src blob:; base-uri 'none'; form-action 'none'"
    )
    text = (SOURCE / "page.html").read_text(encoding="utf-8")
    for mark, value in (("POLICY", policy), ("STYLE", style), ("CORE", core), ("PAGE", ui)):
        text = text.replace(f"%{mark}%", value, 1)
    return text


def main() -> int:
    """Write what the sources give, or compare it."""
    modules = {path.name: path.read_text(encoding="utf-8") for path in sorted(SOURCE.glob("*.js"))}
    written = {"vocabulary.js": vocabulary(), "catalogue.js": catalogue()}
    modules |= written
    made = {SOURCE / name: text for name, text in written.items()}
    if (SOURCE / "page.html").exists():
        made[TARGET] = page(modules)
    stale = [path for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv[1:]:
        sys.stdout.writelines(f"error: {path.name} is not what its sources give\n" for path in stale)
        return 1 if stale else 0
    for path in stale:
        path.write_text(made[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
