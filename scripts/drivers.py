"""Times networks on several versions of the software renderer and prints a table; see drivers.sh."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

NETWORKS = {
    "U-Net 64 same 256": ["--arch", "unet", "--padding", "same", "--size", "256x256"],
    "U-Net 16 same 256": ["--arch", "unet", "--width", "16", "--padding", "same", "--size", "256x256"],
    "U-Net valid 572": ["--arch", "unet", "--size", "572x572"],
    "U-Net++ 32 256": ["--arch", "unet++", "--in-channels", "3", "--set", "up=bilinear", "--size", "256x256"],
    "U-Net 3+ 64 256": ["--arch", "unet3+", "--in-channels", "3", "--size", "256x256"],
}


def command(program, folder):
    """The program, with the driver and the libraries of a folder that fetch_mesa.sh filled; or with that of a manifest."""
    if folder is None:
        return [program], {}
    if folder.endswith(".json"):
        return [program], {"VK_DRIVER_FILES": folder, "UNET_DEVICE": "SwiftShader"}
    loader = os.path.join(folder, "ld-linux-x86-64.so.2")
    return [loader, "--library-path", folder, program], {"VK_DRIVER_FILES": os.path.join(folder, "lvp.json")}


def run(program, folder, arguments, width, cache):
    prefix, env = command(program, folder)
    env = {**os.environ, "UNET_DEVICE": "llvmpipe", "NODEVICE_SELECT": "1", "XDG_CACHE_HOME": cache, **env}
    for name in ("LP_NATIVE_VECTOR_WIDTH", "MESA_SHADER_CACHE_DIR", "UNET_CACHE_DIR"):
        env.pop(name, None)
    if width:
        # Mesa's cache does not distinguish widths.
        env.update(LP_NATIVE_VECTOR_WIDTH=str(width), MESA_SHADER_CACHE_DIR=os.path.join(cache, f"mesa-{width}"))
    done = subprocess.run(prefix + arguments, env=env, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{folder or 'the installed driver'}: {' '.join(arguments)}\n{done.stderr.strip()}")
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--networks", type=int, default=len(NETWORKS))
    parser.add_argument(
        "drivers", nargs="*", metavar="NAME=FOLDER|MANIFEST", help="besides the installed driver; a manifest is SwiftShader's"
    )
    options = parser.parse_args()
    drivers = {"installed": None, **dict(d.split("=", 1) for d in options.drivers)}
    widths = {"256 bits": 256, "512 bits": 512, "the program's choice": None}
    caches = {name: tempfile.mkdtemp() for name in drivers}
    print(f"| network | driver | {' | '.join(widths)} | first run | choice / best of installed |\n|{'---|' * (len(widths) + 4)}")
    for network in list(NETWORKS)[: options.networks]:
        arguments = ["bench", *NETWORKS[network], "--no-tune", "--no-peak", "--json", "-q", "--repeat", "3"]
        best = {name: dict.fromkeys(widths, float("inf")) for name in drivers}
        first, device = {}, {}
        # Drivers and widths take turns, so that a busy minute falls on all of them.
        for turn in range(options.rounds):
            for name, folder in drivers.items():
                for width, bits in widths.items():
                    # SwiftShader has one width.
                    if bits and folder and folder.endswith(".json"):
                        continue
                    got = run(options.program, folder, arguments, bits, caches[name])
                    best[name][width] = min(best[name][width], got["min_ms"])
                    device[name] = got["adapter"].split("(Vulkan, ")[-1].split(", software")[0]
                    if turn == 0 and bits is None:
                        first[name] = got["load_ms"] + got["first_run_ms"]
        reference = min(best["installed"].values())
        for name in drivers:
            times = " | ".join("" if ms == float("inf") else f"{ms:.0f}" for ms in best[name].values())
            ratio = best[name]["the program's choice"] / reference
            print(f"| {network} | {name}: {device[name]} | {times} | {first[name] / 1000:.1f} s | {ratio:.2f} |", flush=True)
    for cache in caches.values():
        shutil.rmtree(cache)


main()
