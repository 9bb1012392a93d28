"""Segments an OME-Zarr image that is larger than the memory given to the program, and compares every label with scipy's.

    UNET=target/release/unet python3 scripts/check_big_ome_zarr.py 30000 --memory 2G

The image is nuclei_u2os.png, mirrored and repeated, in chunks of 1,000. The network is a threshold: sigmoid(x - 0.5), so that every
pixel's instance is known: scipy.ndimage.label numbers components by their first pixels, too. Needs numpy, pillow, zarr, scipy, onnx; scipy
takes 5 bytes for each pixel. Prints the time, and the program's peak resident memory.
"""

import argparse
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import zarr
from onnx import TensorProto, helper
from PIL import Image
from scipy import ndimage

IMAGE = pathlib.Path(__file__).resolve().parent.parent / "assets/images/nuclei_u2os.png"
CHUNK = 1000
LEVEL = 76  # of 255: the foreground is brighter


def write_network(path):
    weights = [helper.make_tensor("w", TensorProto.FLOAT, (1, 1, 1, 1), [1.0]), helper.make_tensor("b", TensorProto.FLOAT, (1,), [-0.5])]
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["z"]), helper.make_node("Sigmoid", ["z"], ["y"])]
    ends = [[helper.make_tensor_value_info(n, TensorProto.FLOAT, ("n", 1, "h", "w"))] for n in "xy"]
    graph = helper.make_graph(nodes, "threshold", *ends, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def write_image(path, side):
    image = np.asarray(Image.open(IMAGE)).astype(float)
    low, high = np.percentile(image, [1, 99.8])
    image = ((image - low) / (high - low) * 255).clip(0, 255).astype(np.uint8)
    tile = np.tile(image, (2, 2))[:CHUNK, :CHUNK]
    forms = [tile, tile[::-1], tile[:, ::-1], tile[::-1, ::-1]]
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    scale = [{"type": "scale", "scale": [0.5, 0.5]}]
    axes = [{"name": a, "type": "space", "unit": "micrometer"} for a in "yx"]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}]
    options = {"shape": (side, side), "chunks": (CHUNK, CHUNK), "dtype": "u1", "chunk_key_encoding": {"name": "v2", "separator": "/"}}
    array = group.create_array("0", **options)
    for y in range(0, side, CHUNK):
        for x in range(0, side, CHUNK):
            form = forms[(y // CHUNK * 7 + x // CHUNK * 3) % 4]
            array[y : y + CHUNK, x : x + CHUNK] = form[: side - y, : side - x]
    return array


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("side", type=int)
    parser.add_argument("--memory", default="2G")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        write_network(work / "threshold.onnx")
        image = write_image(work / "big.ome.zarr", args.side)
        threshold = 1 / (1 + np.exp(0.5 - (LEVEL + 0.5) / 255))
        line = [os.environ["UNET"], "segment", work / "big.ome.zarr", "-m", work / "threshold.onnx", "--save", "ome-zarr"]
        start = time.time()
        subprocess.run([*line, "--threshold", str(threshold), "--memory", args.memory], check=True)
        seconds, peak = time.time() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        labels = zarr.open_array(str(work / "big.ome.zarr/labels/unet/0"), mode="r")
        foreground = np.empty(image.shape, bool)
        bands = range(0, args.side, CHUNK)
        for y in bands:
            foreground[y : y + CHUNK] = image[y : y + CHUNK] > LEVEL
        expected, count = ndimage.label(foreground)
        wrong = sum(int((labels[y : y + CHUNK] != expected[y : y + CHUNK]).sum()) for y in bands)
        print(f"{args.side} x {args.side}: {seconds:.0f} s, {peak:.0f} MB; {count} instances, {wrong} pixels differ from scipy's")
        return 1 if wrong or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
