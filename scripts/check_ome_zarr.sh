#!/bin/sh
# Checks OME-Zarr with other people's reader and writer, ome-zarr and zarr-python:
#
#   sh scripts/check_ome_zarr.sh [PYTHON]
#
# ome-zarr writes an image in versions 0.4 and 0.5, `unet segment` reads it and writes labels into it; ome_zarr.reader, which
# napari-ome-zarr opens images with, finds the labels with their levels and scale, ome-zarr-models validates the metadata, and the
# numbers are those in the labels of the same image as TIFF. PYTHON needs ome-zarr, ome-zarr-models and tifffile. UNET is the program,
# default `unet` of a debug build; DEVICE what it runs on, default auto.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python=${1:-python3}
UNET=${UNET:-${CARGO_TARGET_DIR:-$here/../target}/debug/unet} exec "$python" "$here/check_ome_zarr.py"
