#!/bin/sh
# Builds unet studio as a static site: one folder for any server of files, or for this machine.
#
#     sh scripts/web.sh [--dev] [--serve] [FOLDER]
#
# FOLDER is target/web/studio if not given. --serve serves it on http://localhost:8080 (PORT names another port). --dev builds
# sooner a module that computes more slowly, has names in its traces, and is not kept for use without a network.
set -eu
folder= serve= dev=
for argument; do
    case $argument in
        --serve) serve=1 ;;
        --dev) dev=1 ;;
        -*) sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
        *) [ -z "$folder" ] || { echo "error: two folders: $folder, $argument" >&2; exit 2; }; folder=$argument ;;
    esac
done
# Before the change of folder: a relative one is the caller's.
case $folder in '' | /*) ;; *) folder=$PWD/$folder ;; esac
cd "$(dirname "$0")/.."
root=$PWD
build=$root/target/web
folder=${folder:-$build/studio}
. scripts/wasm_compiler.sh
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# What is there is replaced, if it is a site of this script.
if [ -e "$folder" ] && [ ! -f "$folder/sw.js" ] && [ -n "$(ls -A "$folder")" ]; then
    fail "$folder exists and is not a site that this script built: name another folder"
fi
command -v python3 >/dev/null 2>&1 || fail "python3 is missing"
find_wasm_compiler || fail "no compiler for $target: neither rustup nor Debian's packages can be fetched"

# Beside the old site, which stays until the new one is whole.
mkdir -p "$(dirname "$folder")"
site=$folder.new
rm -rf "$site"
mkdir -p "$site/app" "$site/models"

if [ -n "$dev" ]; then profile=dev output=debug small=; else profile=web output=web small=--small; fi
say "the module, profile $profile"
wasm cargo build --locked --manifest-path studio/Cargo.toml --lib --profile $profile --target $target --target-dir "$build/wasm"
# shellcheck disable=SC2086 # an option or nothing
cargo run --quiet --manifest-path tests/web/Cargo.toml --package bindgen --target-dir "$build/host" -- \
    "$build/wasm/$target/$output/unet_studio.wasm" "$site/app" $small

cp studio/web/index.html studio/web/sw.js studio/web/manifest.webmanifest studio/packaging/unet-studio.svg "$site"
cp studio/web/boot.js studio/web/browser.js studio/web/style.css studio/web/worker.js "$site/app"
say "models"
program=${UNET_PROGRAM:-}
if [ -z "$program" ]; then
    cargo build --quiet --bin unet
    program=${CARGO_TARGET_DIR:-target}/debug/unet
fi
models=$("$program" --json inspect | python3 -c 'import json, sys; print(*(model["name"] for model in json.load(sys.stdin)["builtin"]))')
[ -n "$models" ] || fail "$program has no built-in models"
for model in $models; do "$program" --quiet convert --f16 "$model" "$site/models/$model.safetensors" >&2; done

# shellcheck disable=SC2086
python3 scripts/web_site.py "$site" ${dev:+--dev} >&2
rm -rf "$folder"
mv "$site" "$folder"
say "$folder"
if [ -n "$serve" ]; then
    port=${PORT:-8080}
    say "http://localhost:$port, until Ctrl+C"
    exec python3 -m http.server --bind localhost --directory "$folder" "$port"
fi
