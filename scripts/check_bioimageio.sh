#!/bin/sh
# Compares packages of bioimage.io with bioimage.io's own Python runtime (bioimageio.core with onnxruntime):
#
#   sh scripts/check_bioimageio.sh [PYTHON]
#
# Makes packages of small random networks in both formats, with many kinds of axes, sizes and processing. bioimageio.spec
# validates each, bioimageio.core computes its test tensors and segments an image, and `unet inspect --verify` and `unet
# segment` must agree. PYTHON needs bioimageio.core, onnx, onnxruntime, torch, numpy and Pillow. UNET is the program, default
# `unet` of a debug build.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python=${1:-python3}
UNET=${UNET:-${CARGO_TARGET_DIR:-$here/../target}/debug/unet} exec "$python" "$here/check_bioimageio.py"
