"""Kills, full disks, unwritable folders, two writers, long runs; see torture.sh."""

import argparse
import os
import pathlib
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zlib

UNET = os.environ["UNET"]
PROFILE = os.environ.get("TORTURE_PROFILE", "release")
RESULTS = ["metrics.csv", "metrics.jsonl", "best.safetensors", "last.safetensors"]
TRAIN = "--steps 6 --eval-every 2 --crop 64 --batch 1 --arch unet --padding same --width 8 --depth 2".split()


def png(path, width, height, pixel):
    """A grey image."""
    rows = b"".join(b"\0" + bytes(pixel(x, y) for x in range(width)) for y in range(height))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def blobs(number, width, height):
    r = random.Random(number)
    discs = [(r.uniform(0, width), r.uniform(0, height), r.uniform(5, 12)) for _ in range(width * height // 700)]
    inside = [[any((x - a) ** 2 + (y - b) ** 2 < c * c for a, b, c in discs) for x in range(width)] for y in range(height)]
    noise = [[r.randrange(14) for _ in range(width)] for _ in range(height)]
    return inside, noise


def unet(*args, cwd, **options):
    return subprocess.run([UNET, *map(str, args)], cwd=cwd, capture_output=True, text=True, **options)


def completes(*args, cwd):
    done = unet(*args, cwd=cwd)
    if done.returncode != 0:
        sys.exit(f"unet {' '.join(map(str, args))}: code {done.returncode}\n{done.stderr}")
    return done


def fails(*args, cwd, word):
    """A run that must fail, with a line for each file that has the word, besides a count of the files; returns the first."""
    done = unet(*args, cwd=cwd)
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ") and not re.search("images? failed$", line)]
    if done.returncode != 1 or not lines or not all(re.search(word, line) for line in lines) or "panic" in done.stderr:
        sys.exit(f"unet {' '.join(map(str, args))}: code {done.returncode}, expected an error with `{word}`\n{done.stderr}")
    return lines[0]


def files(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.is_file()} if folder.exists() else {}


def temporary(names):
    return [n for n in names if n.endswith(".tmp")]


def killed(*args, cwd, after):
    """Whether the run was still going when SIGKILL came."""
    child = subprocess.Popen([UNET, *map(str, args)], cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        child.wait(after)
    except subprocess.TimeoutExpired:
        pass
    going = child.poll() is None
    child.kill()
    child.wait()
    return going


class Torture:
    def __init__(self, short, folder):
        self.short, self.folder, self.random = short, folder, random.Random(19)
        print(f"program: {UNET}", flush=True)
        for i in range(4 if short else 8):
            inside, noise = blobs(i, 160, 120)
            for part in ("in", "data/images"):
                png(folder / part / f"{i}.png", 160, 120, lambda x, y: 30 + 140 * inside[y][x] + noise[y][x])
            png(folder / "data/masks" / f"{i}.png", 160, 120, lambda x, y: int(inside[y][x]))
        begin = time.monotonic()
        completes("train", "-q", "--data", "data", "--out", "whole", *TRAIN, cwd=folder)
        self.train_time = time.monotonic() - begin
        self.trained = self.results("whole")
        shutil.copy(folder / "whole/best.safetensors", folder / "model.safetensors")
        begin = time.monotonic()
        completes(*self.segment("expected"), cwd=folder)
        self.segment_time = time.monotonic() - begin
        self.segmented = files(folder / "expected")
        print(f"undisturbed: segment {self.segment_time:.1f} s, train {self.train_time:.1f} s", flush=True)

    def segment(self, out):
        save = "mask,overlay,prob,labels,csv"
        return ["segment", "in", "-q", "-m", "model.safetensors", "--save", save, "-o", out]

    def results(self, run):
        return {name: (self.folder / run / name).read_bytes() for name in RESULTS}

    def resume(self, run):
        """Goes on with a run, or starts it again; returns what was done."""
        run_folder = self.folder / run
        state = "resumed" if (run_folder / "last.safetensors").exists() else "restarted by --resume"
        if not (run_folder / "config.toml").exists():
            completes("train", "--data", "data", "--out", run, *TRAIN, cwd=self.folder)
            state = "started anew, without a folder"
        else:
            done = completes("train", "--out", run, "--resume", cwd=self.folder)
            word = "before its first checkpoint"
            if (word in done.stderr) != (state != "resumed"):
                sys.exit(f"{run}: {state}, but it said\n{done.stderr}")
        if self.results(run) != self.trained:
            sys.exit(f"{run}: {state}, and differs from an undisturbed run")
        left = temporary(files(run_folder))
        if left:
            sys.exit(f"{run}: {left} are left")
        return state

    def check_segmented(self, out, where):
        """Every file with its own name is whole; returns how many there are, and the temporary ones."""
        found = files(self.folder / out)
        left = temporary(found)
        for name, content in found.items():
            if name not in left and self.segmented.get(name) != content:
                sys.exit(f"{where}: {name} is damaged or was not asked for")
        return len(found) - len(left), left

    def rerun_segment(self, out, where):
        completes(*self.segment(out), cwd=self.folder)
        if files(self.folder / out) != self.segmented:
            names = set(files(self.folder / out)) ^ set(self.segmented)
            sys.exit(f"{where}: the rerun differs from an undisturbed run: {names or 'contents'}")

    def part_segment(self):
        count = 5 if self.short else 50
        going = checked = left = 0
        for i in range(count):
            going += killed(*self.segment("killed"), cwd=self.folder, after=self.random.uniform(0.1, 1) * self.segment_time)
            whole, temporaries = self.check_segmented("killed", f"kill {i}")
            checked, left = checked + whole, left + len(temporaries)
            self.rerun_segment("killed", f"kill {i}")
            shutil.rmtree(self.folder / "killed")
        return (f"{count} SIGKILLs of segment ({going} while it ran): {checked} files there, 0 damaged; {left} temporary files left, "
                f"all removed by the rerun; {count} of {count} reruns complete, equal to an undisturbed run")

    def part_train(self):
        count = 4 if self.short else 50
        states, going = {}, 0
        for i in range(count):
            args = ["train", "-q", "--data", "data", "--out", "killed", *TRAIN]
            going += killed(*args, cwd=self.folder, after=self.random.uniform(0.02, 1) * self.train_time)
            for name in ("best.safetensors", "last.safetensors"):
                if (self.folder / "killed" / name).exists():
                    completes("inspect", f"killed/{name}", cwd=self.folder)
            state = self.resume("killed")
            states[state] = states.get(state, 0) + 1
            shutil.rmtree(self.folder / "killed")
        how = ", ".join(f"{n} {state}" for state, n in sorted(states.items()))
        return f"{count} SIGKILLs of train ({going} while it ran): every checkpoint opens; {how}; all equal to an undisturbed run"

    def mounted(self, name, size):
        """A tmpfs of so many bytes; None where it cannot be mounted."""
        place = self.folder / name
        place.mkdir(exist_ok=True)
        line = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        try:
            done = subprocess.run(line, capture_output=True, text=True)
        except OSError:
            return None
        return place if done.returncode == 0 else None

    @staticmethod
    def remount(place, option):
        subprocess.run(["mount", "-o", f"remount,{option}", str(place)], check=True)

    @staticmethod
    def unmount(place):
        subprocess.run(["umount", str(place)], check=True)

    def part_full(self):
        count = 4 if self.short else 20
        page, full, states = 4096, 0, {}
        need = sum(-(-len(c) // page) * page for c in self.segmented.values())
        for i in range(count):
            place = self.mounted("disk", max(page, need * (i + 1) // (count + 1) // page * page))
            if place is None:
                return "full disk: skipped, a tmpfs cannot be mounted here"
            try:
                # Names of a file or the folder, and the system's words.
                fails(*self.segment("disk/out"), cwd=self.folder, word="disk.*[Nn]o space|disk.*[Ff]ull")
                whole, left = self.check_segmented("disk/out", f"full disk {i}")
                if left:
                    sys.exit(f"full disk {i}: {left} are left")
                full += 1
                self.remount(place, "size=64m")
                self.rerun_segment("disk/out", f"full disk {i}")
            finally:
                self.unmount(place)
        need = sum(-(-p.stat().st_size // page) * page for p in (self.folder / "whole").iterdir())
        for i in range(count):
            # From a disk without room for the first checkpoint on.
            place = self.mounted("disk", max(5 * page, need * (i + 1) // (count + 1) // page * page))
            try:
                args = ["train", "-q", "--data", "data", "--out", "disk/run", *TRAIN]
                fails(*args, cwd=self.folder, word="disk.*[Nn]o space|disk.*[Ff]ull")
                self.remount(place, "size=256m")
                state = self.resume("disk/run")
                states[state] = states.get(state, 0) + 1
            finally:
                self.unmount(place)
        how = ", ".join(f"{n} {state}" for state, n in sorted(states.items()))
        return (f"disk full at {count} sizes each: segment: {full} errors that name the file, 0 files damaged, 0 left over, every rerun "
                f"complete; train: {how}; all equal to an undisturbed run")

    def part_readonly(self):
        place = self.mounted("disk", "64m")
        if place is None:
            return "read-only folder: skipped, a tmpfs cannot be mounted here"
        try:
            completes(*self.segment("disk/out"), cwd=self.folder)
            self.remount(place, "ro")
            lines = [
                fails(*self.segment("disk/out"), cwd=self.folder, word="disk/out"),
                fails(*self.segment("disk/new"), cwd=self.folder, word="disk/new"),
                fails("train", "--data", "data", "--out", "disk/run", *TRAIN, cwd=self.folder, word="disk/run"),
            ]
            self.check_segmented("disk/out", "read-only")
        finally:
            self.unmount(place)
        return f"read-only folder: {len(lines)} errors that name it, such as `{lines[0]}`"

    def part_writers(self):
        count = 2 if self.short else 20
        for i in range(count):
            line = [UNET, *self.segment("both")]
            children = [subprocess.Popen(line, cwd=self.folder, stdout=subprocess.DEVNULL) for _ in range(2)]
            # One that is killed meanwhile leaves the files of the others alone.
            killed(*self.segment("both"), cwd=self.folder, after=self.random.uniform(0.2, 1) * self.segment_time)
            if any(child.wait() for child in children):
                sys.exit(f"two writers, round {i}: one failed")
            self.check_segmented("both", f"two writers, round {i}")
            self.rerun_segment("both", f"two writers, round {i}")
            shutil.rmtree(self.folder / "both")
        return f"two writers and a killed one in a folder, {count} times: both complete, every file whole, nothing left after a rerun"

    def part_streams(self):
        for line, code in [
            ("inspect model.safetensors --plan | head -c 1", 0),
            ("segment in -m model.safetensors --json -o out | head -n 1", 0),
            ("inspect model.safetensors > /dev/full", 1),
            ("segment in -m model.safetensors --json -o out > /dev/full", 1),
        ]:
            # The status is that of the program.
            script = f"set -o pipefail; '{UNET}' {line}"
            done = subprocess.run(["bash", "-c", script], cwd=self.folder, capture_output=True, text=True)
            # A reader that goes away is no error; 141 is SIGPIPE's.
            if done.returncode not in ((0, 141) if code == 0 else (code,)) or "panic" in done.stderr:
                sys.exit(f"unet {line}: code {done.returncode}\n{done.stderr}")
        child = subprocess.Popen([UNET, *self.segment("signalled")], cwd=self.folder, stdout=subprocess.DEVNULL)
        time.sleep(0.6 * self.segment_time)
        child.send_signal(signal.SIGTERM)
        child.wait()
        self.check_segmented("signalled", "SIGTERM")
        return "readers that go away (SIGPIPE) end the program without a word; /dev/full is an error; SIGTERM damages nothing"

    def tests(self, name, variables, pattern):
        """Runs an ignored test; returns the lines that match."""
        line = ["cargo", "test", "--profile", PROFILE, "--test", "gpu", name, "--", "--ignored", "--exact", "--nocapture"]
        root = pathlib.Path(__file__).resolve().parent.parent
        done = subprocess.run(line, cwd=root, env={**os.environ, **variables}, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{name}:\n{done.stdout}\n{done.stderr}")
        return "\n  ".join(l for l in done.stdout.splitlines() if re.search(pattern, l))

    def part_soak(self):
        runs = {"UNET_SOAK_RUNS": "60"} if self.short else {}
        return "soak: " + self.tests("soak::soak", runs, "runs|memory|handles|device|differ")

    def part_random(self):
        seeds = {"UNET_RANDOM_SEEDS": "1000..1010"} if self.short else {}
        name = "random_architectures::random_architectures_by_the_hundred"
        return "random architectures: " + self.tests(name, seeds, "networks|compared")


def main():
    parts = [name[len("part_"):] for name in vars(Torture) if name.startswith("part_")]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a few of each, in under 3 minutes")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(parts)}; all by default")
    args = parser.parse_args()
    unknown = set(args.parts) - set(parts)
    if unknown:
        parser.error(f"{', '.join(unknown)} is none of {', '.join(parts)}")
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="unet-torture-") as temporary_folder:
        torture = Torture(args.short, pathlib.Path(temporary_folder))
        for part in args.parts or parts:
            start = time.monotonic()
            text = getattr(torture, f"part_{part}")()
            print(f"{text}  [{time.monotonic() - start:.0f} s]", flush=True)
    print(f"0 damaged, 0 lost, every rerun complete; {time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    main()
