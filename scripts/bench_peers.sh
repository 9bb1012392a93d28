#!/bin/sh
# Times unet against ONNX Runtime (CPU and its WebGPU plugin), OpenVINO, ncnn (CPU and Vulkan), PyTorch, JAX and IREE on the
# same weights, side by side on this machine.
#
#     sh scripts/bench_peers.sh                                 # all five networks, tens of minutes on two cores
#     sh scripts/bench_peers.sh --cases unet16 --rounds 9       # --help lists the options
#     sh scripts/bench_peers.sh --threads 1 --json peers.json
#     VK_DRIVER_FILES=MANIFEST sh scripts/bench_peers.sh        # everything that uses Vulkan on the driver of that manifest
#
# Needs Python 3.10 or later with venv. The first run downloads the peers from PyPI into target/peers.
# VENV=DIR uses your own virtual environment unchanged; UNET=PROGRAM uses your own unet instead of a release build.
# Peers that cannot be installed are reported in the result, and the rest are timed.
set -eu
cd "$(dirname "$0")/.."

case " $* " in *" --help "* | *" -h "*) PYTHONDONTWRITEBYTECODE=1 exec python3 scripts/peers --program unet --help ;; esac

. scripts/peers/setup.sh
PYTHONDONTWRITEBYTECODE=1 exec "$venv/bin/python" scripts/peers --program "$UNET" "$@"
