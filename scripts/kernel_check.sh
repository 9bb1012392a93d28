#!/bin/sh
# Runs the kernels through every other compiler available: naga to HLSL and MSL, spirv-val, DXC, Tint, Mesa's for GPUs.
#
#     sh scripts/kernel_check.sh KERNEL_CHECK [PATTERN]
#
# KERNEL_CHECK is the program kernel-check.sh, which runs one kernel through all of them; it documents its variables RADV_STATS,
# DXC_LIB, WEBGPU_DIR and VK_DRIVER_FILES. PATTERN is a grep -E pattern of file names; without it, all kernels. Prints a line for
# each kernel that fails and a count at the end; exit code 1 if one does. Kernels with cooperative matrices are omitted: naga
# cannot write them as HLSL. scripts/gpu_compilers.sh with the pattern `matrix` compiles those.
set -eu
check=$(realpath "${1:?the program kernel-check.sh}")
pattern=${2:-.}
cd "$(dirname "$0")/.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cargo run -q -- shaders --out "$out" > /dev/null
cat > "$out/one.sh" <<'ONE'
# Tint requires `enable subgroups`, which naga does not know.
if grep -q 'subgroup[A-Z]' "$2"; then unset WEBGPU_DIR; fi
if bash "$1" "$2" main --checks off --no-zero-init > "$2.log" 2>&1; then
    echo works
else
    printf 'FAILS  %s: %s\n' "$(basename "$2")" "$(grep FAILS "$2.log" | head -3 | tr '\n' ' ')"
fi
ONE
grep -L coop_mat "$out"/*.wgsl | grep -E "$pattern" |
    xargs -P "$(nproc)" -I {} sh "$out/one.sh" "$check" {} > "$out/results"
sed '/^works$/d' "$out/results"
bad=$(grep -vc '^works$' "$out/results" || true)
# The available compilers, from the log of a kernel that none of them skips.
first=$(grep -L 'skips' "$out"/*.log | head -1)
grep -hE '^(works|skips)' "${first:-$(find "$out" -name '*.log' | head -1)}" | sed 's/^/       /'
echo "$(wc -l < "$out/results") kernels, $bad failed"
[ "$bad" = 0 ]
