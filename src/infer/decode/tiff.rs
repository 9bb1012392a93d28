//! TIFF, read strip by strip or tile by tile, chunky or planar; never the whole image at once.
//!
//! No crate for TIFF is used: it would support fewer layouts and assert properties that files may violate.

mod codes;
mod colour;
mod compression;
mod directory;
mod integers;
mod jpeg;
mod jpeg2000;
mod layout;
pub(super) mod levels;
mod meaning;
mod page;
pub(super) mod pages;
mod samples;
mod stack;

use std::io::{Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use self::colour::Warned;
use self::layout::{Page, Places};
use self::samples::Words;
use super::chunks::{Chunk, ChunkCache};
use super::directory::failed;
use super::plane::Plane;
use super::raw::RawLayout;
use super::{FileSource, MAX_CHANNELS, Source, tag};
use crate::error::{Error, Result};
use crate::infer::channel_kind::ChannelKind;
use crate::infer::image::Sample;
use crate::infer::image::{Image, Pixels};
use crate::infer::orient::Orientation;
use crate::infer::source::{ImageSource, SourceInfo};
use crate::io::Reader;

pub(super) use self::directory::TiffDecoder;
pub(super) use self::integers::{RawIntegers, raw_floats, raw_integers};
pub(super) use self::meaning::{Meaning, orientation_of_directory};

/// Larger uncompressed strips, in bytes, are read by rows.
const RAW_STRIP: usize = 4 << 20;
/// Default size of the cache of decoded chunks, in bytes.
const CACHE: u64 = 64 << 20;

/// One page of a TIFF file, with the channels that other directories hold (OME-TIFF, ImageJ).
pub(super) struct TiffImage {
    source: FileSource,
    decoder: TiffDecoder,
    /// The decoder's current directory, and the locations of its chunks.
    current: usize,
    places: Places,
    planes: Vec<Plane>,
    page: Page,
    cache: ChunkCache,
    /// Locations of uncompressed samples that can be read directly, per plane.
    raw: Option<Vec<RawLayout>>,
    warned: Warned,
    /// Orientation of the page; reduced copies may lack the tag.
    orientation: Orientation,
}

/// Turns a panic into an error: it is the decoder's fault, whatever the file contains.
pub(super) fn guarded<T>(source: &Source, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(source.decoder_fault("TIFF")))
}

impl TiffImage {
    pub(super) fn open(source: FileSource, reader: Reader, page: usize, level: usize) -> Result<Self> {
        let s = source.as_source();
        let (decoder, orientation, current, places, planes, described, raw) = guarded(&s, || {
            let mut decoder = TiffDecoder::new(&s, reader)?;
            refuse_camera_raw(&s, &mut decoder)?;
            let planes = pages::planes(&s, &mut decoder, page)?;
            let seek = |d: &mut TiffDecoder, p: &Plane| d.seek_to_image(p.directory).map_err(|e| failed(&s, e));
            planes.first().map(|p| seek(&mut decoder, p)).transpose()?;
            let orientation = orientation_of_directory(&s, &mut decoder)?;
            let planes = levels::seek(&s, &mut decoder, planes, level)?;
            let Some(first) = planes.first() else { return Err(s.error("the page has no channels")) };
            seek(&mut decoder, first)?;
            let described = Page::read(&s, &mut decoder)?;
            if planes.len() * described.stored_channels > MAX_CHANNELS {
                let count = planes.len() * described.stored_channels;
                return Err(s.error(format!("{count} channels are more than the {MAX_CHANNELS} that are supported")));
            }
            let mut places = Places::read(&s, &mut decoder, &described)?;
            let mut raw = described.raw(&places, first.image).map(|r| vec![r]);
            let mut current = first.directory;
            for plane in planes.iter().skip(1) {
                if plane.directory != current {
                    seek(&mut decoder, plane)?;
                    current = plane.directory;
                    let other = Page::read(&s, &mut decoder)?;
                    if other != described {
                        let reason =
                            format!("directories {} and {current} differ in size, type or tiles", first.directory);
                        return Err(s.error(reason));
                    }
                    places = Places::read(&s, &mut decoder, &described)?;
                }
                raw = match (raw, described.raw(&places, plane.image)) {
                    (Some(mut all), Some(one)) => {
                        all.push(one);
                        Some(all)
                    }
                    _ => None,
                };
            }
            Ok((decoder, orientation, current, places, planes, described, raw))
        })?;
        let (cache, warned) = (ChunkCache::new(CACHE), Warned::default());
        Ok(Self { source, decoder, current, places, planes, page: described, cache, raw, warned, orientation })
    }

