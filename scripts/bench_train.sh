#!/bin/sh
# Times a training step of unet against PyTorch's on the CPU, side by side on this machine.
#
#     sh scripts/bench_train.sh                 # U-Net of width 16, 256x256, batch 2; --help lists the options
#
# Installs PyTorch as scripts/bench_peers.sh does; VENV=DIR and UNET=PROGRAM have the same meaning.
set -eu
cd "$(dirname "$0")/.."
case " $* " in *" --help "* | *" -h "*) PYTHONDONTWRITEBYTECODE=1 exec python3 scripts/peers/train.py --program unet --help ;; esac
. scripts/peers/setup.sh
PYTHONDONTWRITEBYTECODE=1 exec "$venv/bin/python" scripts/peers/train.py --program "$UNET" "$@"
