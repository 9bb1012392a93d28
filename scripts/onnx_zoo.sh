#!/bin/sh
# Exports networks of segmentation_models.pytorch, MONAI and nnU-Net with random weights to ONNX and compares this engine
# with onnxruntime. The first run needs network access: it makes a Python environment in $ZOO (default target/zoo).
#   scripts/onnx_zoo.sh [--unet target/release/unet] [--device 0] [NETWORK ..]
set -eu
cd "$(dirname "$0")/.."
ZOO=${ZOO:-target/zoo}
if [ ! -x "$ZOO/bin/python" ]; then
    python3 -m venv "$ZOO"
    "$ZOO/bin/python" -m pip install -q torch torchvision onnx onnxruntime safetensors segmentation_models_pytorch monai \
        dynamic_network_architectures
fi
exec "$ZOO/bin/python" scripts/onnx_zoo.py "$@"
