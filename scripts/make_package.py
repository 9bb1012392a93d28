"""Makes a bioimage.io package of a model, with test tensors that onnxruntime computed, and checks it:

    UNET=target/debug/unet python scripts/make_package.py [MODEL] [OUT.zip]

MODEL defaults to the built-in `nuclei`. The package has format 0.5, ONNX weights, the preprocessing `scale_range` and the
postprocessing `softmax`. The interpreter needs numpy and onnxruntime.
"""

import hashlib
import io
import os
import pathlib
import subprocess
import sys
import tempfile
import zipfile

import numpy as np
import onnxruntime

RDF = """\
format_version: 0.5.3
type: model
name: nuclei of a script
description: made by scripts/make_package.py
license: MIT
authors: [{name: unet-wgpu}]
inputs:
  - id: raw
    axes:
      - {type: batch}
      - {type: channel, channel_names: [nuclei]}
      - {type: space, id: y, size: {min: 48, step: 16}}
      - {type: space, id: x, size: {min: 48, step: 16}}
    data: {type: float32}
    preprocessing:
      - {id: ensure_dtype, kwargs: {dtype: float32}}
      - {id: scale_range, kwargs: {axes: [y, x], min_percentile: 1.0, max_percentile: 99.8}}
    test_tensor: {source: test_input.npy, sha256: INPUT}
outputs:
  - id: classes
    axes:
      - {type: batch}
      - {type: channel, channel_names: [background, nucleus]}
      - {type: space, id: y, size: {tensor_id: raw, axis_id: y}, halo: 16}
      - {type: space, id: x, size: {tensor_id: raw, axis_id: x}, halo: 16}
    postprocessing: [{id: softmax, kwargs: {axis: channel}}]
    test_tensor: {source: test_output.npy, sha256: OUTPUT}
weights:
  onnx: {source: weights.onnx, sha256: WEIGHTS, opset_version: 17}
"""


def npy(array):
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def main():
    model = sys.argv[1] if len(sys.argv) > 1 else "nuclei"
    out = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else "package.zip")
    unet = os.environ.get("UNET", "target/debug/unet")
    with tempfile.TemporaryDirectory() as folder:
        onnx = pathlib.Path(folder) / "weights.onnx"
        subprocess.run([unet, "-q", "convert", model, onnx], check=True, stdout=subprocess.DEVNULL)
        weights = onnx.read_bytes()
        session = onnxruntime.InferenceSession(weights, providers=["CPUExecutionProvider"])
    y, x = np.mgrid[:64, :80]
    discs = sum(np.exp(-((y - a) ** 2 + (x - b) ** 2) / 60.0) for a, b in [(16, 20), (40, 60), (50, 16)])
    raw = (300 + 2000 * discs + 20 * np.random.default_rng(3).standard_normal(discs.shape)).astype(np.float32)
    low, high = np.percentile(raw, [1.0, 99.8])
    logits = session.run(None, {"input": ((raw - low) / (high - low + 1e-6)).astype(np.float32)[None, None]})[0]
    e = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    files = {
        "test_input.npy": npy(raw[None, None]),
        "test_output.npy": npy((e / e.sum(1, keepdims=True)).astype(np.float32)),
        "weights.onnx": weights,
    }
    rdf = RDF
    for key, name in [("INPUT", "test_input.npy"), ("OUTPUT", "test_output.npy"), ("WEIGHTS", "weights.onnx")]:
        rdf = rdf.replace(key, hashlib.sha256(files[name]).hexdigest())
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("rdf.yaml", rdf)
        for name, content in files.items():
            z.writestr(name, content)
    subprocess.run([unet, "inspect", out, "--size", "64", "--verify"], check=True)


if __name__ == "__main__":
    main()
