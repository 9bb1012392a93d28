#!/bin/sh
# Installs the C interface: libraries, header, pkg-config and CMake files.
#
#     cargo build --release --manifest-path capi/Cargo.toml && sh scripts/install_capi.sh PREFIX [FOLDER_OF_THE_BUILD]
set -eu
cd "$(dirname "$0")/.."
[ $# -ge 1 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | sed '$d' >&2; exit 2; }
prefix=$1
build=${2:-${CARGO_TARGET_DIR:-capi/target}/release}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' capi/Cargo.toml)
mkdir -p "$prefix/lib/pkgconfig" "$prefix/lib/cmake/unet-wgpu" "$prefix/include"
found=
for library in libunet_wgpu_c.so libunet_wgpu_c.dylib unet_wgpu_c.dll libunet_wgpu_c.a unet_wgpu_c.lib; do
    if [ -e "$build/$library" ]; then cp "$build/$library" "$prefix/lib/"; found=1; fi
done
[ -n "$found" ] || { echo "error: no library in $build: build it first" >&2; exit 1; }
cp capi/include/unet_wgpu.h "$prefix/include/"
cp capi/cmake/unet-wgpu-config.cmake "$prefix/lib/cmake/unet-wgpu/"
sed "s|@PREFIX@|$(cd "$prefix" && pwd)|; s|@VERSION@|$version|" capi/unet-wgpu.pc.in > "$prefix/lib/pkgconfig/unet-wgpu.pc"
