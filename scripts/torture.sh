#!/bin/sh
# Kills the program, fills its disk, takes its folder away, and runs it for long: nothing is damaged or lost, every rerun
# completes, memory stays flat. docs/reliability.md has the figures.
#
#   sh scripts/torture.sh [--short] [PART ...]
#
# Parts, all by default: segment, train, full, readonly, writers, streams, soak, random. --short does a few of each, in under 3
# minutes once the program and its tests are compiled. `full` and `readonly` mount a small tmpfs, which needs root under Linux; they are skipped in words
# elsewhere. UNET is the program, by default that of a release build; TORTURE_PROFILE=dev takes debug builds, also of the tests.
# Needs Python 3 and nothing else.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
profile=${TORTURE_PROFILE:-release}
folder=$profile
[ "$profile" = dev ] && folder=debug
if [ -z "${UNET:-}" ]; then
    cargo build --profile "$profile" --bin unet
    UNET=$PWD/${CARGO_TARGET_DIR:-target}/$folder/unet
fi
# Without a desktop Mesa prints a harmless error per device.
if [ -z "${XDG_RUNTIME_DIR:-}" ]; then export NODEVICE_SELECT=1; fi
UNET=$UNET TORTURE_PROFILE=$profile exec python3 "$here/torture.py" "$@"
