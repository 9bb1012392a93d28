"""Times a training step against PyTorch's on the CPU; see ../bench_train.sh."""

import argparse
import json
import statistics
import subprocess
import sys
import time

WIDTH, DEPTH = 16, 4


def unet(torch):
    """U-Net of width 16 with batch normalisation and same padding: the network that `unet bench --train` is run with."""
    nn = torch.nn

    def twice(i, o):
        layers = []
        for c in (i, o):
            layers += [nn.Conv2d(c, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU(inplace=True)]
        return nn.Sequential(*layers)

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            widths = [WIDTH << level for level in range(DEPTH + 1)]
            self.down = nn.ModuleList(twice(i, o) for i, o in zip([1, *widths], widths))
            self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in widths[:-1])
            self.join = nn.ModuleList(twice(2 * w, w) for w in widths[:-1])
            self.head = nn.Conv2d(WIDTH, 2, 1)

        def forward(self, x):
            skips = []
            for level, block in enumerate(self.down):
                x = block(x if level == 0 else nn.functional.max_pool2d(x, 2))
                skips.append(x)
            for level in reversed(range(DEPTH)):
                x = self.join[level](torch.cat([skips[level], self.up[level](x)], 1))
            return self.head(x)

    return UNet()


class Torch:
    """PyTorch, eager; `channels_last` is the memory order in which its CPU convolutions are fastest."""

    def __init__(self, torch, batch, size, channels_last):
        self.torch, self.name = torch, "pytorch channels_last" if channels_last else "pytorch"
        order = torch.channels_last if channels_last else torch.contiguous_format
        torch.manual_seed(0)
        self.network = unet(torch).to(memory_format=order)
        self.x = torch.randn(batch, 1, size, size).to(memory_format=order)
        self.target = torch.randint(0, 2, (batch, size, size))
        self.weight = torch.ones(batch, size, size)
        self.optimiser = torch.optim.Adam(self.network.parameters(), 1e-3)
        self.parameters = sum(p.numel() for p in self.network.parameters())

    def step(self):
        loss = self.torch.nn.functional.cross_entropy(self.network(self.x), self.target, reduction="none")
        loss = (loss * self.weight).mean()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return loss.item()

    def times(self, steps):
        self.step()
        times = []
        for _ in range(steps):
            start = time.perf_counter()
            self.step()
            times.append((time.perf_counter() - start) * 1e3)
        return times


class Unet:
    """This engine; a round is one process, in which all steps but the first are timed."""

    name = "unet"

    def __init__(self, program, batch, size):
        options = ["--arch", "unet", "--set", f"width={WIDTH}", "--set", f"depth={DEPTH}", "--set", "padding=same"]
        self.command = [program, "bench", "--train", *options, "--in-channels", "1", "--out-channels", "2"]
        self.command += ["--size", f"{size}x{size}", "--batch", str(batch), "--json", "--quiet"]

    def times(self, steps):
        done = subprocess.run([*self.command, "--repeat", str(steps)], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr.strip())
        report = json.loads(done.stdout)
        self.device, self.parameters = report["adapter"], report["parameters"]
        return report["steps_ms"]


def main():
    parser = argparse.ArgumentParser(prog="bench_train.sh", description=__doc__)
    parser.add_argument("--program", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, default=2, help="crops per step (2)")
    parser.add_argument("--size", type=int, default=256, help="rows and columns of a crop (256)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds in which the engines take turns (5)")
    parser.add_argument("--steps", type=int, default=5, help="timed steps of each engine in a round (5)")
    options = parser.parse_args()
    try:
        import torch
    except ImportError as e:
        print(f"error: {e}", file=sys.stderr)
        return 1
    ours = Unet(options.program, options.batch, options.size)
    engines = [ours, *(Torch(torch, options.batch, options.size, last) for last in (False, True))]
    rounds = {engine.name: [] for engine in engines}
    for round in range(options.rounds):
        # Rotate the order, so that no engine always runs on a machine that another has just heated.
        for engine in engines[round % 3 :] + engines[: round % 3]:
            rounds[engine.name].append(statistics.median(engine.times(options.steps)))
            print(f"round {round + 1}: {engine.name} {rounds[engine.name][-1]:.0f} ms", file=sys.stderr, flush=True)
    if any(e.parameters != ours.parameters for e in engines):
        print(f"error: different networks: {[(e.name, e.parameters) for e in engines]} parameters", file=sys.stderr)
        return 1
    print(f"unet on {ours.device}; torch {torch.__version__}, CPU, {torch.get_num_threads()} threads")
    print(f"A training step of U-Net of width {WIDTH}, {ours.parameters} parameters, {options.size}x{options.size}, batch {options.batch}, Adam\n")
    print("| engine | ms per step, median | min | over ours |\n|---|---|---|---|")
    median = {name: statistics.median(times) for name, times in rounds.items()}
    for name, times in rounds.items():
        print(f"| {name} | {median[name]:.0f} | {min(times):.0f} | {median[name] / median['unet']:.2f} |")
    return 0


sys.exit(main())
