"""Makes assets/fixtures/zarr.zip: small OME-Zarr images by other people's writers, zarr-python and ome-zarr.

    python3 -m venv venv && venv/bin/pip install ome-zarr
    venv/bin/python scripts/make_zarr_fixtures.py

The tests know the pixels: `value` here is `value` in src/infer/decode/zarr/tests.rs.
"""

import json
import pathlib
import shutil
import tempfile
import warnings
import zipfile

import numcodecs
import numpy as np
import ome_zarr.format
import ome_zarr.writer
import zarr
import zarr.codecs as codecs

ROOT = pathlib.Path(__file__).resolve().parent.parent
TYPES = {"time": "t", "channel": "c", "space": "zyx"}


def value(axes, shape, dtype):
    """The pixels of a test image."""
    at = dict(zip(axes, np.indices(shape, dtype=np.int64)))
    t, c, z, y, x = (at.get(a, 0) for a in "tczyx")
    base = x // 4 * 7 + y // 3 * 13 + c * 101 + z * 37 + t * 59
    kind = np.dtype(dtype)
    if kind == bool:
        return base % 3 == 0
    if kind.kind == "f":
        return (base % 1000 / 8).astype(kind)
    if kind.kind == "i":
        return (base % 200 - 100).astype(kind)
    return (base % 251 if kind.itemsize == 1 else base * 3 % 4093).astype(kind)


def described(axes):
    kind = {a: k for k, letters in TYPES.items() for a in letters}
    unit = {"space": {"unit": "micrometer"}, "time": {"unit": "second"}, "channel": {}}
    return [{"name": a, "type": kind[a], **unit[kind[a]]} for a in axes]


def metadata(axes, scale, version):
    level = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
    image = {"axes": described(axes), "datasets": [level], "name": "image"}
    if version == "0.4":
        return {"multiscales": [{"version": version, **image}]}
    return {"ome": {"version": version, "multiscales": [image]}}


def image(folder, axes="yx", shape=(45, 37), chunks=(16, 20), dtype="u2", form=2, holes=False, **options):
    group = zarr.open_group(str(folder), mode="w", zarr_format=form)
    scale = [{"y": 0.5, "x": 0.25, "z": 2.0}.get(a, 1.0) for a in axes]
    group.attrs.update(metadata(axes, scale, "0.4" if form == 2 else "0.5"))
    if form == 2:
        options.setdefault("chunk_key_encoding", {"name": "v2", "separator": "/"})
    array = group.create_array("0", shape=shape, chunks=chunks, dtype=dtype, **options)
    pixels = value(axes, shape, dtype)
    if holes:
        # Only the first chunk of the second row of chunks is missing.
        pixels = pixels.copy()
        array[: chunks[0]] = pixels[: chunks[0]]
        array[chunks[0] :, chunks[1] :] = pixels[chunks[0] :, chunks[1] :]
        array[2 * chunks[0] :, : chunks[1]] = pixels[2 * chunks[0] :, : chunks[1]]
    else:
        array[...] = pixels


def plate(folder):
    group = zarr.open_group(str(folder), mode="w", zarr_format=2)
    wells = [("A", "1"), ("B", "2")]
    group.attrs["plate"] = {
        "version": "0.4",
        "rows": [{"name": "A"}, {"name": "B"}],
        "columns": [{"name": "1"}, {"name": "2"}],
        "wells": [{"path": f"{r}/{c}", "rowIndex": "AB".index(r), "columnIndex": int(c) - 1} for r, c in wells],
    }
    for (r, c), fields in zip(wells, ["01", "0"]):
        group.require_group(f"{r}/{c}").attrs["well"] = {"version": "0.4", "images": [{"path": f} for f in fields]}
        for field in fields:
            image(folder / r / c / field, shape=(20, 30), chunks=(20, 30), dtype="u1", compressors=numcodecs.GZip(1))


