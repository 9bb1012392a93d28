"""A headless Chromium with WebGPU in software, driven by the DevTools protocol over two pipes.

    with Chromium() as browser:
        tab = browser.open("http://localhost:8080/")
        tab.wait("document.documentElement.dataset.state === 'running'", seconds=60)
        tab.click(100, 200)
        tab.screenshot("page.png")

CHROMIUM names another binary. Nothing but Python's standard library is needed."""
import base64, json, os, queue, sys, threading, time

from headless import Failure, Headless, Page

BASIC = ["--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--remote-debugging-pipe"]
# The last lines are for screenshots: without them the compositor is not on Vulkan, and what WebGPU drew stays black there.
WEBGPU = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader",
          "--enable-gpu", "--ignore-gpu-blocklist", "--enable-unsafe-swiftshader", "--use-angle=swiftshader",
          "--use-vulkan=swiftshader", "--enable-features=Vulkan"]
# Chromium reads commands at file descriptor 3 and answers at 4; these are not free in this process.
LAUNCH = """import os, sys
r, w = (os.dup(int(fd)) for fd in sys.argv[1:3])
high = [os.dup2(fd, 50 + i, False) for i, fd in enumerate((r, w))]
os.dup2(high[0], 3); os.dup2(high[1], 4)
os.execvp(sys.argv[3], sys.argv[3:])"""
MODIFIERS = {"alt": 1, "ctrl": 2, "meta": 4, "shift": 8}
# Keys that write nothing or whose code is not that of a letter: the key code of Windows, the text.
KEYS = {"Enter": (13, "\r"), "Tab": (9, ""), "Backspace": (8, ""), "Escape": (27, ""), "Delete": (46, ""), "Home": (36, ""),
        "End": (35, ""), "PageUp": (33, ""), "PageDown": (34, ""), "ArrowLeft": (37, ""), "ArrowUp": (38, ""),
        "ArrowRight": (39, ""), "ArrowDown": (40, ""), "Space": (32, " "), "Shift": (16, ""), "Control": (17, ""), "Alt": (18, ""),
        **{f"F{n}": (111 + n, "") for n in range(1, 13)}}
SIGNS = {",": "Comma", ".": "Period", "/": "Slash", ";": "Semicolon", "'": "Quote", "[": "BracketLeft", "]": "BracketRight",
         "\\": "Backslash", "-": "Minus", "=": "Equal", "`": "Backquote", "+": "Equal", "?": "Slash"}


