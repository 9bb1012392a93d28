#!/bin/sh
# Times networks on the versions of Mesa's software renderer that people have, at either vector width, and prints a table.
#
#     sh scripts/drivers.sh             five networks, about half an hour
#     sh scripts/drivers.sh --short     one network, under three minutes once drivers are there
#     UNET=target/release/unet sh scripts/drivers.sh --selftest
#                                       unet selftest on each driver instead
#
# SwiftShader joins --selftest where Chromium is installed (SWIFTSHADER names its manifest), and the table if SWIFTSHADER is set: it takes
# minutes for each network.
#
# Drivers come from Debian into ${XDG_CACHE_HOME:-~/.cache}/unet-wgpu/mesa (350 MB each); nothing on the system changes. One that
# cannot be downloaded is named and left out.
set -eu
cd "$(dirname "$0")/.."
short= selftest=
for option in "$@"; do
    case $option in
        --short) short="--networks 1 --rounds 1" ;;
        --selftest) selftest=1 ;;
        *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
done
program=${UNET:-}
[ -n "$program" ] || { cargo build --release --quiet; program=target/release/unet; }
folder=${XDG_CACHE_HOME:-$HOME/.cache}/unet-wgpu/mesa
drivers= missing= failed=
for suite in bookworm-backports trixie sid; do
    if [ -e "$folder/$suite/lvp.json" ] || sh scripts/fetch_mesa.sh "$suite" "$folder/$suite" >&2; then
        drivers="$drivers $suite=$folder/$suite"
    else
        missing="$missing $suite"
    fi
done
if [ -n "$selftest" ]; then
    swift=${SWIFTSHADER:-/usr/lib/chromium/vk_swiftshader_icd.json}
    for driver in installed= $drivers; do
        at=${driver#*=}
        echo "== ${driver%%=*}"
        if [ -n "$at" ]; then
            VK_DRIVER_FILES="$at/lvp.json" "$at/ld-linux-x86-64.so.2" --library-path "$at" "$program" selftest --device llvmpipe -q || failed=1
        else
            "$program" selftest --device llvmpipe -q || failed=1
        fi
    done
    if [ -e "$swift" ]; then
        echo "== SwiftShader"
        VK_DRIVER_FILES="$swift" "$program" selftest --device SwiftShader -q || failed=1
    fi
else
    # shellcheck disable=SC2086
    python3 scripts/drivers.py --program "$program" $short $drivers ${SWIFTSHADER:+"SwiftShader=$SWIFTSHADER"}
fi
[ -z "$missing" ] || echo "skipped: no driver of$missing could be downloaded" >&2
[ -z "$failed" ]
