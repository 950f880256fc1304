"""verifier.html in headless Chromium and Firefox, opened from disk as a reader opens it."""

import base64
import importlib.util
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from custody.trust import CHECKS
from tests.custody import test_verify_flips as flips
from tests.custody.world import World, zipped
from tests.verifier import corpus, second
from tests.verifier import test_bundle_vectors as vectors
from tests.verifier.browsers import BROWSERS
from tests.verifier.test_second_verifier import facts

PAGE = second.ROOT / "verifier" / "verifier.html"

RUN_CASE = """
(async (found) => {
  const decoded = (text) => Uint8Array.from(atob(text), (unit) => unit.charCodeAt(0));
  const given = (what) => typeof what === "string" ? container_js.sourceOf(decoded(what))
    : new Map(Object.entries(what).map(([name, text]) => [name, container_js.sourceOf(decoded(text))]));
  const options = { allowWithheld: found.allow_withheld, now: found.now && bytes_js.instant(found.now) };
  if (found.trust) options.trust = decoded(found.trust);
  if (found.before_trust) options.beforeTrust = decoded(found.before_trust);
  for (const name of ["items", "mirror", "since", "before"]) if (found[name]) options[name] = given(found[name]);
  const refused = ({ code, kind }) => { if (!kind) throw new Error(code); return { error: { code } }; };
  return JSON.stringify(await main_js.verify(given(found.bundle), options).catch(refused));
})(%s)
"""

ANSWER = """
new Promise((done) => {
  const status = document.getElementById("status"), start = document.getElementById("start");
  new MutationObserver(() => { if (!start.disabled) done(status.textContent); }).observe(start, { attributes: true });
  start.click();
})
"""


DROP = """
(async (files) => {
  const dropped = new DataTransfer();
  for (const [name, text] of Object.entries(files)) {
    dropped.items.add(new File([Uint8Array.from(atob(text), (unit) => unit.charCodeAt(0))], name));
  }
  const told = ["bundle", "trust", "items"].map((name) => document.getElementById(name + "-chosen"));
  const before = told.map((place) => place.textContent);
  document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: dropped, bubbles: true, cancelable: true }));
  while (told.some((place, n) => place.textContent === before[n])) await new Promise((done) => setTimeout(done, 1));
  return told.map((place) => place.textContent).join("; ");
})(%s)
"""

REACH = """
((address) => Promise.all([
  fetch(address + "/fetch").catch(() => 0),
  new Promise((done) => { const made = new Image(); made.onerror = made.onload = done; made.src = address + "/image"; }),
  new Promise((done) => {
    const made = document.createElement("link");
    made.onerror = made.onload = done;
    made.rel = "stylesheet";
    made.href = address + "/style";
    document.head.append(made);
  }),
]).then(() => 0))(%s)
"""


@pytest.fixture(scope="module", params=sorted(BROWSERS))
def browser(request, tmp_path_factory):
    started = BROWSERS[request.param](tmp_path_factory.mktemp(request.param))
    yield started
    started.close()


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """Honest bundles of every kind, what only one check finds, and some damage."""
    made = tmp_path_factory.mktemp("made")
    return [*corpus.of_kinds(made), *corpus.of_checks(made)]


def chosen(browser, directory, **files):
    """Open the page anew, choose files, check, and give what the page then says."""
    browser.open(PAGE)
    for name, data in files.items():
        path = directory / f"{name}.{'json' if name == 'trust' else 'zip'}"
        path.write_bytes(data)
        browser.put(f"#{name}", [path])
    return browser.evaluate(ANSWER)


def test_a_reader_sees_what_holds(browser, tmp_path):
    trust = flips.TRUST.encode()
    assert chosen(browser, tmp_path, bundle=zipped(flips.FILES), trust=trust) == "VERIFIED (exit code 0)"
    assert browser.evaluate("document.querySelectorAll('#report tbody tr').length") == len(CHECKS)
    assert browser.evaluate("document.activeElement.id") == "report"
    browser.evaluate("document.querySelector('[data-language=fr]').click()")
    assert (
        browser.evaluate("document.documentElement.lang + ' ' + document.querySelector('#verdict strong').textContent")
        == "fr VÉRIFIÉ (code de sortie 0)"
    )


def test_what_is_dropped_anywhere_is_known_for_what_it_is(browser):
    world = World(seen=False).exchange()
    item = world.items[0]
    files = {
        "any.name": zipped(world.bundle()),
        "mine": world.trust().encode(),
        f"{item.id}.age": item.header + item.body,
    }
    browser.open(PAGE)
    given = {name: base64.b64encode(data).decode() for name, data in files.items()}
    assert browser.evaluate(DROP % json.dumps(given)) == "any.name; mine; files: 1"
    assert browser.evaluate(ANSWER) == "VERIFIED (exit code 0)"


