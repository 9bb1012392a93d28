#!/usr/bin/env python3
"""test_web_page.py [PICTURES]: tests all of the page but the application: studio/web in a headless Chromium, with a stand-in for
the module. Less than a minute. Pictures of the page's states go into the folder PICTURES, if named."""
import functools, hashlib, http.server, io, json, os, shutil, socket, struct, subprocess, sys, tempfile, threading, time, zipfile, zlib

from chromium import Chromium
from headless import Failure

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WEB = os.path.join(ROOT, "studio", "web")
PICTURES = sys.argv[1] if len(sys.argv) > 1 else None
ODD = ["Zellkern µ 漢字 🔬.tif", "e\u0301.png", "\u00e9.png", "A.png", "a.png", ".hidden", "..two", "trailing.", "trailing ",
       " leading", "100%.csv", "%41", "a:b*c?\"<>|\\d", "tab\tline\n", "con", "aux.txt", "link.lnk", "~$x.docx", "x.crswap",
       "x.local", "-", "'", "#?&=+", "ÄÖÜ", "İ", "n" * 200, "漢" * 80]
PATTERN = "(seed, length) => Uint8Array.from({length}, (_, i) => (i * 7 + (i >> 8) * 13 + seed) & 255)"
passed, problems = 0, []


def check(name, got, expected=True):
    global passed
    if got == expected:
        passed += 1
    else:
        problems.append(f"{name}: {str(got)[:400]}, not {str(expected)[:400]}")


def fails(name, words, action):
    """What must fail with these words."""
    try:
        problems.append(f"{name}: no failure, but {action()}")
    except Failure as e:
        check(name, words in str(e) or str(e))


def pattern(seed, length):
    return bytes((i * 7 + (i >> 8) * 13 + seed) & 255 for i in range(length))


# In place of what wasm-bindgen writes: compiles a module as it does, draws with WebGPU, gives the functions to this test.
MODULE = """import * as browser from './browser.js';
export default async ({ module_or_path: given }) =>
  WebAssembly.instantiateStreaming(given instanceof Response ? given : fetch(given));
export const work = async () => postMessage({ model: (await browser.fetchModel('nuclei-unet++')).length });
export const start = async (canvas, worker, demo) => {
  Object.assign(globalThis, { browser, said: 'VERSION', demo });
  globalThis.worked = new Promise((resolve, reject) => Object.assign(new Worker(worker, { type: 'module' }), {
    onmessage: event => resolve(event.data), onerror: event => reject(new Error(event.message)) }));
  [canvas.width, canvas.height] = [canvas.clientWidth, canvas.clientHeight];
  const device = await (await navigator.gpu.requestAdapter()).requestDevice();
  const context = canvas.getContext('webgpu');
  context.configure({ device, format: navigator.gpu.getPreferredCanvasFormat() });
  const frame = () => {
    const encoder = device.createCommandEncoder();
    const view = context.getCurrentTexture().createView();
    encoder.beginRenderPass({ colorAttachments: [{ view, loadOp: 'clear', storeOp: 'store', clearValue: [1, 0.5, 0, 1] }] }).end();
    device.queue.submit([encoder.finish()]);
    requestAnimationFrame(frame);
  };
  frame();
};
"""


