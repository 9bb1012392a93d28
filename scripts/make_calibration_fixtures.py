"""Writes assets/fixtures/calibration: small TIFF files with pixel sizes, georeferences and pyramids, by tifffile.

    python scripts/make_calibration_fixtures.py

A pixel's value is (3 * column + 5 * row + 7 * channel) % 251 at full size; a level has every 2nd, 4th... pixel.
"""

from pathlib import Path

import numpy as np
import tifffile

OUT = Path(__file__).parent.parent / "assets" / "fixtures" / "calibration"


def plane(w, h, channel=0, dtype=np.uint8):
    y, x = np.mgrid[:h, :w]
    return ((3 * x + 5 * y + 7 * channel) % 251).astype(dtype)


def rgb(w, h):
    return np.stack([plane(w, h, c) for c in range(3)], axis=-1)


def geo_keys(raster_type):
    return (34735, "H", 20, (1, 1, 0, 4, 1024, 0, 1, 1, 1025, 0, 1, raster_type, 1026, 34737, 22, 0, 3072, 0, 1, 32632), True)


CITATION = (34737, "s", 0, "WGS 84 / UTM zone 32N|", True)


def main():
    OUT.mkdir(parents=True, exist_ok=True)

    # OME-TIFF: two channels, two further levels as SubIFDs of each channel's directory.
    dyes = np.stack([plane(80, 48, c, np.uint16) for c in range(2)])
    with tifffile.TiffWriter(OUT / "pyramid.ome.tif", ome=True) as tif:
        options = dict(tile=(16, 16), photometric="minisblack", compression="zlib")
        metadata = {
            "axes": "CYX",
            "PhysicalSizeX": 250.0,
            "PhysicalSizeXUnit": "nm",
            "PhysicalSizeY": 0.5,
            "PhysicalSizeYUnit": "µm",
            "Channel": {"Name": ["DAPI", "GFP"]},
        }
        tif.write(dyes, subifds=2, metadata=metadata, **options)
        for step in (2, 4):
            tif.write(np.ascontiguousarray(dyes[:, ::step, ::step]), subfiletype=1, metadata=None, **options)

    # The order of an Aperio slide: full size, thumbnail, two levels, label, overview.
    slide = rgb(96, 64)
    with tifffile.TiffWriter(OUT / "aperio.svs") as tif:
        text = "Aperio Image Library v11.2.1 \r\n96x64 [0,0 96x64] (16x16) RAW|AppMag = 20|MPP = 0.4990"
        tiled = dict(tile=(16, 16), photometric="rgb", metadata=None, compression="zlib")
        plain = dict(rowsperstrip=16, photometric="rgb", metadata=None, compression="zlib")
        tif.write(slide, description=text, **tiled)
        tif.write(np.ascontiguousarray(slide[::3, ::3]), description=text + "\r\nthumbnail", **plain)
        tif.write(np.ascontiguousarray(slide[::2, ::2]), description=text, **tiled)
        tif.write(np.ascontiguousarray(slide[::4, ::4]), description=text, **tiled)
        tif.write(rgb(20, 20), description="Aperio label", subfiletype=1, **plain)
        tif.write(rgb(50, 20), description="Aperio macro", subfiletype=9, **plain)

    # The order of a cloud-optimised GeoTIFF: full size, its mask, an overview, the overview's mask.
    ground = plane(41, 30)
    place = [
        (33550, "d", 3, (10.0, 20.0, 0.0), True),
        (33922, "d", 6, (0.0, 0.0, 0.0, 500000.0, 5200000.0, 0.0), True),
        geo_keys(1),
        CITATION,
        (42113, "s", 0, "0", True),
    ]
    with tifffile.TiffWriter(OUT / "geo.tif") as tif:
        options = dict(tile=(16, 16), metadata=None, compression="zlib")
        tif.write(ground, extratags=place, **options)
        tif.write(np.ones((30, 41), bool), subfiletype=4, photometric="mask", **options)
        tif.write(np.ascontiguousarray(ground[::2, ::2]), subfiletype=1, **options)
        tif.write(np.ones((15, 21), bool), subfiletype=5, photometric="mask", **options)

    # Rotated by a matrix that maps pixel centres.
    matrix = (0.5, 0.1, 0.0, 7.0, 0.1, -0.5, 0.0, 90.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    tags = [(34264, "d", 16, matrix, True), geo_keys(2), CITATION]
    tifffile.imwrite(OUT / "geo_turned_points.tif", plane(24, 16), extratags=tags, metadata=None)

    # Stored rotated: 274 says that rows and columns are exchanged. Pixels of 2 by 3 micrometres as stored.
    place = [
        (33550, "d", 3, (10.0, 20.0, 0.0), True),
        (33922, "d", 6, (0.0, 0.0, 0.0, 500000.0, 5200000.0, 0.0), True),
        geo_keys(1),
        (274, "H", 1, 6, True),
    ]
    options = dict(resolution=(1e4 / 2, 1e4 / 3), resolutionunit=3, metadata=None)
    tifffile.imwrite(OUT / "geo_orientation6.tif", plane(24, 16), extratags=place, **options)

    # ImageJ: three planes, micrometres.
    planes = np.stack([plane(24, 16, c) for c in range(3)])
    tifffile.imwrite(
        OUT / "imagej.tif",
        planes,
        imagej=True,
        resolution=(1 / 0.325, 1 / 0.65),
        metadata={"unit": "um", "spacing": 2.0, "axes": "ZYX"},
    )

    # Plain resolution tags: a microscope's, and a printer's. BigTIFF and big-endian too.
    tifffile.imwrite(OUT / "centimetre.tif", plane(24, 16), resolution=(1e4 / 0.65, 1e4 / 0.65), resolutionunit=3, metadata=None)
    tifffile.imwrite(
        OUT / "big_endian.btf", plane(24, 16), bigtiff=True, byteorder=">", resolution=(40000, 20000), resolutionunit=3, metadata=None
    )
    tifffile.imwrite(OUT / "dpi300.tif", plane(24, 16), resolution=(300, 300), resolutionunit=2, metadata=None)


if __name__ == "__main__":
    main()
