"""While it works: interrupts, progress, threads, memory, time."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import unet_wgpu
from unet_wgpu import Model, segment

INTERRUPTED = """
import sys, time, numpy as np, unet_wgpu
image = np.random.default_rng(0).integers(0, 1000, (1024, 1024)).astype(np.uint16)
begun = []
def progress(fraction):
    if not begun:
        begun.append(fraction)
        print("begun", flush=True)
try:
    unet_wgpu.segment(image, device=sys.argv[1], tile=256, progress=progress)
    print("done", flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    small = unet_wgpu.segment(image[:64, :64], device=sys.argv[1])
    print(small.mask.shape, flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_ctrl_c(device):
    command = [sys.executable, "-c", INTERRUPTED, device]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "begun\n"
        sent = time.monotonic()
        child.send_signal(signal.SIGINT)
        assert child.stdout.readline() == "interrupted\n"
        assert time.monotonic() - sent < 1
        assert child.stdout.readline() == "(64, 64)\n", "the model is of use after an interrupt"
        assert child.wait(30) == 0


def test_progress(cells):
    big = np.tile(cells, (4, 4))
    seen = []
    segment(big, tile=256, progress=seen.append)
    assert seen == sorted(seen) and seen[-1] == 1 and len(seen) > 2

    class Bar:
        n = 0.0

        def update(self, by):
            self.n += by

    bar = Bar()
    for _ in range(3):
        segment(cells, progress=bar)
    assert bar.n == pytest.approx(3)


def test_tqdm(cells):
    tqdm = pytest.importorskip("tqdm")
    with tqdm.tqdm(total=1, file=open(os.devnull, "w")) as bar:
        segment(cells, progress=bar)
        assert bar.n == pytest.approx(1)


def test_what_progress_raises_cancels(cells):
    class Enough(Exception):
        pass

    def progress(fraction):
        raise Enough(fraction)

    model = Model.open("nuclei")
    with pytest.raises(Enough):
        model.segment(np.tile(cells, (8, 8)), tile=256, progress=progress)
    np.testing.assert_array_equal(model.segment(cells).labels, segment(cells).labels)


def test_two_models_in_two_threads(cells):
    names = ["nuclei", "nuclei-unet++"]
    image = np.tile(cells, (2, 2))
    expected = [segment(image, name).labels for name in names]
    found = [None, None]

    def work(i):
        model = Model.open(names[i])
        for _ in range(3):
            found[i] = model.segment(image).labels

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    for a, b in zip(found, expected):
        np.testing.assert_array_equal(a, b)


def test_one_model_in_two_threads(cells):
    model = Model.open("nuclei")
    images = [cells, np.ascontiguousarray(cells[::-1])]
    expected = [segment(i).labels for i in images]
    found = [None, None]
    threads = [threading.Thread(target=lambda i=i: found.__setitem__(i, model.segment(images[i]).labels)) for i in (0, 1)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    for a, b in zip(found, expected):
        np.testing.assert_array_equal(a, b)


def test_the_gil_is_released(cells):
    image = np.tile(cells, (6, 6))
    segment(image)
    done, ticks = threading.Event(), []

    def count():
        while not done.is_set():
            ticks.append(time.monotonic())
            time.sleep(0.001)

    counter = threading.Thread(target=count)
    counter.start()
    begun = time.monotonic()
    segment(image)
    took = time.monotonic() - begun
    done.set()
    counter.join()
    within = [t for t in ticks if begun <= t <= begun + took]
    assert len(within) > took * 50, "another thread runs meanwhile"


def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) * 1024


def grown(image, calls):
    """Bytes that the process grows by over `calls` calls."""
    for _ in range(10):
        segment(image, probability=True).table()
    before = resident()
    for _ in range(calls):
        segment(image, probability=True).table()
    return resident() - before


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")
def test_memory_is_flat(cells):
    # A call's results are 200 kB: 10 MB if they leaked.
    assert grown(cells, 50) < 2 << 20


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")
def test_memory_is_flat_over_200_calls(cells):
    assert grown(np.tile(cells, (4, 4)), 200) < 8 << 20


def test_as_fast_as_the_program(program, tmp_path):
    """The same 512x512 array: at most 5 % or 10 ms more than the program's own time, which includes its files."""
    rng = np.random.default_rng(1)
    image = rng.normal(300, 20, (512, 512))
    y, x = np.mgrid[:512, :512]
    for cy, cx in rng.integers(10, 500, (60, 2)):
        image += 2000 * ((y - cy) ** 2 + (x - cx) ** 2 < 81)
    image = image.clip(0, 65535).astype(np.uint16)
    inputs = tmp_path / "in"
    inputs.mkdir()
    for i in range(4):
        np.save(inputs / f"{i}.npy", image)

    def measure():
        lines = program("segment", inputs, "-o", tmp_path, "--save", "labels")
        own = min(line["ms"] for line in lines) / 1000
        times = []
        for _ in range(4):
            begun = time.perf_counter()
            segment(image)
            times.append(time.perf_counter() - begun)
        return own, min(times)

    # Another process may take the processor in any one measurement.
    results = []
    for _ in range(3):
        own, ours = measure()
        results.append(f"program {own * 1000:.0f} ms, package {ours * 1000:.0f} ms")
        if ours <= own + max(0.05 * own, 0.01):
            return
    pytest.fail("; ".join(results))


def test_a_lost_device_is_opened_again(cells):
    from unet_wgpu import _native

    model, other = Model.open("nuclei"), Model.open("nuclei")
    image = np.tile(cells, (3, 2))
    expected = model.segment(image, tile=208)
    assert np.array_equal(other.segment(image, tile=208).labels, expected.labels)
    for submission in [1, 5]:
        _native.lose_device("auto", "f32", submission)
        # The first goes on at its tile; the other finds its device lost, and takes the new one.
        for again in [model, other]:
            assert np.array_equal(again.segment(image, tile=208).labels, expected.labels)
