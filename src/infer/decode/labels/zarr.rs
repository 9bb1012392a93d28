//! OME-Zarr: numbers as stored.

use std::path::Path;

use super::stored::{Shown, Stored, Values};
use crate::error::Result;
use crate::infer::decode::zarr::{Numbers, ZarrImage};
use crate::infer::decode::{Bounds, MAX_PIXELS};

pub(super) fn read(folder: &Path) -> Result<Stored> {
    let bounds = Bounds { pixels: MAX_PIXELS, memory: u64::MAX };
    let mut image = ZarrImage::first(folder, &bounds)?;
    let [width, height] = image.size();
    let pixels = match image.numbers()? {
        Numbers::Integers(values) => Values::Integers(values, Shown::Nothing),
        Numbers::Floats(values, exact) => Values::Floats(values, exact),
    };
    Ok(Stored { width, height, pixels })
}