    /// The samples of a chunk as stored. In planar images, the chunks of further planes follow.
    fn words(&mut self, plane: Plane, number: usize) -> Result<(Words, usize)> {
        let source = self.source.as_source();
        if self.current != plane.directory {
            self.decoder.seek_to_image(plane.directory).map_err(|e| failed(&source, e))?;
            self.places = Places::read(&source, &mut self.decoder, &self.page)?;
            self.current = plane.directory;
        }
        let page = &self.page;
        let rows = page.rows_of(number);
        let Some((offset, length)) = page.place(&source, &self.places, number)? else {
            if !self.warned.missing.replace(true) {
                let missing = self.places.missing;
                log::warn!("{}: strips or tiles that the file leaves out are read as {missing}", source.path.display());
            }
            let len = page.chunk[0] * rows * page.together();
            return Ok((Words::filled(&source, page, self.places.missing, len)?, rows));
        };
        let offset = offset.saturating_add(page.image_bytes().saturating_mul(plane.image as u64));
        if offset.saturating_add(length) > source.bytes {
            return Err(source.error("the TIFF file is truncated"));
        }
        let mut bytes = source.zeros::<u8>(usize::try_from(length).unwrap_or(usize::MAX))?;
        let file = self.decoder.inner();
        file.seek(SeekFrom::Start(offset)).map_err(|e| Error::io(source.path, e))?;
        file.read_exact(&mut bytes).map_err(|e| Error::io(source.path, e))?;
        let bytes = compression::decompress(&source, page, &self.places, bytes, rows)?;
        Ok((samples::unpack(&source, page, bytes, rows)?, rows))
    }

    /// A decoded chunk of a plane.
    fn chunk(&mut self, plane: Plane, number: usize) -> Result<Arc<Chunk>> {
        let key = (plane.directory, plane.image, number);
        if let Some(chunk) = self.cache.get(key) {
            return Ok(chunk);
        }
        let (words, height) = self.words(plane, number)?;
        let (page, source) = (&self.page, self.source.as_source());
        let pixels = colour::pixels(&source, page, &self.warned, number / page.per_plane().max(1), words)?;
        let together = if page.planar { 1 } else { page.decoded };
        let width = page.chunk[0];
        if pixels.len() != width * height * together {
            return Err(source.error("damaged TIFF file: the size of its data contradicts its dimensions"));
        }
        let chunk = Arc::new(Chunk { pixels, width, height, together });
        self.cache.put(key, chunk.clone());
        Ok(chunk)
    }

    fn window<T: Copy + Default>(
        &mut self,
        [x0, y0, w, h]: [usize; 4],
        samples: fn(&Pixels) -> &[T],
    ) -> Result<Vec<T>> {
        let Page { stored_channels, planar, chunk: [cw, ch], .. } = self.page;
        let channels = self.planes.len() * stored_channels;
        let mut out = self.source.as_source().zeros::<T>(w * h * channels)?;
        let (across, per_plane) = (self.page.across(), self.page.per_plane());
        for plane in 0..self.planes.len() {
            let Some(&place) = self.planes.get(plane) else { break };
            for cy in y0 / ch..=(y0 + h - 1) / ch {
                for cx in x0 / cw..=(x0 + w - 1) / cw {
                    let number = cy * across + cx;
                    // In planar images every channel has its own chunk.
                    for part in 0..if planar { stored_channels } else { 1 } {
                        let chunk = self.chunk(place, part * per_plane + number)?;
                        let from = samples(&chunk.pixels);
                        let (left, right) = (x0.max(cx * cw), (x0 + w).min(cx * cw + chunk.width));
                        let (top, bottom) = (y0.max(cy * ch), (y0 + h).min(cy * ch + chunk.height));
                        for y in top..bottom {
                            let row = ((y - cy * ch) * chunk.width + left - cx * cw) * chunk.together;
                            for k in 0..if planar { 1 } else { stored_channels } {
                                let line = from.get(row + k..).unwrap_or_default().iter().step_by(chunk.together);
                                let at = ((y - y0) * w + left - x0) * channels + plane * stored_channels + part + k;
                                let to = out.get_mut(at..).unwrap_or_default().iter_mut().step_by(channels);
                                to.zip(line).take(right.saturating_sub(left)).for_each(|(to, &v)| *to = v);
                            }
                        }
                    }
                }
            }
        }
        Ok(out)
    }
}

