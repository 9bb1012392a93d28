"""Arrays in chunks: read lazily by windows, with the results of the whole array."""

import numpy as np
import pytest
import unet_wgpu
from unet_wgpu import segment

da = pytest.importorskip("dask.array")


@pytest.fixture
def big(cells):
    rng = np.random.default_rng(4)
    image = np.tile(cells, (4, 4)).astype(np.float64)
    # Another gain in every corner: statistics of a block are not those of the image.
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    return (image * (0.5 + x / image.shape[1] + y / image.shape[0]) + rng.normal(0, 5, image.shape)).astype(np.uint16)


def same(a, b):
    np.testing.assert_array_equal(a.mask, b.mask)
    np.testing.assert_array_equal(a.labels, b.labels)
    np.testing.assert_array_equal(a.probability.view(np.uint32), b.probability.view(np.uint32))
    for name, column in a.table().items():
        np.testing.assert_array_equal(column, b.table()[name], err_msg=name)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_dask_is_the_whole_bit_for_bit(big, dtype):
    image = big.astype(dtype)
    whole = segment(image, exact=True, probability=True)
    assert whole.count > 50 and whole.tiles == (1, 1)
    for chunks in [(100, 90), image.shape, ((1, 250, 133), (511, 1))]:
        found = segment(da.from_array(image, chunks=chunks), exact=True, tile=320, probability=True)
        assert found.tiles != (1, 1)
        same(found, whole)


def test_dask_of_other_numbers_and_channels(big):
    expected = segment(big.astype(np.float32), probability=True)
    for dtype in (np.int32, np.float64, ">u2"):
        image = da.from_array(big.astype(dtype), chunks=(200, 300))
        found = segment(image, probability=True)
        if dtype == ">u2":
            np.testing.assert_array_equal(found.labels, segment(big).labels)
        else:
            same(found, expected)
    stack = da.stack([da.full_like(da.from_array(big), 7), da.from_array(big, chunks=(150, 150))], axis=-1)
    np.testing.assert_array_equal(segment(stack, channels=[1]).labels, segment(big).labels)
    binary = da.from_array(big > 2000, chunks=(200, 300))
    np.testing.assert_array_equal(segment(binary).labels, segment(big > 2000).labels)


def test_blocks_are_computed_when_they_are_needed(big):
    """One block at a time, and no more in memory than a few rows of blocks."""
    calls = []

    def block(block_info=None):
        (rows, columns) = block_info[None]["array-location"]
        calls.append((rows[0], columns[0]))
        return big[rows[0] : rows[1], columns[0] : columns[1]]

    image = da.map_blocks(block, chunks=((96,) * 4, (128,) * 4), dtype=big.dtype, meta=np.empty((0, 0), big.dtype))
    found = segment(image, exact=True, tile=320, probability=True)
    same(found, segment(big, exact=True, probability=True))
    assert set(calls) == {(96 * i, 128 * k) for i in range(4) for k in range(4)}
    # A pass for the statistics, one for the network, and the means of the table; the cache serves halos.
    assert len(calls) <= 3 * 16, len(calls)


def test_xarray_of_dask_keeps_dims_and_coordinates(big):
    xarray = pytest.importorskip("xarray")
    coords = {"y": np.arange(big.shape[0]) * 0.5, "x": np.arange(big.shape[1]) * 0.25}
    chunked = da.from_array(big[None], chunks=(1, 200, 200))
    image = xarray.DataArray(chunked, dims=("c", "y", "x"), coords=coords)
    found = segment(image, exact=True, probability=True)
    same(found, segment(big, exact=True, probability=True))
    data = found.to_xarray()
    assert data["labels"].dims == ("y", "x") and float(data["x"][-1]) == (big.shape[1] - 1) * 0.25


def test_what_a_block_raises(cells):
    class Broken(Exception):
        pass

    def fail(block):
        if block.size:
            raise Broken("the disk is gone")
        return block

    model = unet_wgpu.Model.open("nuclei")
    image = da.from_array(cells, chunks=(48, 64)).map_blocks(fail, dtype=cells.dtype, meta=np.empty((0, 0), cells.dtype))
    with pytest.raises(Broken, match="the disk is gone"):
        model.segment(image)
    # The model stays usable.
    np.testing.assert_array_equal(model.segment(cells).labels, segment(cells).labels)


def test_messages(cells):
    with pytest.raises(unet_wgpu.ImageTypeError, match="dtype complex128 holds no samples"):
        segment(da.from_array(cells.astype(complex)))
    with pytest.raises(unet_wgpu.ImageShapeError, match="is not .H, W. or"):
        segment(da.from_array(cells[None, None]))
    unknown = da.from_array(cells.ravel(), chunks=400)
    unknown = unknown[unknown > 500]
    with pytest.raises(unet_wgpu.ImageShapeError, match="compute_chunk_sizes"):
        segment(unknown)
    lying = da.from_array(cells, chunks=(48, 64)).map_blocks(lambda b: b[:5], dtype=cells.dtype)
    with pytest.raises(ValueError):
        segment(lying)
    nan = cells.astype(np.float32)
    nan[50, 70] = np.nan
    with pytest.raises(ValueError, match="column 70, row 50 is NaN"):
        segment(da.from_array(nan, chunks=(40, 40)))
    assert segment(da.from_array(nan, chunks=(40, 40)), fill_nan=0).count > 0


def test_progress_and_cancel(big):
    seen = []
    segment(da.from_array(big, chunks=(200, 200)), tile=320, progress=seen.append)
    assert seen[-1] == 1

    class Enough(Exception):
        pass

    def stop(fraction):
        if fraction > 0:
            raise Enough

    with pytest.raises(Enough):
        segment(da.from_array(big, chunks=(200, 200)), tile=320, progress=stop)
