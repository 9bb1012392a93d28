"""A headless Firefox, driven by Marionette, its own protocol of remote control. As `Chromium` of chromium.py; WebGPU is what the
system's Vulkan driver gives.

    with Firefox() as browser:
        tab = browser.open("http://localhost:8080/")
        tab.wait("document.documentElement.dataset.state === 'running'", seconds=60)
        tab.screenshot("page.png")

FIREFOX names another binary; 141 or later has WebGPU. Nothing but Python's standard library is needed."""
import base64, json, os, shutil, socket, time

from headless import Failure, Headless, Page

PREFERENCES = {
    # On Linux it is off for drivers that Mozilla has not tried.
    "dom.webgpu.enabled": True, "gfx.webgpu.ignore-blocklist": True,
    "marionette.port": 0, "browser.startup.page": 0, "browser.shell.checkDefaultBrowser": False, "app.update.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False, "toolkit.telemetry.reportingpolicy.firstRun": False,
    "network.captive-portal-service.enabled": False, "network.connectivity-service.enabled": False,
    "browser.download.folderList": 2, "browser.download.useDownloadDir": True, "browser.download.alwaysOpenPanel": False,
    "browser.helperApps.neverAsk.saveToDisk": "application/zip,application/octet-stream",
}
# Code points that WebDriver has for keys without a character.
KEYS = {"Enter": "\ue007", "Tab": "\ue004", "Backspace": "\ue003", "Escape": "\ue00c", "Delete": "\ue017", "Home": "\ue011",
        "End": "\ue010", "PageUp": "\ue00e", "PageDown": "\ue00f", "ArrowLeft": "\ue012", "ArrowUp": "\ue013",
        "ArrowRight": "\ue014", "ArrowDown": "\ue015", "Space": " "}
MODIFIERS = {"shift": "\ue008", "ctrl": "\ue009", "alt": "\ue00a", "meta": "\ue03d"}
BUTTONS = {"left": 0, "middle": 1, "right": 2}


