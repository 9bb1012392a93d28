#!/bin/sh
# Times unet against ONNX Runtime, ncnn (CPU and Vulkan) and PyTorch on the same weights, side by side on this machine.
#
#     sh scripts/bench_peers.sh                                 # all five networks, some ten minutes on two cores
#     sh scripts/bench_peers.sh --cases unet16 --rounds 9       # --help lists the options
#     sh scripts/bench_peers.sh --json peers.json
#
# Needs Python 3.10 or later with venv, and the network for the first run: the peers come from PyPI into target/peers.
# VENV=DIR uses a virtual environment of yours as it is; UNET=PROGRAM a unet of yours in place of a release build.
# What cannot be installed is said in the result, and the rest is timed.
set -eu
cd "$(dirname "$0")/.."

case " $* " in *" --help "* | *" -h "*) PYTHONDONTWRITEBYTECODE=1 exec python3 scripts/peers --help ;; esac

. scripts/peers/setup.sh
PYTHONDONTWRITEBYTECODE=1 exec "$venv/bin/python" scripts/peers --program "$UNET" "$@"
