#!/bin/sh
# Tests the C interface: its Rust tests, then both examples with warnings as errors, against the installed shared and static library,
# under AddressSanitizer, and with valgrind where it is installed.
#
#     sh scripts/test_capi.sh
#
# What is missing is told last: `skipped: ..`.
set -eu
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
if [ -z "${XDG_RUNTIME_DIR:-}" ]; then export NODEVICE_SELECT=1; fi
manifest=capi/Cargo.toml
cargo fmt --check --manifest-path $manifest
cargo clippy --all-targets --manifest-path $manifest -- -D warnings
cargo test --manifest-path $manifest
# With a test: its dependencies have the features of those of the line above, and nothing is built twice.
cargo build --manifest-path $manifest --lib --test header
skipped=
missing() { skipped="${skipped:+$skipped; }$1"; }
command -v cc >/dev/null 2>&1 || { echo "skipped: the examples in C, no compiler"; exit 0; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sh scripts/install_capi.sh "$work/usr" "$CARGO_TARGET_DIR/debug"
flags="-I$work/usr/include" libs="-L$work/usr/lib -lunet_wgpu_c"
if command -v pkg-config >/dev/null 2>&1; then
    flags=$(PKG_CONFIG_PATH="$work/usr/lib/pkgconfig" pkg-config --cflags unet-wgpu)
    libs=$(PKG_CONFIG_PATH="$work/usr/lib/pkgconfig" pkg-config --libs unet-wgpu)
else
    missing "pkg-config"
fi
warnings="-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror"
cc -std=c99 $warnings -g -fsanitize=address $flags -o "$work/segment" capi/examples/segment.c $libs
# The static library needs what the standard library of Rust does.
cc -std=c99 $warnings -g $flags -o "$work/segment_static" capi/examples/segment.c "$work/usr/lib/libunet_wgpu_c.a" -lpthread -ldl -lm -lgcc_s
export LD_LIBRARY_PATH="$work/usr/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
# Drivers and the standard library of Rust keep memory until the end.
export ASAN_OPTIONS=detect_leaks=0
mkdir -p "$work/data/images" "$work/data/labels"
# Discs of brightness 200 on 20.
LC_ALL=C awk 'BEGIN { w = 96; h = 80; printf "P5\n%d %d\n255\n", w, h
    for (y = 0; y < h; y++) for (x = 0; x < w; x++) {
        inside = (x-20)^2+(y-20)^2 < 81 || (x-60)^2+(y-25)^2 < 121 || (x-38)^2+(y-55)^2 < 64 || (x-75)^2+(y-58)^2 < 100
        printf "%c", inside ? 200 : 20 } }' > "$work/data/images/a.pgm"
count=$("$work/segment" auto nuclei "$work/data/images/a.pgm" "$work/data/labels/a.pgm")
[ "$count" -gt 0 ]
[ "$("$work/segment_static" auto nuclei "$work/data/images/a.pgm" "$work/static.pgm")" = "$count" ]
cmp "$work/data/labels/a.pgm" "$work/static.pgm"
if "$work/segment" auto nuclei "$work/none.pgm" "$work/x.pgm" 2>"$work/err"; then echo "a missing image is no error" >&2; exit 1; fi
grep -q "none.pgm" "$work/err"
unet=$CARGO_TARGET_DIR/debug/unet
if [ -x "$unet" ]; then
    # The program finds the same instances: at an IoU of 0.9 as many match as there are.
    "$unet" eval -q --data "$work/data" -m nuclei --iou 0.9 --json > "$work/scores.json"
    tr -d ' \n' < "$work/scores.json" | grep -q "\"f1\":1\.0" || { cat "$work/scores.json" >&2; exit 1; }
else
    missing "comparison with the program, which is not built"
fi
if command -v c++ >/dev/null 2>&1; then
    c++ -std=c++17 $warnings -g -fsanitize=address $flags -o "$work/errors" capi/examples/errors.cpp $libs
    "$work/errors" auto nuclei
else
    missing "the example in C++, no compiler"
fi
if command -v valgrind >/dev/null 2>&1; then
    cc -std=c99 $warnings -g $flags -o "$work/plain" capi/examples/segment.c $libs
    # The reference on the CPU: valgrind knows no 512-bit instructions, which software drivers make.
    valgrind -q --error-exitcode=9 "$work/plain" cpu assets/fixtures/ckpt_milesial_bilinear.ckpt.safetensors "$work/data/images/a.pgm" "$work/valgrind.pgm" >/dev/null
else
    missing "valgrind"
fi
if [ -n "$skipped" ]; then echo "skipped: $skipped"; else echo "the C interface is well"; fi
