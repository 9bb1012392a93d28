#!/usr/bin/env python3
"""test_studio_web.py SITE PROGRAM [--browser firefox] [--pictures FOLDER] [--demo]: tests the application in a headless Chromium or
Firefox with WebGPU in software: SITE is what scripts/web.sh has built, PROGRAM the native `unet`, with which results are compared.

Segments a small image, also with a checkpoint of PyTorch; paints; trains ten steps; downloads results and model; reloads; dies and
starts again. With --demo it also segments the demo image of 512 x 512 pixels.
"""
import argparse, base64, functools, http.server, io, json, os, pickle, random, shutil, struct, subprocess, sys, tempfile, threading, time
import types, zipfile

from chromium import Chromium
from firefox import Firefox
from headless import Failure

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
parser = argparse.ArgumentParser(usage=__doc__.split(": ")[0])
parser.add_argument("site", type=os.path.abspath)
parser.add_argument("program", type=os.path.abspath)
parser.add_argument("--browser", choices=["chromium", "firefox"], default="chromium")
parser.add_argument("--pictures")
parser.add_argument("--demo", action="store_true")
options = parser.parse_args()
SITE, PROGRAM, PICTURES = options.site, options.program, options.pictures
Browser = {"chromium": Chromium, "firefox": Firefox}[options.browser]
SECONDS = float(os.environ.get("WEB_TIMEOUT", "600"))
DEMO = "nuclei_hff"
STEPS, SIDE = 10, 64
# Relative difference of losses; other devices round otherwise.
LOSSES = 1e-3
# Where labels differ, since a probability lies at a threshold: as good as equal.
EQUAL = 0.999
# Software draws a small window in a tenth of the time that it takes for a large one.
WINDOW = (900, 600)
start = time.monotonic()


def say(text):
    print(f"studio: {time.monotonic() - start:4.0f} s: {text}", flush=True)


def fail(text):
    raise SystemExit(f"FAILED {text}")


def program(*arguments):
    run = subprocess.run([PROGRAM, "--quiet", *arguments], capture_output=True, text=True)
    if run.returncode:
        fail(f"unet {' '.join(arguments)}: {run.stderr.strip()}")
    return run.stdout


class Handler(http.server.SimpleHTTPRequestHandler):
    extensions_map = {".js": "text/javascript", ".wasm": "application/wasm", ".html": "text/html", ".css": "text/css",
                      ".svg": "image/svg+xml", "": "application/octet-stream"}

    def log_message(self, *_):
        pass


def serve():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=SITE))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/"


class Studio:
    """The application in a tab."""

    def __init__(self, browser, url):
        self.browser, self.tab = browser, browser.open(url, size=WINDOW)

    def all(self):
        text = self.tab.evaluate("globalThis.unetStudio?.status?.() ?? null")
        return json.loads(text) if text else None

    def status(self):
        return self.all()["status"]

    def until(self, what, condition):
        end = time.monotonic() + SECONDS
        while True:
            if self.tab.evaluate("document.documentElement.dataset.state") == "failed":
                fail(f"{what}: {self.tab.evaluate('document.getElementById(`report`).textContent')}")
            now = self.all()
            if now and now["status"]["failures"]:
                self.picture("failed")
                fail(f"{what}: {now}")
            if now and condition(now["status"]):
                say(what)
                return now["status"]
            if time.monotonic() > end:
                self.picture("stuck")
                fail(f"{what}: not within {SECONDS:g} s: {now}; console: {self.tab.console}")
            time.sleep(0.3)

    def key(self, name, *modifiers):
        self.tab.key(name, modifiers)

    def segment(self, count, within=0):
        self.key("Enter", "ctrl")
        found = self.until("segmented", lambda s: s["idle"] and s["predicted"] is not None)["predicted"]
        if abs(found - count) > within:
            fail(f"{found} instances, natively {count}")

    def paint(self, first, last):
        """A stroke between two places of the image, each as parts of its sides."""
        left, top, right, bottom = self.all()["place"]
        side = min(right - left, bottom - top)
        middle = ((left + right) / 2, (top + bottom) / 2)
        at = lambda part: [m + (p - 0.5) * side for m, p in zip(middle, part)]
        steps = [at([a + (b - a) * i / 8 for a, b in zip(first, last)]) for i in range(9)]
        self.tab.drag(steps)

    def picture(self, name):
        if PICTURES:
            os.makedirs(PICTURES, exist_ok=True)
            self.tab.screenshot(os.path.join(PICTURES, f"{name}.png"))

    def stored(self, folder):
        """Writes what the page has stored into a folder of the disk."""
        names = json.loads(self.tab.evaluate("""(async () => {
            const script = new URL('browser.js', document.querySelector('script[type=module]').src);
            window.stored = await (await import(script)).restore();
            return JSON.stringify(window.stored.map(([path, bytes]) => [path, bytes && bytes.length])); })()""", await_promise=True))
        for i, (path, length) in enumerate(names):
            place = os.path.join(folder, path.lstrip("/"))
            if length is None:
                os.makedirs(place, exist_ok=True)
                continue
            os.makedirs(os.path.dirname(place), exist_ok=True)
            text = self.tab.evaluate(f"""(() => {{ let text = ''; for (const byte of window.stored[{i}][1]) text += String.fromCharCode(byte);
                return btoa(text); }})()""")
            with open(place, "wb") as f:
                f.write(base64.b64decode(text))


