"""Splits the fluorescence images of the 2018 Data Science Bowl by experiment, as the built-in models were trained and scored.

    python3 scripts/split_experiments.py DSB2018 DSB2018_MORE OUT

Both folders hold images/ and labels/. OUT gets train/, validation/, same/, unseen/ and unused/ with links to the images. models/validation.txt
lists the images of all but train/, and says why.
"""

import os
import sys
from pathlib import Path

LIST = Path(__file__).parent.parent / "models" / "validation.txt"


def parts():
    """The part of every image that is not for training."""
    out, part = {}, None
    for line in LIST.read_text().splitlines():
        if line.startswith("["):
            part = line.strip("[]")
        elif line and not line.startswith("#"):
            out.update(dict.fromkeys(line.split(), part))
    return out


def main():
    *folders, out = map(Path, sys.argv[1:])
    part = parts()
    for folder in folders:
        for image in sorted((folder / "images").iterdir()):
            to = out / part.get(image.stem, "train")
            for kind in ("images", "labels"):
                (to / kind).mkdir(parents=True, exist_ok=True)
                link = to / kind / image.name
                if not link.is_symlink():
                    os.symlink((folder / kind / image.name).resolve(), link)
    for to in sorted(p for p in out.iterdir() if p.is_dir()):
        print(f"{to.name}: {len(list((to / 'images').iterdir()))} images")


if __name__ == "__main__":
    main()
