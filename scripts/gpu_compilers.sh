#!/bin/sh
# Compiles our kernels with the compilers of real GPUs, without a GPU: registers, spills, multiply-adds in the hottest loop.
#
#     sh scripts/gpu_compilers.sh RADV_STATS [PATTERN] > table.md
#
# RADV_STATS is the program radv-stats, which compiles a WGSL file with Mesa's compilers for AMD, NVIDIA, Intel, Adreno and
# Apple. PATTERN is a regular expression of file names; the default is the kernels that the standard networks run on GPUs.
# TARGETS=navi31,ad102 selects chips. Exit code 1 if a threshold is missed: see scripts/gpu_table.py.
set -eu
tool=${1:?the program radv-stats}
cd "$(dirname "$0")/.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cargo run -q -- shaders --out "$out" > /dev/null
python3 scripts/gpu_table.py "$tool" "$out" "${2:-}" "${TARGETS:-all}"