def discs(path):
    """A grey image of bright discs on uneven ground."""
    chance = random.Random(3)
    inside = lambda x, y: any((x - a) ** 2 + (y - b) ** 2 < r * r for a, b, r in [(18, 20, 9), (44, 40, 11), (46, 14, 7)])
    pixels = bytes(130 * inside(x, y) + 20 + chance.randrange(40) for y in range(SIDE) for x in range(SIDE))
    with open(path, "wb") as f:
        f.write(b"P5\n%d %d\n255\n" % (SIDE, SIDE) + pixels)


def ome_zarr(path):
    """An OME-Zarr of version 2: one plane of 8-bit pixels, in four chunks."""
    half = SIDE // 2
    axes = [{"name": name, "type": "space"} for name in "yx"]
    datasets = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1]}]}]
    array = {"zarr_format": 2, "shape": [SIDE, SIDE], "chunks": [half, half], "dtype": "|u1", "compressor": None, "fill_value": 0,
             "order": "C", "filters": None}
    files = {".zgroup": {"zarr_format": 2}, "0/.zarray": array,
             ".zattrs": {"multiscales": [{"version": "0.4", "axes": axes, "datasets": datasets}]}}
    os.makedirs(os.path.join(path, "0"))
    for name, content in files.items():
        with open(os.path.join(path, name), "w") as f:
            json.dump(content, f)
    for i, chunk in enumerate(["0.0", "0.1", "1.0", "1.1"]):
        with open(os.path.join(path, "0", chunk), "wb") as f:
            f.write(bytes((40 * i + x + y) % 256 for y in range(half) for x in range(half)))


