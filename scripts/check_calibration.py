"""Compares the calibration of `unet segment`'s TIFF results with that of the images, both read by tifffile.

    python scripts/check_calibration.py target/release/unet [IMAGE...]

The default images are those of assets/fixtures/calibration. Needs tifffile and numpy.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import tifffile

GEO = (33550, 33922, 34264, 34735, 34736, 34737)
MICROMETRES = {"um": 1.0, "micron": 1.0, "\\u00B5m": 1.0, "nm": 1e-3, "mm": 1e3}


def tags(path):
    """Resolution per centimetre or per ImageJ's unit, unit, georeference."""
    with tifffile.TiffFile(path) as tif:
        page = tif.pages.first
        value = lambda code: page.tags[code].value if code in page.tags else None
        resolution = [n / d if d else 0.0 for n, d in (value(282) or (0, 1), value(283) or (0, 1))]
        unit = (tif.imagej_metadata or {}).get("unit")
        return resolution, int(value(296) or 2), unit, {code: value(code) for code in GEO if code in page.tags}


def size(resolution, unit, name):
    """Micrometres of a pixel, by the rules of TIFF and ImageJ."""
    length = MICROMETRES.get(name) if name else {2: 25400.0, 3: 1e4}.get(unit)
    return [length / r if length and r else None for r in resolution]


def check(unet, image, model, out):
    command = [unet, "segment", image, "-m", model, "-o", out / (image.stem + "_mask.tif"), "--save", "mask,labels,prob"]
    command += ["--channels", "0"] if ".ome." in image.name else []
    done = subprocess.run([*map(str, command), "--normalise", "unit", "--json", "-q"], capture_output=True, text=True)
    if done.returncode:
        return [f"{image.name}: {done.stderr.strip()}"]
    report = json.loads(done.stdout)
    wrong = []
    resolution, unit, name, geo = tags(image)
    for path in map(Path, report["outputs"].values()):
        got = tags(path)
        with tifffile.TiffFile(path) as tif:
            shape = tif.series[0].shape
        if shape[-2:] != (report["height"], report["width"]):
            wrong.append(f"{path.name}: shape {shape}")
        if got[3] != geo:
            wrong.append(f"{path.name}: georeference {got[3]} is not {geo}")
        if report["pixel_size_um"] is None:
            if got[:3] != (resolution, unit, name):
                wrong.append(f"{path.name}: {got[:3]} is not {(resolution, unit, name)}")
            continue
        for a, b in zip(size(*got[:3]), report["pixel_size_um"]):
            if a is None or abs(a / b - 1) > 1e-6:
                wrong.append(f"{path.name}: {a} is not {b} micrometres")
    print(f"{image.name}: {report['pixel_size_um']} um, {len(geo)} tags of a georeference, {len(report['outputs'])} results")
    return wrong


def main():
    unet, images = sys.argv[1], [Path(p) for p in sys.argv[2:]]
    images = images or sorted((Path(__file__).parent.parent / "assets/fixtures/calibration").iterdir())
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        for image in images:
            wrong += check(unet, image, "nuclei", Path(folder))
    print("\n".join(wrong) or "all equal")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