def test_a_reader_sees_what_does_not_hold(browser, tmp_path):
    files = World(seen=False).exchange()
    forged = zipped(files.forge(9, noted__bytes=0).bundle() | {"verify.md": b"<img src=x onerror=alert(1)>"})
    said = chosen(browser, tmp_path, bundle=forged[:-1] + b"x", trust=files.trust().encode())
    assert said == "NOT OK: malformed (exit code 3)"
    assert chosen(browser, tmp_path, bundle=zipped(files.bundle())) == "NOT OK: signer or quorum (exit code 22)"
    assert "cannot be used" in chosen(browser, tmp_path, bundle=zipped(files.bundle()), trust=b"{}")


@pytest.fixture(scope="module")
def listener():
    """An address on this machine, and everything that is asked there."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def test_the_page_can_reach_nothing(browser, listener, tmp_path):
    address, asked = listener
    free = tmp_path / "free.html"
    free.write_text("<!doctype html><title>no policy</title>", encoding="utf-8")
    for page, heard in [(free, True), (PAGE, False)]:
        asked.clear()
        browser.open(page)
        browser.evaluate(REACH % json.dumps(address))
        assert {path.split("?")[0] for path in asked} == ({"/fetch", "/image", "/style"} if heard else set())


def test_every_bundle_gets_the_same_report_in_a_browser(browser, cases):
    browser.open(PAGE)
    wrong = {}
    for case in cases:
        question = {name: value for name, value in case.items() if name != "report"}
        report = json.loads(browser.evaluate(RUN_CASE % json.dumps(question)))
        if rows := second.differences(case, report):
            wrong[case["about"]] = rows
    assert wrong == {}


@pytest.mark.deep
def test_a_bundle_vector_is_judged_as_its_row_says_in_a_browser(browser, effort):
    def at(text):
        beside = isinstance(text, str) and text.startswith("./")
        return base64.b64encode((vectors.FOLDER / text).read_bytes()).decode() if beside else text

    browser.open(PAGE)
    paths = effort.random.sample(vectors.FILES, len(vectors.FILES))
    wrong = {}
    for turn in effort.turns(usual=8, full=len(paths)):
        row = json.loads(paths[turn].read_text(encoding="utf-8"))
        question = {name: at(value) for name, value in row.items() if name not in {"about", "expect"}}
        report = json.loads(browser.evaluate(RUN_CASE % json.dumps(question)))
        if "error" in report or not second.unread(report):
            wrong[paths[turn].stem] = vectors.misses(report, row["expect"], places=False)
    assert {name: found for name, found in wrong.items() if found is not None} == {}


def test_every_fact_has_its_answer_in_a_browser(browser):
    spec = importlib.util.spec_from_file_location("build", PAGE.parent / "build.py")
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    browser.open(PAGE)
    modules = {path.stem + ".js": path.read_text(encoding="utf-8") for path in build.SOURCE.glob("*.js")}
    browser.evaluate(f"(() => {{{build.joined('vectors', [], modules)}globalThis.answer = vectors_js.runVector;}})()")
    vectors = {path.stem: vector for path, vector in facts()}
    browser.evaluate(f"globalThis.all = {json.dumps(vectors)}; 0")
    asked = "Object.entries(all).map(([name, vector]) => [name, answer(vector, (other) => all[other].input).found])"
    found = dict(json.loads(browser.evaluate(f"JSON.stringify({asked})")))
    assert {name: said for name, said in found.items() if said != vectors[name]["expect"]} == {}


def test_a_folder_of_items_is_compared_in_a_browser(browser, tmp_path):
    world = World(seen=False).exchange()
    paths = [tmp_path / f"{item.id}.age" for item in world.items]
    for path, item in zip(paths, world.items, strict=True):
        path.write_bytes(item.header + item.body)
    (tmp_path / "bundle.zip").write_bytes(zipped(world.bundle()))
    (tmp_path / "trust.json").write_bytes(world.trust(require=("items",)).encode())
    (tmp_path / "changed").mkdir()
    changed = tmp_path / "changed" / paths[0].name
    changed.write_bytes(paths[0].read_bytes()[:-1] + b"x")
    for items, said in [(paths, "VERIFIED (exit code 0)"), ([changed, *paths[1:]], "NOT OK: tampered (exit code 20)")]:
        browser.open(PAGE)
        for name, files in [
            ("bundle", [tmp_path / "bundle.zip"]),
            ("trust", [tmp_path / "trust.json"]),
            ("items", items),
        ]:
            browser.put(f"#{name}", files)
        assert browser.evaluate(ANSWER) == said
