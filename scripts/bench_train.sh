#!/bin/sh
# Times a training step of unet against PyTorch's and JAX's on the CPU, side by side on this machine, after comparing the losses of
# the first steps from the same weights on the same images. Exits with 1 if they differ.
#
#     sh scripts/bench_train.sh                 # U-Net of width 16, 256x256, batch 2; --help lists the options
#
# Installs what scripts/bench_peers.sh installs; VENV=DIR and UNET=PROGRAM have the same meaning.
set -eu
cd "$(dirname "$0")/.."
case " $* " in *" --help "* | *" -h "*) PYTHONDONTWRITEBYTECODE=1 exec python3 scripts/peers train --program unet --help ;; esac
. scripts/peers/setup.sh
PYTHONDONTWRITEBYTECODE=1 exec "$venv/bin/python" scripts/peers train --program "$UNET" "$@"