def torch_checkpoint(native, path):
    """Writes the parameters of a native model as torch.save does, without PyTorch."""
    with open(native, "rb") as f:
        (length,) = struct.unpack("<Q", f.read(8))
        tensors, data = json.loads(f.read(length)), f.read()
    types_of = {"F32": "FloatStorage", "F16": "HalfStorage"}
    module, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in types_of.values():
        setattr(module, name, type(name, (), {"__module__": "torch", "__qualname__": name}))
    rebuild = lambda *_: None
    rebuild.__module__, rebuild.__name__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = rebuild
    sys.modules["torch"], sys.modules["torch._utils"] = module, utils

    class Storage:
        pass

    class Tensor:
        def __reduce__(self):
            return rebuild, (self.storage, 0, self.shape, self.strides, False, None)

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return value.of if isinstance(value, Storage) else None

    state, storages = {}, []
    for name, entry in tensors.items():
        if name == "__metadata__":
            continue
        tensor, storage, (first, end) = Tensor(), Storage(), entry["data_offsets"]
        size = 4 if entry["dtype"] == "F32" else 2
        storage.of = ("storage", getattr(module, types_of[entry["dtype"]]), str(len(storages)), "cpu", (end - first) // size)
        tensor.storage, tensor.shape = storage, tuple(entry["shape"])
        strides = [1]
        for dim in reversed(tensor.shape[1:]):
            strides.insert(0, strides[0] * dim)
        tensor.strides = tuple(strides[:len(tensor.shape)])
        state[name] = tensor
        storages.append(data[first:end])
    text = io.BytesIO()
    Pickler(text, protocol=2).dump({"epoch": 3, "state_dict": state})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/data.pkl", text.getvalue())
        archive.writestr("net/version", "3\n")
        for i, storage in enumerate(storages):
            archive.writestr(f"net/data/{i}", storage)


def losses(file):
    with open(file) as f:
        return [json.loads(line)["loss"] for line in f if json.loads(line)["split"] == "train"]


def equal_labels(name, image, mine, theirs, folder):
    """Compares labels of the browser with those of the native program. Different bytes may have the same labels."""
    with open(mine, "rb") as a, open(theirs, "rb") as b:
        if a.read() == b.read():
            return say(f"{name}: labels of the same bytes as the program's")
    data = tempfile.mkdtemp(dir=folder)
    for kind, file in (("images", image), ("labels", mine)):
        os.makedirs(os.path.join(data, kind))
        shutil.copy(file, os.path.join(data, kind, name + os.path.splitext(file)[1]))
    found = json.loads(program("--json", "eval", "--data", data))["instances"]
    if not (found["thresholds"][0]["f1"] == 1 and min(found["aji"], found["seg"]) >= EQUAL):
        fail(f"{name}: labels differ from the program's: {found}")
    say(f"{name}: AJI {found['aji']:.6f} with the program's labels")


def main(folder):
    native = os.path.join(folder, "native")
    image = os.path.join(ROOT, "assets", "images", f"{DEMO}.png")
    spots = os.path.join(folder, "spots.pgm")
    discs(spots)
    images = {"spots": spots, **({DEMO: image} if options.demo else {})}
    program("segment", "--save", "labels,csv", "-o", native, *images.values())
    count = {}
    for name in images:
        with open(os.path.join(native, f"{name}_objects.csv")) as f:
            count[name] = len(f.readlines()) - 1

    checkpoint = os.path.join(folder, "net.pth")
    program("convert", "nuclei", os.path.join(folder, "nuclei.safetensors"))
    torch_checkpoint(os.path.join(folder, "nuclei.safetensors"), checkpoint)
    program("segment", "-m", checkpoint, "--save", "labels,csv", "-o", os.path.join(folder, "by-checkpoint"), spots)

    url, profile = serve(), os.path.join(folder, "profile")
    downloads = os.path.join(folder, "downloads")
    os.makedirs(downloads)
    with Browser(profile=profile, downloads=downloads) as browser:
        say(browser.version)
        studio = Studio(browser, url)
        studio.until("the built-in model is open", lambda s: s["model"] == "nuclei")

        # A dropped image, and results to download.
        studio.tab.drop(400, 300, [spots])
        studio.until("the dropped image is open", lambda s: s["image"] == "spots")
        time.sleep(1)
        studio.segment(count["spots"])
        studio.key("e", "ctrl")
        with zipfile.ZipFile(browser.downloaded(SECONDS)) as archive:
            archive.extractall(os.path.join(folder, "results"))
        names = sorted(os.listdir(os.path.join(folder, "results")))
        say(f"downloaded {', '.join(names)}")
        equal_labels("spots", spots, *(os.path.join(at, "spots_labels.tif") for at in (os.path.join(folder, "results"), native)), folder)

        # Paint in part: an instance and background.
        studio.key("b")
        studio.key("n")
        studio.paint((0.22, 0.31), (0.34, 0.31))
        studio.until("an instance is painted", lambda s: s["labelled"] == 1)
        studio.key("n")
        studio.paint((0.6, 0.62), (0.76, 0.62))
        studio.until("and another one", lambda s: s["labelled"] == 2)
        studio.key("z", "ctrl")
        studio.until("undone", lambda s: s["labelled"] == 1)
        studio.key("z", "ctrl", "shift")
        studio.until("redone", lambda s: s["labelled"] == 2)
        studio.key("g")
        studio.paint((0.1, 0.85), (0.45, 0.85))
        studio.picture("browser-label")

        # Train.
        studio.tab.evaluate(f"unetStudio.setTraining({STEPS}, 1)")
        studio.key("t")
        studio.until("training", lambda s: s["training"])
        trained = studio.until("trained", lambda s: not s["training"] and "model-1" in s["model"])
        if trained["steps"] != STEPS:
            fail(f"{trained['steps']} steps, not {STEPS}")
        studio.until("segmented by the new model", lambda s: s["idle"])
        studio.picture("browser-train")
        studio.key("d", "shift")
        model = browser.downloaded(SECONDS)
        time.sleep(2)
        studio.stored(os.path.join(folder, "stored"))
        problems = [text for level, text in studio.tab.console if level == "error"] + studio.tab.exceptions
        if problems:
            fail(f"the console: {problems}")

        # The same project, trained natively.
        project = os.path.join(folder, "stored", "unet-studio")
        run = os.path.join(project, "models", "model-1")
        again = os.path.join(folder, "again")
        for kind, name in (("images", "spots.pgm"), ("labels", "spots.tif")):
            os.makedirs(os.path.join(again, kind))
            shutil.copy(os.path.join(project, kind, name), os.path.join(again, kind))
        with open(os.path.join(run, "config.toml")) as f:
            text = f.read().replace("/unet-studio/training/train", again)
        with open(os.path.join(folder, "again.toml"), "w") as f:
            f.write(text)
        program("train", "-c", f.name, "-o", os.path.join(folder, "rerun"), "--init", "nuclei")
        mine, theirs = losses(os.path.join(folder, "rerun", "metrics.jsonl")), losses(os.path.join(run, "metrics.jsonl"))
        if len(mine) != STEPS or len(theirs) != STEPS:
            fail(f"{len(theirs)} losses, natively {len(mine)}")
        worst = max(abs(a - b) / abs(a) for a, b in zip(mine, theirs))
        if not worst <= LOSSES:
            fail(f"losses: {theirs}, natively {mine}")
        say(f"{STEPS} losses, {mine[0]:.4f} to {mine[-1]:.4f}, as natively: relative difference {worst:.1e}")
        program("segment", "-m", model, "--save", "labels,csv", "-o", os.path.join(folder, "by-model"), spots)
        say("the program segments with the downloaded model")

        # Everything is there again after a reload.
        studio.tab.reload()
        studio.until("reloaded, the project is open", lambda s: s["image"] == "spots" and s["model"])
        browser.kill()

    # The browser died: at most the stroke under way is lost.
    with Browser(profile=profile, downloads=downloads) as browser:
        studio = Studio(browser, url)
        studio.until("after the death of the browser the labels are there", lambda s: s["labelled"] == 2)
        studio.key("b")
        studio.key("n")
        studio.paint((0.7, 0.2), (0.74, 0.24))
        studio.until("one more is painted", lambda s: s["labelled"] == 3)
        time.sleep(1)
        browser.kill()
    with Browser(profile=profile, downloads=downloads) as browser:
        studio = Studio(browser, url)
        studio.until("the stroke is there, from the journal", lambda s: s["labelled"] == 3)

        # Another image of the same name leaves the first as it is.
        os.makedirs(os.path.join(folder, "other"))
        other = os.path.join(folder, "other", "spots.pgm")
        with open(spots, "rb") as f, open(other, "wb") as g:
            g.write(f.read()[:-SIDE] + bytes(SIDE))
        studio.tab.drop(400, 300, [other])
        studio.until("another image of the same name is open", lambda s: s["image"] == "spots-2")
        time.sleep(2)
        studio.stored(os.path.join(folder, "both"))
        for name, file in (("spots", spots), ("spots-2", other)):
            with open(file, "rb") as f, open(os.path.join(folder, "both", "unet-studio", "images", f"{name}.pgm"), "rb") as g:
                if f.read() != g.read():
                    fail(f"the project's image {name} has other bytes than {file}")
        say("both images are as they were dropped")

        # A dropped folder of an OME-Zarr is an image; Firefox lets no page make a folder.
        if options.browser == "chromium":
            zarr = os.path.join(folder, "zarr", "cells.zarr")
            ome_zarr(zarr)
            studio.tab.drop(400, 300, [zarr])
            studio.until("the OME-Zarr is open", lambda s: s["image"] == "cells")
            studio.picture("browser-ome-zarr")

    with Browser(profile=os.path.join(folder, "another"), downloads=downloads) as browser:
        studio = Studio(browser, url)
        studio.until("the built-in model is open", lambda s: s["model"] == "nuclei")
        studio.tab.drop(400, 300, [spots])
        studio.until("the image is open", lambda s: s["image"] == "spots")
        studio.tab.drop(400, 300, [checkpoint])
        studio.until("the checkpoint of PyTorch is open", lambda s: s["model"] == "/models/net.pth")
        # Without the model's normalisation it finds a hundred small things, some of which rounding decides.
        with open(os.path.join(folder, "by-checkpoint", "spots_objects.csv")) as f:
            count = len(f.readlines()) - 1
        if count < 50:
            fail(f"the checkpoint finds {count} instances natively")
        studio.segment(count, within=count // 20)
        studio.picture("browser-checkpoint")

    if not options.demo:
        return say("the application works in a browser")
    with Browser(profile=profile, downloads=downloads) as browser:
        studio = Studio(browser, url + "?demo")
        studio.until("the demo images are open", lambda s: s["image"] == DEMO and s["model"] == "nuclei")
        studio.segment(count[DEMO])
        studio.picture("browser-segment")
        studio.key("a")
        studio.until("accepted", lambda s: s["labelled"] == count[DEMO])
        studio.key("s", "ctrl")
        time.sleep(2)
        studio.stored(os.path.join(folder, "accepted"))
        labels = os.path.join(folder, "accepted", "unet-studio-demo", "unet-studio", "labels", f"{DEMO}.tif")
        equal_labels(DEMO, image, labels, os.path.join(native, f"{DEMO}_labels.tif"), folder)
    say("the application works in a browser")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="studio-web-") as work:
        try:
            main(work)
        except Failure as e:
            fail(str(e))
