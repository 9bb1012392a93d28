//! What a TIFF file says of the image besides its samples: what its channels are, what they are called, how it is turned.

use ::tiff::tags::{ByteOrder, Tag};

use super::super::{Source, ome};
use super::{TiffDecoder, TiffImage, error, guarded};
use crate::error::Result;
use crate::infer::channels::ChannelKind;
use crate::infer::orient::Orientation;
use crate::infer::source::ImageSource;

/// ImageJ's own metadata: lengths of parts, and the parts.
const IJ_LENGTHS: u16 = 50838;
const IJ_METADATA: u16 = 50839;
/// What a Zeiss LSM file is known by.
const LSM: u16 = 34412;
/// More channels have no names.
const MAX_NAMES: usize = 64;

/// What a file says of a page.
pub(in crate::infer::decode) struct Meaning {
    pub kind: ChannelKind,
    pub names: Vec<String>,
    pub orientation: Orientation,
}

impl TiffImage {
    /// What the file says of this page, which is the `page`-th.
    pub fn meaning(&mut self, page: usize) -> Result<Meaning> {
        let file = self.source.clone();
        let source = file.as_source();
        let channels = self.info().channels;
        // Extra samples are told of as they are stored, which is as they are given unless colours were converted.
        let extra = if self.page.stored == self.page.given { &self.page.extra[..] } else { &[] };
        let kind = ChannelKind::of_tiff(self.page.photometric, extra, channels, self.planes.len());
        guarded(&source, || {
            let fail = |e| error(&source, e);
            let decoder = &mut self.decoder;
            // Zeiss calls dyes RGB.
            decoder.enter_first().map_err(fail)?;
            let dyes = channels > 1 && decoder.find_tag(Tag::Unknown(LSM)).map_err(fail)?.is_some();
            let kind = if dyes { ChannelKind::SEPARATE } else { kind };
            let mut names = if channels > 1 { names(&source, decoder, page, channels)? } else { Vec::new() };
            names.truncate(channels);
            // Where it was: chunks are looked up there.
            decoder.seek_to_image(self.current).map_err(fail)?;
            Ok(Meaning { kind, names, orientation: self.orientation })
        })
    }
}

/// What OME-XML or ImageJ call the channels of a page.
fn names(source: &Source, decoder: &mut TiffDecoder, page: usize, channels: usize) -> Result<Vec<String>> {
    let fail = |e| error(source, e);
    decoder.enter_first().map_err(fail)?;
    let Some(text) = decoder.find_tag(Tag::ImageDescription).map_err(fail)? else { return Ok(Vec::new()) };
    let Ok(text) = text.into_string() else { return Ok(Vec::new()) };
    let text = text.trim_end_matches('\0').trim();
    if text.contains("<OME") {
        return Ok(ome::channel_names(text, page).unwrap_or_default());
    }
    if !text.starts_with("ImageJ=") || channels > MAX_NAMES {
        return Ok(Vec::new());
    }
    let (lengths, parts) = (decoder.find_tag(Tag::Unknown(IJ_LENGTHS)), decoder.find_tag(Tag::Unknown(IJ_METADATA)));
    let (Ok(Some(lengths)), Ok(Some(parts))) = (lengths, parts) else { return Ok(Vec::new()) };
    let (Ok(lengths), Ok(parts)) = (lengths.into_u64_vec(), parts.into_u8_vec()) else { return Ok(Vec::new()) };
    let big = decoder.byte_order() == ByteOrder::BigEndian;
    let labels = imagej_labels(&lengths, &parts, big).unwrap_or_default();
    Ok(labels.into_iter().skip(page.saturating_mul(channels)).take(channels).collect())
}

/// The labels of planes in ImageJ's metadata: a header of types and counts, then one part each.
fn imagej_labels(lengths: &[u64], parts: &[u8], big_endian: bool) -> Option<Vec<String>> {
    let (header, lengths) = lengths.split_first()?;
    let (header, mut parts) = parts.split_at_checked(usize::try_from(*header).ok()?)?;
    let number = |b: &[u8]| -> Option<u32> {
        let b: [u8; 4] = b.try_into().ok()?;
        Some(if big_endian { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) })
    };
    const MAGIC: u32 = u32::from_be_bytes(*b"IJIJ");
    const LABELS: u32 = u32::from_be_bytes(*b"labl");
    if number(header.get(..4)?)? != MAGIC {
        return None;
    }
    let mut lengths = lengths.iter();
    for entry in header.get(4..)?.chunks_exact(8) {
        let (kind, count) = (number(entry.get(..4)?)?, number(entry.get(4..)?)? as usize);
        let mut found = Vec::new();
        for length in lengths.by_ref().take(count) {
            let part;
            (part, parts) = parts.split_at_checked(usize::try_from(*length).ok()?)?;
            if kind == LABELS {
                let units = part.as_chunks::<2>().0.iter();
                let units: Vec<u16> =
                    units.map(|&b| if big_endian { u16::from_be_bytes(b) } else { u16::from_le_bytes(b) }).collect();
                let text = String::from_utf16_lossy(&units);
                // Imported slices have their whole header after the first line.
                let line = text.lines().next().unwrap_or_default().trim();
                found.push(line.chars().filter(|c| !c.is_control()).take(40).collect());
            }
        }
        if kind == LABELS {
            return Some(found);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_imagej() {
        // As tifffile writes metadata={"Labels": ["DAPI", "GFP"]} in little-endian files.
        let utf16 = |s: &str| s.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let mut parts = [b"JIJIlbal".to_vec(), vec![2, 0, 0, 0]].concat();
        parts.extend(utf16("DAPI"));
        parts.extend(utf16("GFP\nmore"));
        assert_eq!(imagej_labels(&[12, 8, 16], &parts, false), Some(vec!["DAPI".into(), "GFP".into()]));
        assert_eq!(imagej_labels(&[12, 8, 99], &parts, false), None);
        assert_eq!(imagej_labels(&[12, 8, 16], &parts, true), None);
        assert_eq!(imagej_labels(&[], &[], true), None);
    }
}
