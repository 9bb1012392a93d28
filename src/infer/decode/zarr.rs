//! OME-Zarr: images in folders, of NGFF up to 0.4 on Zarr 2 and 0.5 on Zarr 3, read by chunks.
//!
//! No crate for Zarr is used: it would add some sixty others, of which several are in C, for what TIFF's decoders have too.

mod array;
mod blosc;
mod codec;
mod group;
mod image;
mod lz;
mod samples;
mod shard;
mod store;

use std::path::Path;

use super::{Bounds, FREE_BYTES, MAX_BYTES_PER_BYTE};
use crate::error::{Error, Result};
use crate::infer::calibration::Calibration;
use crate::infer::channel_kind::ChannelKind;
use crate::infer::source::{Described, ImageSource};
use crate::io::Input;
use crate::io::fs;

pub(in crate::low_level::infer) use group::{Multiscale, Role, images};
pub(super) use image::{Numbers, ZarrImage};
pub use store::is_zarr;
pub(in crate::low_level::infer) use store::{Format, Node, document};

/// The folder that an input is, if it is a group or an array.
pub(super) fn folder(input: &Input) -> Option<&Path> {
    input.path().filter(|path| fs::is_dir(path) && is_zarr(path))
}

/// Opens a page and level of an image, both counted from 0.
pub(super) fn open(folder: &Path, bounds: &Bounds, page: usize, level: usize) -> Result<Box<dyn ImageSource>> {
    let multiscale = Multiscale::open(folder)?;
    let names = multiscale.names.clone();
    let image = ZarrImage::open(multiscale, bounds, page, level)?;
    let channels = image.info().channels;
    let names = if names.len() == channels { names } else { Vec::new() };
    Ok(Box::new(Described { source: Box::new(image), kind: kind(channels, &names), names }))
}

/// One channel is grey; three are colours if their names say so, whatever colours they are displayed in.
pub(super) fn kind(channels: usize, names: &[String]) -> ChannelKind {
    let called = |words: [&str; 3]| names.len() == 3 && names.iter().zip(words).all(|(n, w)| n.eq_ignore_ascii_case(w));
    match channels {
        1 => ChannelKind::GREY,
        3 if called(["red", "green", "blue"]) || called(["r", "g", "b"]) => ChannelKind::RGB,
        _ => ChannelKind::SEPARATE,
    }
}

/// Number of pages: every z plane at every time.
pub(super) fn pages(folder: &Path) -> Result<usize> {
    let [planes, times] = axes(folder)?;
    Ok(planes.saturating_mul(times))
}

/// Z planes and times.
pub(super) fn axes(folder: &Path) -> Result<[usize; 2]> {
    let multiscale = Multiscale::open(folder)?;
    let [times, planes] = multiscale.stack(&multiscale.array(0)?);
    Ok([planes, times].map(|n| usize::try_from(n).unwrap_or(usize::MAX)))
}

/// Refuses to read the whole of an image of which next to nothing is stored.
pub(super) fn check_whole(folder: &Path, bytes: u64) -> Result<()> {
    fn stored(folder: &Path, depth: usize) -> u64 {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let of = |e: fs::DirEntry| match e.file_type() {
            Ok(kind) if kind.is_dir() && depth > 0 => stored(&e.path(), depth - 1),
            Ok(kind) if kind.is_file() => e.metadata().map_or(0, |m| m.len()),
            _ => 0,
        };
        entries.map(of).fold(0, u64::saturating_add)
    }
    if bytes <= FREE_BYTES {
        return Ok(());
    }
    let stored = stored(folder, 10);
    if bytes > stored.saturating_mul(MAX_BYTES_PER_BYTE).saturating_add(FREE_BYTES) {
        let reason = format!("{bytes} bytes of pixels are not read as a whole, since only {stored} bytes are stored");
        return Err(Error::file(folder, reason));
    }
    Ok(())
}

/// The calibration of a level.
pub(super) fn calibration(folder: &Path, level: usize, known: Option<[f64; 2]>) -> Result<Calibration> {
    Ok(Multiscale::open(folder)?.calibration(level, known))
}

#[cfg(test)]
mod tests;
