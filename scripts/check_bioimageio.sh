#!/bin/sh
# Packages of bioimage.io against bioimage.io's own Python runtime (bioimageio.core with onnxruntime):
#
#   sh scripts/check_bioimageio.sh [PYTHON]
#
# Makes packages of small random networks in both formats, with axes, sizes and processing of many kinds; bioimageio.spec
# validates each, bioimageio.core computes their test tensors and segments an image, and `unet inspect --verify` and `unet
# segment` must give the same. PYTHON has bioimageio.core, onnx, onnxruntime, torch, numpy and Pillow. UNET is the program,
# default `unet` of a debug build.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python=${1:-python3}
UNET=${UNET:-${CARGO_TARGET_DIR:-$here/../target}/debug/unet} exec "$python" "$here/check_bioimageio.py"
