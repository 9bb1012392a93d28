"""Makes assets/images/demo_overlay.png: a picture, its mask and its overlay side by side.

    target/release/unet segment assets/images/nuclei_hff.png -o out/demo
    pip install pillow
    python3 scripts/make_demo_picture.py assets/images/nuclei_hff.png out/demo assets/images/demo_overlay.png
"""

import sys
from pathlib import Path

from PIL import Image

BOX = (60, 0, 360, 360)  # the part that is shown
GAP = 6

picture, results, out = map(Path, sys.argv[1:4])
names = [picture, results / f"{picture.stem}_mask.png", results / f"{picture.stem}_overlay.png"]
parts = [Image.open(name).convert("RGB").crop(BOX) for name in names]
width, height = parts[0].size
# Nuclei are far brighter than the rest: shown as a screen would, the picture is lightened a little.
parts[0] = parts[0].point(lambda v: min(255, v * 3 // 2))
row = Image.new("RGB", (3 * width + 2 * GAP, height), "white")
for i, part in enumerate(parts):
    row.paste(part, (i * (width + GAP), 0))
row.quantize(128, dither=Image.Dither.NONE).save(out, optimize=True)
print(f"{out}: {row.width} x {row.height}, {out.stat().st_size} bytes")