class Firefox(Headless):
    """The browser with one tab. A `profile` is kept, else a new one removed."""

    def __init__(self, profile=None, downloads=None):
        super().__init__(profile, downloads)
        self.known, self.last, self.socket = set(os.listdir(self.downloads)), 0, None
        with open(os.path.join(self.profile, "user.js"), "w") as f:
            for name, value in {**PREFERENCES, "browser.download.dir": self.downloads}.items():
                f.write(f"user_pref({json.dumps(name)}, {json.dumps(value)});\n")
        port = os.path.join(self.profile, "MarionetteActivePort")
        if os.path.exists(port):
            os.remove(port)
        program = os.environ.get("FIREFOX") or shutil.which("firefox") or "firefox-esr"
        self.start([program, "--headless", "--marionette", "--remote-allow-system-access", "--profile", self.profile, "about:blank"])
        try:
            self.socket = socket.create_connection(("127.0.0.1", int(self._port(port, 60))))
            self._receive(60)
            made = self.call("WebDriver:NewSession", seconds=60, capabilities={"alwaysMatch": {"unhandledPromptBehavior": "accept"}})
            self.version = f"Firefox/{made['capabilities']['browserVersion']}"
            self.call("WebDriver:SetTimeouts", script=3_600_000, pageLoad=3_600_000)
        except (Failure, OSError) as e:
            self.close()
            raise Failure(f"{program} does not start: {e}") from None

    def _port(self, file, seconds):
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            if os.path.exists(file):
                with open(file) as f:
                    if text := f.read().strip():
                        return text
            time.sleep(0.05)
        raise Failure("it opens no port")

    def _bytes(self, count):
        data = b""
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                raise Failure("the browser ended")
            data += piece
        return data

    def _receive(self, seconds):
        """A message: its length in decimal digits, a colon, JSON."""
        self.socket.settimeout(seconds)
        length = b""
        while (digit := self._bytes(1)) != b":":
            length += digit
        return json.loads(self._bytes(int(length)))

    def call(self, command, seconds=30, **parameters):
        """The result of a command."""
        self.last += 1
        data = json.dumps([0, self.last, command, parameters]).encode()
        try:
            self.socket.sendall(str(len(data)).encode() + b":" + data)
            _, _, error, result = self._receive(seconds)
        except TimeoutError:
            raise Failure(f"{command}: no answer within {seconds} s") from None
        if error:
            raise Failure(f"{command}: {error['message']}")
        return result

    def open(self, url="about:blank", size=(1280, 800)):
        """The tab. `size` of the page in CSS pixels."""
        tab = Tab(self)
        for _ in range(2):
            inner = tab.evaluate("[innerWidth, innerHeight, outerWidth, outerHeight]")
            width, height = (outer + wanted - now for wanted, now, outer in zip(size, inner, inner[2:]))
            self.call("WebDriver:SetWindowRect", width=width, height=height)
        tab.go(url)
        return tab

    def downloaded(self, seconds=30):
        """The file of the next download that ends."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            names = set(os.listdir(self.downloads))
            # An unfinished one is an empty file, and one with another extension beside it.
            for name in sorted(names - self.known):
                if not name.endswith(".part") and not any(other.endswith(".part") for other in names - self.known):
                    file = os.path.join(self.downloads, name)
                    if os.path.getsize(file):
                        self.known.add(name)
                        return file
            time.sleep(0.1)
        raise Failure(f"no download ended within {seconds} s")

    def quit(self):
        if self.socket is None:
            raise Failure("nobody listens")
        self.call("Marionette:Quit", flags=["eForceQuit"])


class Tab(Page):
    """The tab."""

    def __init__(self, browser):
        self.browser, self.exceptions, self.url = browser, [], "about:"

    @property
    def console(self):
        """Errors and warnings of the page as (level, text)."""
        self.browser.call("Marionette:SetContext", value="chrome")
        try:
            found = self.browser.call("WebDriver:ExecuteScript", args=[self.url], script="""
                return Services.console.getMessageArray()
                    .filter(m => m instanceof Ci.nsIScriptError && m.sourceName.startsWith(arguments[0]))
                    .map(m => [m.flags & Ci.nsIScriptError.warningFlag ? 'warning' : 'error', m.errorMessage]);""")["value"]
        finally:
            self.browser.call("Marionette:SetContext", value="content")
        return [tuple(pair) for pair in found]

    def go(self, url, seconds=60):
        """Goes to an address and waits until it is loaded."""
        self.url = url.split("?")[0]
        self.browser.call("WebDriver:Navigate", seconds, url=url)

    def reload(self, seconds=60):
        """Loads the page again."""
        self.browser.call("WebDriver:Refresh", seconds)

    def evaluate(self, script, await_promise=True, seconds=30):
        """The value of an expression in the page; of what a promise settles to."""
        body = f"""const done = arguments[arguments.length - 1];
            (async () => eval({json.dumps(script)}))().then(value => done({{ value }}), e => done({{ error: `${{e}} ${{e?.stack ?? ""}}` }}));"""
        result = self.browser.call("WebDriver:ExecuteAsyncScript", seconds, script=body, args=[], sandbox=None)["value"]
        if "error" in result:
            raise Failure(result["error"])
        return result.get("value")

    def png(self):
        """What the tab shows."""
        return base64.b64decode(self.browser.call("WebDriver:TakeScreenshot", 60, full=False)["value"])

    def _perform(self, kind, identity, actions, **parameters):
        self.browser.call("WebDriver:PerformActions", 60, actions=[{"type": kind, "id": identity, "actions": actions, **parameters}])

    def _at(self, x, y, duration=0):
        return {"type": "pointerMove", "x": round(x), "y": round(y), "duration": duration, "origin": "viewport"}

    def drag(self, points, button="left"):
        """Presses at the first point, moves over the others, releases at the last."""
        first, *others = points
        press, release = ({"type": kind, "button": BUTTONS[button]} for kind in ("pointerDown", "pointerUp"))
        moves = [self._at(x, y, 10) for x, y in others]
        self._perform("pointer", "mouse", [self._at(*first), press, *moves, release], parameters={"pointerType": "mouse"})

    def click(self, x, y, button="left"):
        self.drag([(x, y)], button)

    def key(self, name, modifiers=()):
        """Presses and releases a key: a character, or a name as `Enter`, `ArrowLeft`. Modifiers: ctrl, shift, alt, meta."""
        modifiers = [MODIFIERS[m] for m in ((modifiers,) if isinstance(modifiers, str) else modifiers)]
        key = KEYS.get(name, name.upper() if MODIFIERS["shift"] in modifiers else name)
        down, up = ([{"type": kind, "value": value} for value in values]
                    for kind, values in (("keyDown", [*modifiers, key]), ("keyUp", [key, *reversed(modifiers)])))
        self._perform("key", "keyboard", down + up)

    def drop(self, x, y, paths):
        """Drops files of the disk at a point: events of the page, since the protocol has none."""
        files = []
        for path in paths:
            with open(path, "rb") as f:
                files.append([os.path.basename(path), base64.b64encode(f.read()).decode()])
        self.evaluate(f"""(() => {{
            const dataTransfer = new DataTransfer();
            for (const [name, text] of {json.dumps(files)})
                dataTransfer.items.add(new File([Uint8Array.from(atob(text), c => c.charCodeAt(0))], name));
            const target = document.elementFromPoint({x}, {y}) ?? document.body;
            for (const kind of ['dragenter', 'dragover', 'drop'])
                target.dispatchEvent(new DragEvent(kind, {{ bubbles: true, cancelable: true, clientX: {x}, clientY: {y}, dataTransfer }}));
        }})()""")
