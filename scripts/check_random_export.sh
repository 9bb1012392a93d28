#!/bin/sh
# Exports random networks of the family to ONNX, runs them in onnxruntime, and compares with the reference and with `unet run`:
#
#   sh scripts/check_random_export.sh [PYTHON]
#
# PYTHON needs numpy, safetensors and onnxruntime. UNET_RANDOM_SEEDS is the range of networks, default 0..20. UNET is the program,
# default `unet` of a debug build.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
cargo build --bin unet
log=$(cargo test --test gpu random_architectures::files::random_architectures_as_files -- --ignored --exact --nocapture)
folder=$(printf '%s\n' "$log" | sed -n 's/^.*folder: //p')
exec sh "$here/check_export.sh" "$folder" "${1:-python3}"