def make_site(site, version):
    """The site as scripts/web.sh makes it, with the stand-in."""
    folder = site + ".new"
    shutil.rmtree(folder, ignore_errors=True)
    app, models = os.path.join(folder, "app"), os.path.join(folder, "models")
    os.makedirs(app)
    os.makedirs(models)
    for name in ("index.html", "sw.js", "manifest.webmanifest"):
        shutil.copy(os.path.join(WEB, name), folder)
    shutil.copy(os.path.join(ROOT, "studio", "packaging", "unet-studio.svg"), folder)
    for name in ("boot.js", "browser.js", "style.css", "worker.js"):
        shutil.copy(os.path.join(WEB, name), app)
    with open(os.path.join(app, "unet_studio.js"), "w") as f:
        f.write(MODULE.replace("VERSION", version))
    # A module with nothing but a custom section.
    size = 3_000_000
    with open(os.path.join(app, "unet_studio_bg.wasm"), "wb") as f:
        name = b"\x01x"
        length = size + len(name)
        leb = bytes((length >> 7 * i & 127) | (128 if i < 3 else 0) for i in range(4))
        f.write(b"\0asm\1\0\0\0\0" + leb + name + bytes(size))
    with open(os.path.join(models, "nuclei-unet++.safetensors"), "wb") as f:
        f.write(pattern(len(version), 100_000) + version.encode())
    subprocess.run([sys.executable, os.path.join(ROOT, "scripts", "web_site.py"), folder], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(site, ignore_errors=True)
    os.rename(folder, site)


class Server:
    """A server of files, as `python3 -m http.server`, that can be stopped and started at its port."""

    def __init__(self, folder):
        self.folder, self.port, self.requests, self.sockets, self.server = folder, 0, [], [], None
        self.start()

    def start(self):
        """Starts it, if it does not run."""
        if self.server:
            return
        requests, sockets = self.requests, self.sockets

        class Files(http.server.SimpleHTTPRequestHandler):
            def log_message(self, form, *args):
                requests.append(form % args)

        class Quiet(http.server.ThreadingHTTPServer):
            # A browser goes away in the middle of an answer.
            def handle_error(self, *_):
                pass

            # A browser opens connections before it needs them.
            def process_request(self, request, address):
                sockets.append(request)
                super().process_request(request, address)

        self.server = Quiet(("127.0.0.1", self.port), functools.partial(Files, directory=self.folder))
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        for connection in self.sockets:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.sockets.clear()
        self.server = None


def pixel(png, x, y):
    """The colour of a pixel of a PNG in 8-bit RGB or RGBA."""
    data, at, width, channels = b"", 8, 0, 3
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at:at + 8])
        body = png[at + 8:at + 8 + length]
        if kind == b"IHDR":
            width, channels = struct.unpack(">I", body[:4])[0], {2: 3, 6: 4}[body[9]]
        elif kind == b"IDAT":
            data += body
        at += 12 + length
    raw, stride = zlib.decompress(data), width * channels
    above, row = bytearray(stride), bytearray()
    for r in range(y + 1):
        kind, row = raw[r * (stride + 1)], bytearray(raw[r * (stride + 1) + 1:(r + 1) * (stride + 1)])
        for i in range(stride if kind else 0):
            a, b, c = (row[i - channels], above[i], above[i - channels]) if i >= channels else (0, above[i], 0)
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            row[i] = (row[i] + (a, b, (a + b) // 2, paeth)[kind - 1]) & 255
        above = row
    return tuple(row[x * channels:x * channels + 3])


def state(tab, expected, seconds=20):
    try:
        tab.wait(f"document.documentElement.dataset.state === '{expected}'", seconds)
        return True
    except Failure:
        said = tab.evaluate("document.documentElement.dataset.state + ' ' + document.getElementById('report')?.textContent")
        problems.append(f"the page is {said}, not {expected}; console {tab.console}")
        return False


def picture(tab, name):
    if PICTURES:
        os.makedirs(PICTURES, exist_ok=True)
        tab.screenshot(os.path.join(PICTURES, name + ".png"))


def stored(tab):
    """What `restore` gives: paths, and for files the length and hash."""
    return tab.evaluate("""browser.restore().then(all => Promise.all(all.map(async ([path, bytes]) => [path, bytes && [bytes.length,
        Array.from(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)), b => b.toString(16).padStart(2, '0')).join('')
    ]])))""", seconds=60)


def facts(data):
    return [len(data), hashlib.sha256(data).hexdigest()]


def store(tab, changes, seconds=60):
    """Stores changes whose bytes are those of `pattern`: (kind, path, seed, length)."""
    tab.evaluate(f"""{{ const pattern = {PATTERN};
        browser.store({json.dumps(changes)}.map(([kind, path, seed, length]) =>
            kind === 'written' ? [kind, path, pattern(seed, length)] : [kind, path])) }}""", seconds=seconds)


def page(tab, url):
    slow = {"offline": False, "latency": 0, "uploadThroughput": -1}
    tab.call("Network.emulateNetworkConditions", downloadThroughput=2_000_000, **slow)
    tab.send("Page.navigate", url=url)
    tab.wait("document.readyState === 'complete' && document.getElementById('progress').value > 0", 20)
    check("it shows the download", 0 < (value := tab.evaluate("document.getElementById('progress').position")) < 1 or value)
    check("and what it is", tab.evaluate("document.getElementById('progress').labels[0].textContent"), "Loading")
    picture(tab, "loading")
    tab.call("Network.emulateNetworkConditions", downloadThroughput=-1, **slow)
    check("the page runs", state(tab, "running"))
    check("the worker runs and has its model", tab.evaluate("worked"), {"model": 100_003})
    check("no demo", tab.evaluate("demo"), False)
    check("progress", tab.evaluate("document.getElementById('amount').textContent"), "3.0 MB of 3.0 MB")
    time.sleep(0.3)
    check("WebGPU on the canvas, seen", pixel(tab.screenshot(), 600, 400), (255, 128, 0))
    check("nothing in the console", [c for c in tab.console if c[0] in ("error", "warning")] + tab.exceptions, [])
    tab.evaluate("""{ const script = document.createElement('script'); script.textContent = 'globalThis.injected = 1';
        document.body.append(script); }""")
    check("no script but the site's", tab.evaluate("typeof injected + setTimeout('globalThis.injected = 1')"), "undefined0")


def files(tab):
    expected = {"/odd": None, "/odd/deep": None, "/odd/deep/er": None, "/empty": None, "/odd/no bytes": facts(b"")}
    store(tab, [["folder", path, 0, 0] for path in ("/odd", "/odd/deep", "/odd/deep/er", "/empty")])
    changes = [["written", "/odd/no bytes", 0, 0]]
    for i, name in enumerate(ODD):
        for folder in ("/odd", "/odd/deep/er"):
            changes.append(["written", f"{folder}/{name}", i, 1000 + i])
            expected[f"{folder}/{name}"] = facts(pattern(i, 1000 + i))
        changes.append(["folder", f"/empty/{name}", 0, 0])
        expected[f"/empty/{name}"] = None
    store(tab, changes)
    found = stored(tab)
    check("odd names", sorted(found), sorted(map(list, expected.items())))
    paths = [path for path, _ in found]
    check("folders come first", all(path.rpartition("/")[0] in ["", *paths[:i]] for i, path in enumerate(paths)))

    store(tab, [["written", "/odd/new", 1, 5], ["removed", "/odd/A.png"], ["removed", "/odd/deep"], ["removed", "/never/was"],
                ["written", "/odd/a.png", 9, 2000]])
    expected = {path: value for path, value in expected.items() if not path.startswith("/odd/deep") and path != "/odd/A.png"}
    expected |= {"/odd/new": facts(pattern(1, 5)), "/odd/a.png": facts(pattern(9, 2000))}
    tab.evaluate("{ for (let i = 0; i < 50; i++) browser.store([['written', '/turns', Uint8Array.of(i)]]); }")
    tab.evaluate("browser.store([])")
    expected["/turns"] = facts(bytes([49]))
    big = 20_000_000
    start = time.monotonic()
    tab.evaluate(f"browser.store([['written', '/big', new Uint8Array({big}).fill(7)]])", seconds=60)
    print(f"page: 20 MB stored in {time.monotonic() - start:.2f} s")
    expected["/big"] = facts(bytes([7]) * big)
    start = time.monotonic()
    store(tab, [["folder", "/many", 0, 0]] + [["written", f"/many/{i:04}.bin", i, 2000] for i in range(1000)])
    print(f"page: 1000 files of 2 kB stored in {time.monotonic() - start:.2f} s")
    expected |= {"/many": None} | {f"/many/{i:04}.bin": facts(pattern(i, 2000)) for i in range(1000)}
    tab.reload()
    check("the page runs again", state(tab, "running"))
    start = time.monotonic()
    check("all is there after a reload", sorted(stored(tab)), sorted(map(list, expected.items())))
    print(f"page: 1019 files restored and hashed in {time.monotonic() - start:.2f} s")

    fails("a path that is none", "is not the path of a file", lambda: store(tab, [["written", "relative", 0, 1]]))
    fails("a change that is none", "is not a change", lambda: store(tab, [["renamed", "/a", 0, 1]]))
    fails("a file for a folder", "/big/inside cannot be stored", lambda: store(tab, [["written", "/big/inside", 0, 1]]))
    one, two = "new Uint8Array(1)", "new Uint8Array(2)"
    check("in order up to a failure, and none behind it", tab.evaluate(f"""Promise.allSettled([
        browser.store([['written', '/first', {one}], ['written', '/big/inside', {one}], ['written', '/third', {one}]]),
        browser.store([['written', '/fourth', {one}]])]).then(async ends =>
            [...ends.map(end => end.status), (await browser.restore()).filter(([path]) => /first|third|fourth/.test(path)).length])"""),
        ["rejected", "rejected", 1])
    tab.evaluate(f"browser.store([['written', '/third', {two}], ['removed', '/first'], ['removed', '/third']])")
    store(tab, [["removed", "/big"], ["written", "/after", 3, 3]])
    check("goes on", dict(stored(tab)).get("/after"), facts(pattern(3, 3)))
    # As a tab leaves it that dies between the two steps of the browser.
    tab.evaluate("navigator.storage.getDirectory().then(top => top.getDirectoryHandle('unet-studio'))"
                 ".then(folder => folder.getFileHandle('begun', { create: true })).then(() => 0)")
    before = len(stored(tab))
    store(tab, [["folder", "/begun", 0, 0], ["written", "/begun/in", 1, 1]])
    check("a file that was begun is gone", len(stored(tab)), before + 2)
    usage = tab.evaluate("browser.quota()")
    check("quota", 0 < usage["usage"] < usage["quota"] or usage)
    check("persist", tab.evaluate("browser.persist()") in (True, False))


def user(tab, browser, folder):
    tab.evaluate(f"{{ const pattern = {PATTERN}; browser.download('Zellen µ.bin', pattern(5, 70000)); }}")
    path = browser.downloaded()
    with open(path, "rb") as f:
        check("a download", (os.path.basename(path), f.read()), ("Zellen µ.bin", pattern(5, 70000)))
    tab.evaluate(f"""{{ const pattern = {PATTERN}; browser.downloadAll('all.zip', [['/run', null], ['/run/漢字 🔬.tif', pattern(1, 300000)],
        ['empty', new Uint8Array()], ['run/b/c.csv', pattern(2, 9)]]); }}""")
    with zipfile.ZipFile(browser.downloaded()) as archive:
        check("the ZIP is whole", archive.testzip(), None)
        check("its names", archive.namelist(), ["run/", "run/漢字 🔬.tif", "empty", "run/b/c.csv"])
        check("its bytes", [archive.read(n) for n in archive.namelist()], [b"", pattern(1, 300000), b"", pattern(2, 9)])
        age = time.time() - time.mktime((*archive.infolist()[1].date_time, 0, 0, -1))
        check("its time", -5 < age < 60 or age)

    inputs = os.path.join(folder, "inputs")
    os.makedirs(os.path.join(inputs, "inner"))
    for i in range(130):
        with open(os.path.join(inputs, "inner", f"{i:03}.bin"), "wb") as f:
            f.write(pattern(i, i))
    first = os.path.join(inputs, "inner", "007.bin")
    read = "async all => Promise.all(all.map(async ([path, file]) => [path, Array.from(await browser.readFile(file))]))"
    tab.choose([first])
    check("chosen files", tab.evaluate(f"browser.openFiles('.bin', true, false).then({read})"), [["007.bin", list(pattern(7, 7))]])
    tab.choose([inputs])
    got = tab.evaluate(f"browser.openFiles('', false, true).then({read})")
    check("a chosen folder", sorted(got), [[f"inputs/inner/{i:03}.bin", list(pattern(i, i))] for i in range(130)])
    tab.evaluate("void (globalThis.dropped = new Promise(resolve => browser.onDrop(resolve)))")
    tab.drop(600, 400, [inputs, first])
    got = tab.evaluate(f"dropped.then(all => all instanceof Error ? all.message : ({read})(all))")
    check("a dropped folder", got, [[f"inputs/inner/{i:03}.bin", list(pattern(i, i))] for i in range(130)]
          + [["007.bin", list(pattern(7, 7))]])
    tab.evaluate("void browser.onHide(() => { globalThis.hidden = (globalThis.hidden ?? 0) + 1; })")
    tab.evaluate("void dispatchEvent(new Event('pagehide'))")
    check("told that the page is left", tab.evaluate("hidden"), 1)
    tab.evaluate("globalThis.heard = []; addEventListener('keydown', e => heard.push([e.key, e.code, e.ctrlKey]));"
                 "for (const kind of ['pointerdown', 'pointermove', 'pointerup', 'wheel'])"
                 " addEventListener(kind, e => heard.push([kind, e.clientX, e.buttons]))")
    tab.key("z", ("ctrl",))
    tab.key("ArrowLeft")
    tab.drag([(10, 10), (20, 20), (30, 30)])
    tab.wheel(40, 40, 100)
    tab.wait("heard.some(([kind]) => kind === 'wheel')", 5)
    check("keys and mouse", tab.evaluate("heard"), [
        ["z", "KeyZ", True], ["ArrowLeft", "ArrowLeft", False], ["pointermove", 10, 0], ["pointerdown", 10, 1],
        ["pointermove", 20, 1], ["pointermove", 30, 1], ["pointerup", 30, 0], ["wheel", 40, 0]])


def tabs(tab, browser, url):
    check("alone", tab.evaluate("browser.alone()"))
    other = browser.open(url, dark=True)
    check("a second tab says so", state(other, "elsewhere"))
    picture(other, "elsewhere_dark")
    tab.close()
    other.reload()
    check("and works when the first is closed", state(other, "running"))
    return other


def failures(tab, browser):
    """After each failure the page is loaded again."""
    for name, script, words in (
        ("a panic", "unetFailed('panicked at src/x.rs:1:2:\\nboom <b>')", "boom <b>"),
        ("an exception", "setTimeout(() => { throw new Error('kaputt'); })", "kaputt"),
        ("a rejection", "void Promise.reject(new RangeError('weit'))", "weit"),
    ):
        tab.evaluate(f"{{ {script} }}")
        if state(tab, "failed"):
            check(name, words in (said := tab.evaluate("document.getElementById('report').textContent")) or said)
        if name == "a panic":
            tab.evaluate("void unetFailed('and more')")
            check("the first comes first", tab.evaluate("document.getElementById('report').textContent"),
                  "panicked at src/x.rs:1:2:\nboom <b>\n\nafterwards: and more")
            picture(tab, "failed")
            tab.click_on("[data-action=save]")
            with zipfile.ZipFile(browser.downloaded()) as archive:
                check("the project can be saved", "after" in archive.namelist() or archive.namelist())
            tab.click_on("[data-for=failed] [data-action=reload]")
            time.sleep(0.3)
        else:
            tab.reload()
        check(f"after {name}: reloaded", state(tab, "running"))
    tab.evaluate("dispatchEvent(new ErrorEvent('error', { message: 'ResizeObserver loop completed with undelivered notifications.' }))")
    check("a notice of the layout is no failure", state(tab, "running"))


def offline(tab, server, site):
    tab.wait("navigator.serviceWorker.controller !== null", 20)
    length = "browser.fetchModel('nuclei-unet++').then(bytes => bytes.length)"
    tab.wait("caches.open('unet-studio models').then(c => c.keys()).then(all => all.length === 1)", 20)
    server.requests.clear()
    check("a model", tab.evaluate(length), 100_003)
    check("comes from the cache, although it was fetched before there was one", server.requests, [])
    fails("a model that is not", "the server answers 404", lambda: tab.evaluate("browser.fetchModel('other')"))
    server.stop()
    tab.go(server.url + "?demo")
    check("it runs without a server", state(tab, "running"))
    check("its worker too", tab.evaluate("worked"), {"model": 100_003})
    check("with the demo", tab.evaluate("demo"))
    check("and has the model", tab.evaluate(length), 100_003)
    fails("but no other", "no connection", lambda: tab.evaluate("browser.fetchModel('third')"))

    # A version whose files are not those of its list is not installed.
    make_site(site, "v20")
    folder = next(name for name in os.listdir(site) if name.startswith("app-"))
    with open(os.path.join(site, folder, "style.css"), "a") as f:
        f.write("/* another */")
    server.start()
    tab.reload()
    state(tab, "running")
    tab.evaluate("navigator.serviceWorker.getRegistration().then(r => r.update()).catch(() => {})")
    tab.wait("navigator.serviceWorker.getRegistration().then(r => !r.installing)", 20)
    tab.reload()
    state(tab, "running")
    check("a broken version is not taken", tab.evaluate("said"), "v1!")

    make_site(site, "v300")
    tab.reload()
    check("an update: the old version still", state(tab, "running") and tab.evaluate("said"), "v1!")
    tab.wait("caches.keys().then(names => names.filter(n => n !== 'unet-studio models').length === 1 &&"
             " navigator.serviceWorker.getRegistration()).then(r => r && !r.installing && !r.waiting && r.active.state === 'activated')", 20)
    before = len(server.requests)
    tab.reload()
    check("then the new one", state(tab, "running") and tab.evaluate("said"), "v300")
    check("without asking the server but for the service worker and the model", [r for r in server.requests[before:] if "sw.js" not in r and "/models/" not in r], [])
    check("the caches are the new version's", tab.evaluate("caches.keys().then(names => names.length)"), 1 + 1)
    check("its model is the new one", tab.evaluate(length), 100_004)
    check("only that is kept", tab.evaluate("caches.open('unet-studio models').then(c => c.keys()).then(k => k.length)"), 1)


def killed(url, profile):
    """A file is the old one or the new one and a new file is not there or whole, whenever the browser dies."""
    size = 30_000_000
    whole = [facts(bytes([n]) * size) for n in (1, 2)]
    ends = set()
    for i, delay in enumerate((0.0, 0.05, 0.15)):
        browser = Chromium(profile=profile)
        tab = browser.open(url)
        state(tab, "running")
        if i == 0:
            tab.evaluate(f"browser.store([['written', '/file', new Uint8Array({size}).fill(1)]])")
        tab.evaluate(f"""{{ const bytes = n => new Uint8Array({size}).fill(n); void browser.store([
            ['written', '/file', bytes(2)], ['written', '/new {i}', bytes(1)], ['written', '/file', bytes(1)]]); }}""")
        time.sleep(delay)
        browser.kill()
        browser.close()
        with Chromium(profile=profile) as again:
            tab = again.open(url)
            state(tab, "running")
            found = dict(stored(tab))
            check(f"killed while it stored, after {delay} s", [found.pop("/file", None) in whole, *found.values()],
                  [True] + [whole[0]] * len(found))
            ends.add(len(found))
            # What was not stored is gone, so that a folder may have its name.
            store(tab, [["removed", f"/new {i}"], ["folder", f"/new {i}/a"]])
            store(tab, [["removed", f"/new {i}"]])
    return ends


def unsupported(url):
    with Chromium(webgpu=False, arguments=["--disable-gpu"]) as browser:
        for dark in (False, True):
            tab = browser.open(url, size=(1000, 1000), dark=dark)
            check("no adapter: the page says so", state(tab, "unsupported"))
            picture(tab, f"unsupported_{'dark' if dark else 'light'}")
        tab = browser.open(size=(400, 800))
        tab.call("Page.addScriptToEvaluateOnNewDocument", source="Object.defineProperty(Navigator.prototype, 'gpu', { value: undefined })")
        tab.go(url)
        check("no WebGPU: the page says so", state(tab, "unsupported"))
        check("and what is missing", "no WebGPU" in (said := tab.evaluate("document.getElementById('missing').textContent")) or said)
        check("no overflow", tab.evaluate("Array.from(document.querySelectorAll('main, table'), e => e.parentElement.scrollWidth <= "
                                          "e.parentElement.clientWidth)"), [True, True])
        picture(tab, "unsupported_narrow")
        tab.call("Emulation.setScriptExecutionDisabled", value=True)
        tab.go(url)
        picture(tab, "no_script")


def main():
    start = time.monotonic()
    folder = tempfile.mkdtemp(prefix="web-page-")
    site = os.path.join(folder, "site")
    make_site(site, "v1!")
    server = Server(site)
    steps = []

    def step(name, action, *arguments):
        began = time.monotonic()
        try:
            return action(*arguments)
        except Failure as e:
            problems.append(f"{name}: {e}")
        finally:
            steps.append(f"{name} {time.monotonic() - began:.1f} s")

    try:
        with Chromium() as browser:
            tab = browser.open()
            step("page", page, tab, server.url)
            step("files", files, tab)
            step("user", user, tab, browser, folder)
            tab = step("tabs", tabs, tab, browser, server.url) or tab
            step("failures", failures, tab, browser)
            step("offline", offline, tab, server, site)
            server.start()
        step("killed", killed, server.url, os.path.join(folder, "profile"))
        step("unsupported", unsupported, server.url)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"page: {passed} checks passed in {time.monotonic() - start:.0f} s: {', '.join(steps)}")
    for problem in problems:
        print("FAILED", problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