def written_by_ome_zarr(folder, version, axes, shape, dtype, channels):
    form = {"0.4": ome_zarr.format.FormatV04, "0.5": ome_zarr.format.FormatV05}[version]()
    group = zarr.open_group(str(folder), mode="w", zarr_format=form.zarr_format)
    pixels = value(axes, shape, dtype)
    halves = [pixels[..., ::f, ::f] for f in (1, 2, 4)]
    scale = [{"y": 0.5, "x": 0.5, "z": 2.0}.get(a, 1.0) for a in axes]
    moved = [
        [{"type": "scale", "scale": [s * f if a in "yx" else s for a, s in zip(axes, scale)]}] for f in (1, 2, 4)
    ]
    omero = {"channels": [{"label": n, "color": "FF0000", "window": {"start": 0, "end": 255, "min": 0, "max": 255}, "active": True} for n in channels]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ome_zarr.writer.write_multiscale(
            halves, group, fmt=form, axes=described(axes), coordinate_transformations=moved, metadata={"omero": omero}
        )
    if "omero" not in json.dumps(dict(group.attrs)):
        attrs = dict(group.attrs)
        (attrs["ome"] if version == "0.5" else attrs)["omero"] = omero
        group.attrs.update(attrs)


def main():
    folder = pathlib.Path(tempfile.mkdtemp())
    blosc = numcodecs.Blosc
    # Version 2.
    image(folder / "v2_none_big.zarr", dtype=">u2", compressors=None, chunk_key_encoding={"name": "v2", "separator": "."})
    image(folder / "v2_blosc_lz4.zarr", dtype="u1", compressors=blosc("lz4", 5, blosc.SHUFFLE))
    large = {"shape": (70, 80), "chunks": (64, 64)}
    image(folder / "v2_blosc_zstd_bits.zarr", compressors=blosc("zstd", 5, blosc.BITSHUFFLE, blocksize=1024), **large)
    image(folder / "v2_blosc_lz4_blocks.zarr", compressors=blosc("lz4hc", 5, blosc.SHUFFLE, blocksize=3000), **large)
    image(folder / "v2_blosclz.zarr", compressors=blosc("blosclz", 9, blosc.SHUFFLE), **large)
    image(folder / "v2_blosc_zlib_f4.zarr", dtype="f4", compressors=blosc("zlib", 5, blosc.SHUFFLE))
    image(folder / "v2_gzip_fortran_i2.zarr", dtype="i2", order="F", compressors=numcodecs.GZip(5))
    image(folder / "v2_zlib_u4.zarr", dtype="u4", compressors=numcodecs.Zlib(5))
    image(folder / "v2_zstd_f8.zarr", dtype="f8", compressors=numcodecs.Zstd(3))
    image(folder / "v2_lz4_i1.zarr", dtype="i1", compressors=numcodecs.LZ4())
    image(folder / "v2_holes.zarr", dtype="u1", holes=True, fill_value=7, compressors=numcodecs.GZip(5))
    image(folder / "v2_tczyx.zarr", "tczyx", (2, 3, 2, 20, 24), (1, 2, 2, 20, 16), "u1", compressors=blosc("lz4", 5, blosc.SHUFFLE))
    plate(folder / "plate.zarr")
    # Version 3.
    v3 = {"form": 3}
    image(folder / "v3_none.zarr", **v3, compressors=None)
    image(folder / "v3_big_gzip_i4.zarr", **v3, dtype="i4", serializer=codecs.BytesCodec(endian="big"), compressors=codecs.GzipCodec(level=5))
    image(folder / "v3_zstd_bool.zarr", **v3, dtype="bool", compressors=codecs.ZstdCodec(level=3, checksum=True))
    image(folder / "v3_blosc_lz4.zarr", **v3, compressors=codecs.BloscCodec(cname="lz4", clevel=5, shuffle="shuffle", typesize=2))
    image(folder / "v3_blosc_zstd_bits_f4.zarr", **v3, dtype="f4", compressors=codecs.BloscCodec(cname="zstd", clevel=5, shuffle="bitshuffle", typesize=4), **large)
    image(folder / "v3_crc32c_f2.zarr", **v3, dtype="f2", compressors=[codecs.ZstdCodec(), codecs.Crc32cCodec()])
    image(folder / "v3_transposed_u8.zarr", **v3, dtype="u8", filters=codecs.TransposeCodec(order=(1, 0)), compressors=codecs.GzipCodec())
    image(folder / "v3_sharded.zarr", **v3, shards=(32, 40), compressors=codecs.ZstdCodec())
    image(folder / "v3_holes_sharded_f4.zarr", **v3, dtype="f4", holes=True, fill_value=2.5, shards=(32, 40), compressors=codecs.BloscCodec(cname="lz4", typesize=4))
    start = codecs.ShardingCodec(chunk_shape=(16, 20), codecs=[codecs.BytesCodec(), codecs.GzipCodec()], index_location="start")
    image(folder / "v3_shard_start.zarr", **v3, chunks=(32, 40), serializer=start, compressors=None, chunk_key_encoding={"name": "v2", "separator": "."})
    # By the reference writer, with levels and channels.
    written_by_ome_zarr(folder / "levels_04.zarr", "0.4", "cyx", (2, 41, 53), "u2", ["DAPI", "GFP"])
    written_by_ome_zarr(folder / "levels_05.zarr", "0.5", "tczyx", (1, 3, 1, 41, 53), "u1", ["Red", "Green", "Blue"])
    target = ROOT / "assets" / "fixtures" / "zarr.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            if path.read_bytes() == b"{}":
                continue
            entry = zipfile.ZipInfo(str(path.relative_to(folder)), (2026, 11, 30, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
    shutil.rmtree(folder)
    print(f"{target}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