impl ImageSource for TiffImage {
    fn info(&self) -> SourceInfo {
        let Page { width, height, stored_channels, sample, .. } = self.page;
        let channels = self.planes.len() * stored_channels;
        // `meaning` reads the file's channel kinds.
        SourceInfo { width, height, channels, sample, kind: ChannelKind::of_count(channels) }
    }

    fn read(&mut self, x0: usize, y0: usize, w: usize, h: usize) -> Result<Image> {
        let info = self.info();
        info.check_inside(x0, y0, w, h)?;
        let window = [x0, y0, w, h];
        let file = self.source.clone();
        let source = file.as_source();
        if let Some(raw) = &self.raw {
            let parts =
                raw.iter().map(|r| r.read(&source, self.decoder.inner(), window)).collect::<Result<Vec<_>>>()?;
            return super::join_channels(&source, parts);
        }
        let pixels = guarded(&source, || {
            Ok(match info.sample {
                Sample::U8 => Pixels::U8(self.window(window, |p| if let Pixels::U8(v) = p { v } else { &[] })?),
                Sample::U16 => Pixels::U16(self.window(window, |p| if let Pixels::U16(v) = p { v } else { &[] })?),
                Sample::F32 => Pixels::F32(self.window(window, |p| if let Pixels::F32(v) = p { v } else { &[] })?),
            })
        })?;
        Image::new(w, h, info.channels, pixels)
    }

    fn rows_at_once(&self) -> usize {
        if self.raw.is_some() { 1 } else { self.page.chunk[1].min(self.page.height) }
    }

    fn held_bytes(&self) -> u64 {
        if self.raw.is_some() {
            return 0;
        }
        let Page { chunk: [w, h], width, height, stored, decoded, sample, bits, .. } = self.page;
        // A chunk as decoded, decompressed, and stored.
        let bytes = decoded * sample.bytes() + 2 * stored * usize::from(bits).div_ceil(8);
        (w.min(width) * h.min(height) * bytes) as u64
    }

    fn cache_bytes(&self, rows: usize) -> u64 {
        if self.raw.is_some() {
            return 0;
        }
        let Page { chunk: [_, h], width, height, decoded, sample, .. } = self.page;
        let rows = ((rows.div_ceil(h) + 1) * h).min(height.next_multiple_of(h));
        (rows * width) as u64 * (self.planes.len() * decoded * sample.bytes()) as u64
    }

    fn set_cache(&mut self, bytes: u64) {
        self.cache.resize(bytes);
    }
}

impl Page {
    /// Bytes of an image that others follow without directories.
    fn image_bytes(&self) -> u64 {
        let planes = if self.planar { self.stored } else { 1 } as u64;
        (self.row_bytes() as u64).saturating_mul(self.height as u64).saturating_mul(planes)
    }

    /// Location of the samples of image `image`, if they are uncompressed, in strips too large to read whole.
    fn raw(&self, places: &Places, image: usize) -> Option<RawLayout> {
        let strip = self.row_bytes().saturating_mul(self.strip_rows());
        if !self.is_plain() || !self.strips || strip <= RAW_STRIP || places.is_sparse() {
            return None;
        }
        let Self { width, height, stored_channels, sample, .. } = *self;
        let skipped = self.image_bytes().saturating_mul(image as u64);
        Some(RawLayout {
            info: SourceInfo {
                width,
                height,
                channels: stored_channels,
                sample,
                kind: ChannelKind::of_count(stored_channels),
            },
            together: if self.planar { 1 } else { stored_channels },
            stored: self.together(),
            strips: places.offsets().iter().map(|o| o.saturating_add(skipped)).collect(),
            rows: self.strip_rows(),
            big_endian: self.big_endian,
        })
    }
}

/// Refuses camera raw files, whose first image is a thumbnail.
fn refuse_camera_raw(source: &Source, decoder: &mut TiffDecoder) -> Result<()> {
    let reduced: Option<u32> = decoder.unsigned(tag::NEW_SUBFILE_TYPE).map_err(|e| failed(source, e))?;
    let [dng, camera, inner] = [tag::DNG_VERSION, tag::MAKE, tag::SUB_IFDS].map(|t| decoder.has(t));
    if dng || reduced.unwrap_or(0) & 1 == 1 && camera && inner {
        return Err(source
            .error("is a camera raw file (DNG, NEF, ARW or the like), which is not supported; develop it to TIFF"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
