#!/bin/sh
# Checks round trips of model files against onnxruntime:
#
#   sh scripts/check_export.sh FIXTURES [PYTHON]
#
# native -> ONNX -> onnxruntime equals `unet run` and PyTorch's stored outputs, for every network of a fixture folder (as
# make_golden.py writes it), also at sizes other than the exported one; .pth -> native -> `unet run` equals PyTorch's; native ->
# ONNX -> native is the same file. PYTHON needs numpy, safetensors and onnxruntime. UNET is the program, default `unet` of a
# debug build.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
fixtures=${1:?folder of fixtures}
python=${2:-python3}
UNET=${UNET:-${CARGO_TARGET_DIR:-$here/../target}/debug/unet} exec "$python" "$here/check_export.py" "$fixtures"