class Chromium(Headless):
    """The browser. `arguments` are further ones; without `webgpu` it has none; a `profile` is kept, else a new one removed."""

    def __init__(self, arguments=(), webgpu=True, profile=None, downloads=None):
        super().__init__(profile, downloads)
        self.answers, self.tabs, self.events, self.last = {}, {}, queue.Queue(), 0
        self.lock = threading.Lock()
        commands, answers = os.pipe(), os.pipe()
        program = os.environ.get("CHROMIUM", "chromium")
        self.start([sys.executable, "-c", LAUNCH, str(commands[0]), str(answers[1]), program, *BASIC, *(WEBGPU if webgpu else []),
                    "--user-data-dir=" + self.profile, *arguments, "about:blank"], pass_fds=(commands[0], answers[1]))
        os.close(commands[0])
        os.close(answers[1])
        self.output = commands[1]
        threading.Thread(target=self._read, args=(answers[0],), daemon=True).start()
        try:
            self.version = self.call("Browser.getVersion", seconds=60)["product"]
            self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=self.downloads, eventsEnabled=True)
        except Failure as e:
            self.close()
            raise Failure(f"{program} does not start: {e}") from None

    def _read(self, source):
        rest = b""
        with os.fdopen(source, "rb", buffering=0) as pipe:
            while piece := pipe.read(1 << 20):
                *messages, rest = (rest + piece).split(b"\0")
                for message in map(json.loads, messages):
                    if "id" in message:
                        if waiting := self.answers.pop(message["id"], None):
                            waiting.put(message)
                    elif tab := self.tabs.get(message.get("sessionId")):
                        tab._event(message["method"], message["params"])
                    else:
                        self.events.put((message["method"], message["params"]))
        for waiting in list(self.answers.values()):
            waiting.put({"error": {"message": "the browser ended"}})

    def send(self, method, session=None, **parameters):
        """Sends a command; what comes back is put into the queue returned."""
        waiting = queue.Queue()
        with self.lock:
            self.last += 1
            self.answers[self.last] = waiting
            message = {"id": self.last, "method": method, "params": parameters}
            if session:
                message["sessionId"] = session
            data = json.dumps(message).encode() + b"\0"
            try:
                while data:
                    data = data[os.write(self.output, data):]
            except OSError as e:
                waiting.put({"error": {"message": f"the browser ended: {e}"}})
        return waiting

    def call(self, method, session=None, seconds=30, **parameters):
        """The result of a command."""
        try:
            answer = self.send(method, session, **parameters).get(timeout=seconds)
        except queue.Empty:
            raise Failure(f"{method}: no answer within {seconds} s") from None
        if "error" in answer:
            raise Failure(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def open(self, url="about:blank", size=(1280, 800), scale=1, dark=False):
        """A new tab. `size` in CSS pixels, `scale` device pixels for each."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = self.tabs[session] = Tab(self, target, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            tab.call(domain + ".enable")
        tab.call("Page.setInterceptFileChooserDialog", enabled=True)
        tab.call("Emulation.setFocusEmulationEnabled", enabled=True)
        tab.resize(*size, scale)
        tab.dark(dark)
        if url != "about:blank":
            tab.go(url)
        return tab

    def downloaded(self, seconds=30):
        """The file of the next download that ends."""
        end, names = time.monotonic() + seconds, {}
        while True:
            try:
                method, event = self.events.get(timeout=max(0, end - time.monotonic()))
            except queue.Empty:
                raise Failure(f"no download ended within {seconds} s") from None
            if method == "Browser.downloadWillBegin":
                names[event["guid"]] = event["suggestedFilename"]
            elif method == "Browser.downloadProgress" and event["state"] == "canceled":
                raise Failure(f"the download of {names.get(event['guid'])} was canceled")
            elif method == "Browser.downloadProgress" and event["state"] == "completed":
                return event.get("filePath") or os.path.join(self.downloads, names[event["guid"]])

    def quit(self):
        self.send("Browser.close")

    def close(self):
        super().close()
        os.close(self.output)


class Tab(Page):
    """A tab. `console` has the page's messages as (level, text), `exceptions` what nobody caught."""

    def __init__(self, browser, target, session):
        self.browser, self.target, self.session = browser, target, session
        self.console, self.exceptions, self.files = [], [], []
        self.loads, self.chosen = queue.Queue(), queue.Queue()

    def _event(self, method, event):
        if method == "Runtime.consoleAPICalled":
            texts = (str(a.get("value", a.get("description", a["type"]))) for a in event["args"])
            self.console.append((event["type"], " ".join(texts)))
        elif method == "Log.entryAdded":
            entry = event["entry"]
            self.console.append((entry["level"], f"{entry['text']} {entry.get('url', '')}".strip()))
        elif method == "Runtime.exceptionThrown":
            details = event["exceptionDetails"]
            self.exceptions.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Page.loadEventFired":
            self.loads.put(event)
        elif method == "Page.javascriptDialogOpening":
            self.send("Page.handleJavaScriptDialog", accept=True)
        elif method == "Page.fileChooserOpened":
            self.send("DOM.setFileInputFiles", files=self.files, backendNodeId=event["backendNodeId"])
            self.chosen.put(event)

    def send(self, method, **parameters):
        return self.browser.send(method, self.session, **parameters)

    def call(self, method, seconds=30, **parameters):
        """The result of a command of the protocol to this tab."""
        return self.browser.call(method, self.session, seconds, **parameters)

    def _loaded(self, what, seconds):
        try:
            self.loads.get(timeout=seconds)
        except queue.Empty:
            raise Failure(f"{what} is not loaded after {seconds} s") from None

    def _load(self, seconds, method, **parameters):
        while not self.loads.empty():
            self.loads.get()
        if error := self.call(method, seconds, **parameters).get("errorText"):
            raise Failure(f"{parameters.get('url', method)}: {error}")
        self._loaded(parameters.get("url", method), seconds)

    def go(self, url, seconds=30):
        """Goes to an address and waits until it is loaded."""
        self._load(seconds, "Page.navigate", url=url)

    def reload(self, seconds=30):
        """Loads the page again."""
        self._load(seconds, "Page.reload")

    def evaluate(self, script, await_promise=True, seconds=30):
        """The value of an expression in the page; of what a promise settles to."""
        result = self.call("Runtime.evaluate", seconds, expression=script, awaitPromise=await_promise, returnByValue=True,
                           userGesture=True)
        if details := result.get("exceptionDetails"):
            thrown = details.get("exception", {})
            raise Failure(thrown.get("description") or str(thrown.get("value", details["text"])))
        return result["result"].get("value")

    def resize(self, width, height, scale=1):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False)

    def dark(self, dark):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def png(self):
        """What the tab shows."""
        return base64.b64decode(self.call("Page.captureScreenshot", 60, format="png")["data"])

    def _mouse(self, kind, x, y, **more):
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def move(self, x, y, modifiers=()):
        self._mouse("mouseMoved", x, y, modifiers=bits(modifiers))

    def click(self, x, y, button="left", count=1, modifiers=()):
        """Clicks; a `count` of 2 is the second click of a double click."""
        self.move(x, y, modifiers)
        for kind in ("mousePressed", "mouseReleased"):
            self._mouse(kind, x, y, button=button, clickCount=count, modifiers=bits(modifiers))

    def click_on(self, selector):
        """Clicks in the middle of the first element of the page that a CSS selector finds."""
        self.click(*self.evaluate(f"{{ const box = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
                                  " [box.x + box.width / 2, box.y + box.height / 2] }"))

    def drag(self, points, button="left", modifiers=()):
        """Presses at the first point, moves over the others, releases at the last."""
        self.move(*points[0], modifiers)
        pressed = {"button": button, "modifiers": bits(modifiers)}
        self._mouse("mousePressed", *points[0], clickCount=1, **pressed)
        for x, y in points[1:]:
            self._mouse("mouseMoved", x, y, buttons={"left": 1, "right": 2, "middle": 4}[button], **pressed)
        self._mouse("mouseReleased", *points[-1], clickCount=1, **pressed)

    def wheel(self, x, y, dy, dx=0, modifiers=()):
        self._mouse("mouseWheel", x, y, deltaX=dx, deltaY=dy, modifiers=bits(modifiers))

    def key(self, name, modifiers=()):
        """Presses and releases a key: a character, or a name as `Enter`, `ArrowLeft`, `F1`. Modifiers: ctrl, shift, alt, meta."""
        if name in KEYS:
            (number, text), code, key = KEYS[name], name, " " if name == "Space" else name
        else:
            key, text, number = name, name, ord(name.upper()) if name.isalnum() else 0
            code = f"Key{name.upper()}" if name.isalpha() else f"Digit{name}" if name.isdigit() else SIGNS.get(name, "")
        # With Ctrl a key writes nothing.
        if not {"ctrl", "meta", "alt"}.isdisjoint(modifiers):
            text = ""
        common = {"key": key, "code": code, "windowsVirtualKeyCode": number, "modifiers": bits(modifiers)}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **common, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text):
        for character in text:
            self.key("Space" if character == " " else character, ("shift",) if character.isupper() else ())

    def drop(self, x, y, paths):
        """Drops files or folders of the disk at a point."""
        data = {"items": [], "files": [os.path.abspath(p) for p in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def choose(self, paths):
        """What the next dialogs for files choose."""
        self.files = [os.path.abspath(p) for p in paths]

    def close(self):
        self.call("Page.close")
        self.browser.tabs.pop(self.session, None)


def bits(modifiers):
    if isinstance(modifiers, str):
        modifiers = (modifiers,)
    return sum(MODIFIERS[m] for m in modifiers)
