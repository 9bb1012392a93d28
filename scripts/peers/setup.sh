# For scripts/bench_peers.sh and scripts/bench_train.sh, from the repository's root: sets `venv`, a virtual environment with
# the peers (VENV, or target/peers with what comes from PyPI), and `UNET`, the program.

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}
say() { printf 'bench_peers: %s\n' "$*" >&2; }

# PyPI's torch for Linux includes CUDA and takes gigabytes: PyTorch's own index has a CPU build.
install() {
    say "installing $* into $venv"
    if "$venv/bin/pip" install --quiet --disable-pip-version-check "$@" >&2; then return 0; fi
    say "could not install $*"
    return 1
}

if [ -n "${VENV:-}" ]; then
    venv=$VENV
    [ -x "$venv/bin/python" ] || fail "VENV=$venv has no bin/python"
else
    venv=${CARGO_TARGET_DIR:-target}/peers
    if ! [ -x "$venv/bin/python" ]; then
        command -v python3 >/dev/null 2>&1 || fail "python3 is not installed"
        python3 -m venv "$venv" || fail "python3 -m venv does not work (Debian: apt install python3-venv)"
    fi
    have() { "$venv/bin/python" -c "import $1" 2>/dev/null; }
    have numpy || install numpy || fail "numpy is needed"
    have onnx || install onnx || true
    have onnxruntime || install onnxruntime || true
    have onnxruntime_ep_webgpu || install onnxruntime-ep-webgpu || true
    have openvino || install openvino || true
    have ncnn || install ncnn || true
    have jax || install jax || true
    have iree.compiler,iree.runtime || install iree-base-compiler iree-base-runtime || true
    have torch || install torch --index-url https://download.pytorch.org/whl/cpu || install torch || true
fi

if [ -z "${UNET:-}" ]; then
    cargo build --release --quiet
    UNET=${CARGO_TARGET_DIR:-target}/release/unet
fi
[ -x "$UNET" ] || fail "$UNET is not a program"

# Without a desktop Mesa prints a harmless error per device.
if [ -z "${XDG_RUNTIME_DIR:-}" ]; then export NODEVICE_SELECT=1; fi
