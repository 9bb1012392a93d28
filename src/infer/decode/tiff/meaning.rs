//! TIFF metadata of an image: kind and names of its channels, and its orientation.

use super::super::{Source, ome};
use super::{TiffDecoder, TiffImage, failed, guarded, tag};
use crate::error::Result;
use crate::infer::channel_kind::ChannelKind;
use crate::infer::orient::Orientation;
use crate::infer::source::ImageSource;

/// Images with more channels have no names.
const MAX_NAMES: usize = 64;

/// Metadata of a page.
pub(in crate::low_level::infer::decode) struct Meaning {
    pub kind: ChannelKind,
    pub names: Vec<String>,
    pub orientation: Orientation,
}

impl TiffImage {
    /// Reads the metadata of this page, the `page`-th of the file.
    pub(crate) fn meaning(&mut self, page: usize) -> Result<Meaning> {
        let file = self.source.clone();
        let source = file.as_source();
        let channels = self.info().channels;
        // Extra samples are described as stored, which matches the decoded ones unless colours were converted.
        let extra = if self.page.stored == self.page.decoded { &self.page.extra[..] } else { &[] };
        let kind = ChannelKind::of_tiff(self.page.photometric, extra, channels, self.planes.len());
        guarded(&source, || {
            let fail = |e| failed(&source, e);
            let decoder = &mut self.decoder;
            // Zeiss files declare fluorescence channels as RGB.
            decoder.enter_first().map_err(fail)?;
            let dyes = channels > 1 && decoder.has(tag::LSM);
            let kind = if dyes { ChannelKind::SEPARATE } else { kind };
            let mut names = if channels > 1 { names(&source, decoder, page, channels)? } else { Vec::new() };
            names.truncate(channels);
            // Return to the current directory: chunks are looked up there.
            decoder.seek_to_image(self.current).map_err(fail)?;
            Ok(Meaning { kind, names, orientation: self.orientation })
        })
    }
}

/// The orientation of the decoder's current directory.
pub(in crate::low_level::infer::decode) fn orientation_of_directory(
    source: &Source,
    decoder: &mut TiffDecoder,
) -> Result<Orientation> {
    let value: Option<u64> = decoder.unsigned(tag::ORIENTATION).map_err(|e| failed(source, e))?;
    Ok(value.and_then(|t| u16::try_from(t).ok()).and_then(Orientation::from_tag).unwrap_or_default())
}

/// Channel names of a page from OME-XML or ImageJ.
fn names(source: &Source, decoder: &mut TiffDecoder, page: usize, channels: usize) -> Result<Vec<String>> {
    let fail = |e| failed(source, e);
    decoder.enter_first().map_err(fail)?;
    let text = decoder.text(tag::DESCRIPTION).unwrap_or_default();
    let text = text.trim();
    if text.contains("<OME") {
        return Ok(ome::channel_names(text, page).unwrap_or_default());
    }
    if !text.starts_with("ImageJ=") || channels > MAX_NAMES {
        return Ok(Vec::new());
    }
    let (lengths, parts) = (decoder.unsigned_list(tag::IJ_LENGTHS), decoder.bytes(tag::IJ_METADATA));
    let (Ok(Some(lengths)), Ok(Some(parts))) = (lengths, parts) else { return Ok(Vec::new()) };
    let labels = imagej_labels(&lengths, &parts, decoder.is_big_endian()).unwrap_or_default();
    Ok(labels.into_iter().skip(page.saturating_mul(channels)).take(channels).collect())
}

/// Labels of planes in ImageJ's metadata: a header of types and counts, then one part per label.
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
                // Labels of imported slices contain their whole header after the first line.
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
