#!/usr/bin/env python3
"""browser.py FOLDER [chromium|firefox]: opens the page in FOLDER in a headless browser and compares what it computes with the native
results there. WebGPU runs in software: SwiftShader in Chromium, the system's Vulkan driver in Firefox. CHROMIUM and FIREFOX name
other binaries."""
import array, http.server, os, shutil, subprocess, sys, tempfile, threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts"))
from firefox import Firefox

SECONDS = float(os.environ.get("WEB_TIMEOUT", "900"))
TOLERANCE = 1e-4
RUN_TOLERANCE = 1e-3
# Mean difference of probabilities by models that were trained: Adam makes steps of equal length of gradients that differ by rounding.
TRAINED_TOLERANCE = 5e-3
KINDS = {".js": "text/javascript", ".wasm": "application/wasm", ".html": "text/html"}
folder = sys.argv[1]
results, problems, done = {}, [], threading.Event()


class Page(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, body, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        name = os.path.basename(self.path) or "index.html"
        path = os.path.join(folder, name)
        if not os.path.isfile(path):
            return self.send_error(404)
        with open(path, "rb") as f:
            self.answer(f.read(), KINDS.get(os.path.splitext(name)[1], "application/octet-stream"))

    def do_POST(self):
        name = os.path.basename(self.path)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if name == "end":
            done.set()
        elif name == "failed":
            problems.append(body.decode())
        elif name == "done":
            print("browser:", body.decode(), flush=True)
        else:
            results[name] = body
        self.answer(b"", "text/plain")


def native(name):
    with open(os.path.join(folder, name), "rb") as f:
        return f.read()


def floats(name, tolerance=TOLERANCE, relative=False, mean=False):
    a, b = array.array("f"), array.array("f")
    a.frombytes(results.get(name, b""))
    b.frombytes(native(name + ".f32"))
    if len(a) != len(b) or not a:
        problems.append(f"{name}: {len(a)} numbers, natively {len(b)}")
        return
    # A comparison with NaN is false: it counts as a difference.
    differences = [abs(x - y) / (abs(y) if relative else 1) for x, y in zip(a, b)]
    differences = [d if d <= 1e30 else float("inf") for d in differences]
    found = sum(differences) / len(differences) if mean else max(differences)
    what = ("mean " if mean else "largest ") + ("relative " if relative else "") + "difference"
    print(f"browser: {name}: {len(a)} numbers, {what} {found:.2e}")
    if not found <= tolerance:
        problems.append(f"{name}: {what} {found}, more than {tolerance}")


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/"


def chromium():
    profile = tempfile.mkdtemp()
    command = [os.environ.get("CHROMIUM", "chromium"), "--headless", "--no-sandbox", "--disable-quic", "--no-first-run",
               "--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir=" + profile,
               "--remote-debugging-port=0", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", url]
    with open(os.path.join(profile, "log"), "wb") as log:
        browser = subprocess.Popen(command, stdout=log, stderr=log)
        finished = done.wait(SECONDS)
        browser.terminate()
        try:
            browser.wait(10)
        except subprocess.TimeoutExpired:
            browser.kill()
    ended(finished, profile)
    shutil.rmtree(profile, ignore_errors=True)


def firefox():
    with Firefox() as browser:
        browser.open(url)
        ended(done.wait(SECONDS), browser.profile)


def ended(finished, profile):
    if not finished:
        with open(os.path.join(profile, "log"), errors="replace") as log:
            problems.append(f"the page did not end within {SECONDS:g} s; the browser said:\n{log.read()[-1500:]}")


{"chromium": chromium, "firefox": firefox}[sys.argv[2] if len(sys.argv) > 2 else "chromium"]()

print("browser: on", results.get("device", b"no device").decode())
floats("probabilities")
got, expected = results.get("ids", b""), native("ids.u8")
ours, theirs = (array.array("f", data) for data in (results.get("probabilities", b""), native("probabilities.f32")))
differ = [i for i, (a, b) in enumerate(zip(got, expected)) if a != b]
# A pixel may differ where the threshold lies between both probabilities, which are equal within TOLERANCE as seen above.
unexplained = [i for i in differ if len(ours) != len(got) or (ours[i] > 0.5) == (theirs[i] > 0.5)]
if len(got) != len(expected) or unexplained:
    problems.append(f"mask: {len(unexplained)} of {len(expected)} pixels differ without a cause, {len(got)} came")
else:
    print(f"browser: mask: {len(got)} pixels, {len(differ)} differ, all where the probability is within {TOLERANCE} of 0.5")
floats("losses")
floats("run_losses", RUN_TOLERANCE, relative=True)
floats("run_probabilities", TRAINED_TOLERANCE, mean=True)
files, written, expected = (text.decode().split("\n") for text in (
    results.get("run_files", b""), results.get("run_written", b""), native("run_files.txt")))
if files != expected:
    problems.append(f"run_files: {files}, natively {expected}")
elif [name.replace("/project/", "") for name in written if "tfevents" not in name] != [f for f in expected if f != "run/events"]:
    problems.append(f"run_written: {written}, but there are {files}")
else:
    print(f"browser: run_files: {len(files)} files in memory, named as natively, all told to be stored")
count, *failures = results.get("kernels", b"0").decode().split("\n")
print(f"browser: kernels: {int(count) - len(failures)} of {count} compile on a device of default limits")
problems += failures
if int(count) == 0:
    problems.append("kernels: none was compiled")
for problem in problems:
    print("FAILED", problem)
sys.exit(1 if problems else 0)
