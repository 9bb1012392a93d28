#!/bin/sh
# Compares checkpoints of other programs with those programs' own modules, with random weights and statistics:
#
#   sh scripts/check_dialects.sh FOLDER [PYTHON]
#
# FOLDER has checkouts of the repositories brain-segmentation-pytorch (mateuszbuda), Pytorch-UNet (milesial),
# pytorch-nested-unet (4uiiurz1) and UNet-Version (ZJUGiveLab), each under its name. PYTHON needs torch, numpy and safetensors.
# UNET is the program, default `unet` of a debug build.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:?folder of checkouts}
python=${2:-python3}
UNET=${UNET:-${CARGO_TARGET_DIR:-$here/../target}/debug/unet} exec "$python" "$here/check_dialects.py" "$folder"
