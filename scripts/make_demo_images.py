"""Makes the images of README.md from what the program writes for assets/images/nuclei_hff.png.

    for model in nuclei nuclei-unet++ nuclei-unet3+; do
        unet segment assets/images/nuclei_hff.png -m $model -o out/readme/$model --save mask,overlay,labels
    done
    pip install pillow
    python3 scripts/make_demo_images.py assets/images/nuclei_hff.png out/readme docs/images

demo.png shows the input, the mask and the instances of the default model side by side; MODEL.png shows the input and
the instances of each model.
"""

import sys
from pathlib import Path

from PIL import Image

BOX = (60, 0, 360, 360)  # the part of the demo image that is shown
SMALL = (60, 20, 240, 160)  # the part that the table of models shows
GAP = 4

image, results, out = map(Path, sys.argv[1:4])
MODELS = ["nuclei", "nuclei-unet++", "nuclei-unet3+"]


def crop(path, box, gain=1.0):
    return Image.open(path).convert("RGB").crop(box).point(lambda v: min(255, int(v * gain)))


def save(name, parts):
    width, height = parts[0].size
    row = Image.new("RGB", (len(parts) * (width + GAP) - GAP, height), "white")
    for i, part in enumerate(parts):
        row.paste(part, (i * (width + GAP), 0))
    path = out / name
    row.quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {row.width} x {row.height}, {path.stat().st_size} bytes")


out.mkdir(parents=True, exist_ok=True)
# Only the input is brightened, as a viewer would show it.
folder = results / MODELS[0]
result = [crop(folder / f"{image.stem}_{kind}.png", BOX) for kind in ("mask", "overlay")]
save("demo.png", [crop(image, BOX, 1.5)] + result)
for model in MODELS:
    overlay = crop(results / model / f"{image.stem}_overlay.png", SMALL)
    save(f"{model.replace('+', 'p')}.png", [crop(image, SMALL, 1.5), overlay])
