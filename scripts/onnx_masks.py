"""The masks that onnxruntime's outputs give for the networks assets/fixtures/onnx_cases/prob_*.onnx, whose outputs are
probabilities without a final Sigmoid or Softmax: the fixtures of tests/cpu/onnx_forms.rs. A pixel whose class a rounding
error could change is 255.

    python scripts/onnx_masks.py

Needs numpy, onnxruntime and Pillow."""

import pathlib

import numpy as np
import onnxruntime
from PIL import Image

ROUNDING = 1e-5
root = pathlib.Path(__file__).resolve().parent.parent / "assets"
folder = root / "fixtures/onnx_cases"
image = np.asarray(Image.open(root / "images/nuclei_hff.png"))[:192, 224:480]
Image.fromarray(image).save(folder / "prob_image.png")
for name in ["prob_clip", "prob_hardsigmoid", "prob_softmax"]:
    session = onnxruntime.InferenceSession(folder / f"{name}.onnx", providers=["CPUExecutionProvider"])
    (p,) = session.run(None, {session.get_inputs()[0].name: image[None, None].astype(np.float32) / 255})
    # The background stands at the threshold; the largest wins.
    scores = np.concatenate([np.full_like(p[0, :1], 0.5), p[0]])
    first, second = np.sort(scores, axis=0)[-1], np.sort(scores, axis=0)[-2]
    mask = np.where(first - second < ROUNDING, 255, scores.argmax(0)).astype(np.uint8)
    Image.fromarray(mask).save(folder / f"{name}_mask.png")
    print(f"{name}: {dict(zip(*(v.tolist() for v in np.unique(mask, return_counts=True))))}")
