#!/bin/sh
# Segments the images of assets/images with each of the built-in models.
#
#     sh scripts/demo.sh [OPTIONS OF unet segment, such as --device cpu]
#
# Masks and overlays land in out/demo/MODEL.
set -eu
cd "$(dirname "$0")/.."

# Installs what is missing: a linker, a Vulkan driver.
sh scripts/setup.sh >&2

cargo build --release
# Cargo may be configured to build elsewhere than in target/.
unet=$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')/release/unet

for model in nuclei nuclei-unet++ nuclei-unet3+; do
    mkdir -p "out/demo/$model"
    printf '== %s\n' "$model"
    "$unet" segment assets/images -m "$model" -o "out/demo/$model" --save mask,overlay "$@"
done

printf '\nLook at the overlays:\n'
find out/demo -type f -name '*overlay*' | sort | sed 's/^/  /'
