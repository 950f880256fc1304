"""Chromium by its DevTools protocol and Firefox by WebDriver BiDi, headless, each with a profile of its own.

Both offer: open a page from disk, put files into an input, evaluate an expression. Nothing between them and the page.
"""

import contextlib
import itertools
import json
import os
import re
import shutil
import subprocess

from tests.verifier.websocket import WebSocket


class Browser:
    """What both have in common: requests with numbers, answers with the same."""

    def __init__(self, words, home):
        environment = os.environ | {"HOME": str(home), "DBUS_SESSION_BUS_ADDRESS": "disabled:"}
        self._log = (home / "log").open("wb")
        self._process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
        )
        self._numbers, self.events = itertools.count(1), []
        self._socket = WebSocket(self._address() + self.path)

    def _address(self):
        for line in self._process.stdout:
            self._log.write(line)
            if found := re.search(rb"ws://[0-9.:]+\S*", line):
                return found[0].decode()
        raise ConnectionError("the browser ended before it listened")

    def ask(self, method, params=None, **more):
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params or {}, **more}))
        while True:
            answer = json.loads(self._socket.receive())
            if answer.get("id") == number:
                break
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer}")
        return answer["result"]

    def close(self):
        with contextlib.suppress(OSError):
            self._socket.close()
        self._process.terminate()
        self._process.stdout.close()
        self._process.wait(timeout=30)
        self._log.close()


class Chromium(Browser):
    """Chromium, Chrome or what else speaks the DevTools protocol."""

    path = ""

    def __init__(self, home):
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-port=0"]
        program = shutil.which("chromium") or shutil.which("google-chrome") or "chromium"
        super().__init__([program, *flags, f"--user-data-dir={home}/profile", "about:blank"], home)
        target = self.ask("Target.createTarget", {"url": "about:blank"})["targetId"]
        self._session = self.ask("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        self._here("Page.enable")
        self._here("Log.enable")

    def _here(self, method, **params):
        return self.ask(method, params, sessionId=self._session)

    def open(self, path):
        self._here("Page.navigate", url=path.as_uri())
        self.evaluate(
            "new Promise(done => document.readyState === 'complete' ? done(1) : addEventListener('load', done))"
        )

    def put(self, selector, files):
        root = self._here("DOM.getDocument")["root"]["nodeId"]
        node = self._here("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self._here("DOM.setFileInputFiles", nodeId=node, files=list(map(str, files)))

    def evaluate(self, expression):
        """The value of an expression, a promise's too; a string, number or nothing."""
        found = self._here("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"])
        return found["result"].get("value")


class Firefox(Browser):
    """Firefox, the release for the long term or any other of the last years."""

    path = "/session"

    def __init__(self, home):
        program = shutil.which("firefox-esr") or shutil.which("firefox") or "firefox-esr"
        (home / "profile").mkdir()
        flags = ["--headless", "--no-remote", "--remote-debugging-port=0", "--profile", str(home / "profile")]
        super().__init__([program, *flags], home)
        self.ask("session.new", {"capabilities": {}})
        self._context = self.ask("browsingContext.getTree")["contexts"][0]["context"]

    def open(self, path):
        self.ask("browsingContext.navigate", {"context": self._context, "url": path.as_uri(), "wait": "complete"})

    def put(self, selector, files):
        locator = {"type": "css", "value": selector}
        (node,) = self.ask("browsingContext.locateNodes", {"context": self._context, "locator": locator})["nodes"]
        element = {"sharedId": node["sharedId"]}
        self.ask("input.setFiles", {"context": self._context, "element": element, "files": list(map(str, files))})

    def evaluate(self, expression):
        """The value of an expression, a promise's too; a string, number or nothing."""
        target = {"context": self._context}
        found = self.ask("script.evaluate", {"expression": expression, "target": target, "awaitPromise": True})
        if found["type"] == "exception":
            raise RuntimeError(found["exceptionDetails"])
        return found["result"].get("value")


BROWSERS = {"chromium": Chromium, "firefox": Firefox}
