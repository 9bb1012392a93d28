//! Reading label maps: the numbers as the file holds them.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use super::orientation::orientation_of;
use super::{MAX_PIXELS, SCRATCH, Source};
use crate::error::{Error, Result};
use crate::infer::channels::Alpha;
use crate::infer::image::{Picture, Pixels};
use crate::infer::labels::LabelMap;

const PNG: [u8; 4] = [0x89, b'P', b'N', b'G'];

impl LabelMap {
    /// Reads class ids or object numbers from a picture file of one channel (PNG or TIFF; see [`Picture::open`]).
    ///
    /// PNG files give their numbers unchanged: indices of a palette and not its colours, one bit as 0 and 1. Three
    /// equal channels count as one. Fails on colours, on JPEG (which changes numbers), and on floats that are not whole.
    ///
    /// A map that an orientation tag turns is turned, as images are.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Ok(Self::open_stored(path)?.oriented(orientation_of(path)?))
    }

    /// [`Self::open`] without a look at orientation tags: rows as they are stored.
    pub fn open_stored(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let mut file = File::open(path).map_err(|e| Error::io(path, e))?;
        let metadata = file.metadata().map_err(|e| Error::io(path, e))?;
        let mut head = Vec::new();
        if metadata.is_file() {
            (&mut file).take(4).read_to_end(&mut head).map_err(|e| Error::io(path, e))?;
            file.rewind().map_err(|e| Error::io(path, e))?;
        }
        if head == PNG {
            let source = Source { path, bytes: metadata.len(), max_pixels: MAX_PIXELS, memory: u64::MAX };
            if let Some(map) = source.png_labels(BufReader::new(file))? {
                return Ok(map);
            }
        }
        if head.starts_with(&[0xff, 0xd8]) {
            return Err(Error::file(path, "a JPEG file cannot hold labels: its compression changes them; use PNG"));
        }
        from_picture(path, &without_alpha(Picture::open_stored(path)?)?)
    }
}

impl Source<'_> {
    /// The numbers of a grey or palette PNG; none of a colour one.
    fn png_labels(&self, reader: BufReader<File>) -> Result<Option<LabelMap>> {
        let bad = |e: png::DecodingError| match e {
            png::DecodingError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
                self.error("the PNG file is truncated")
            }
            png::DecodingError::IoError(e) => Error::io(self.path, e),
            e => self.error(format!("damaged or unsupported PNG file: {e}")),
        };
        let bytes = usize::try_from(self.max_pixels.saturating_mul(2).saturating_add(SCRATCH)).unwrap_or(usize::MAX);
        let mut decoder = png::Decoder::new_with_limits(reader, png::Limits { bytes });
        decoder.set_transformations(png::Transformations::IDENTITY);
        let (width, height) = decoder.read_header_info().map_err(bad)?.size();
        self.check_size(width, height)?;
        let mut reader = decoder.read_info().map_err(bad)?;
        let (color, depth) = reader.output_color_type();
        if !matches!(color, png::ColorType::Grayscale | png::ColorType::Indexed) {
            return Ok(None);
        }
        let size = reader.output_buffer_size().ok_or_else(|| self.error("the picture does not fit in memory"))?;
        let mut raw = self.zeros::<u8>(size)?;
        let frame = reader.next_frame(&mut raw).map_err(bad)?;
        let (w, h) = (width as usize, height as usize);
        let mut labels = self.zeros::<u32>(w * h)?;
        let bits = depth as usize;
        for (line, row) in labels.chunks_exact_mut(w).zip(raw.chunks_exact(frame.line_size)) {
            for (x, label) in line.iter_mut().enumerate() {
                *label = match bits {
                    16 => u32::from(u16::from_be_bytes([row[2 * x], row[2 * x + 1]])),
                    8 => u32::from(row[x]),
                    // Several in a byte, the first in its highest bits.
                    _ => u32::from(row[x * bits / 8] >> (8 - bits - x * bits % 8) & ((1 << bits) - 1)),
                };
            }
        }
        LabelMap::new(w, h, labels).map(Some)
    }
}

/// Opacity is no label.
fn without_alpha(picture: Picture) -> Result<Picture> {
    let Alpha::At(alpha) = picture.kind().alpha else { return Ok(picture) };
    let kept: Vec<usize> = (0..picture.channels()).filter(|&c| c != alpha).collect();
    picture.pick(&kept)
}

fn from_picture(path: &Path, picture: &Picture) -> Result<LabelMap> {
    let colours = || Error::file(path, format!("holds colours ({} channels), not labels", picture.channels()));
    let whole = |v: f32| {
        let label = v as u32;
        // Whole, not negative, and exact in a float.
        (label as f32 == v && v < 16_777_216.0)
            .then_some(label)
            .ok_or_else(|| Error::file(path, format!("holds the value {v}; labels are whole numbers from 0")))
    };
    fn grey<T: Copy + PartialEq>(samples: &[T], channels: usize) -> Option<impl Iterator<Item = T>> {
        let equal = channels == 1 || channels == 3 && samples.chunks_exact(3).all(|p| p[0] == p[1] && p[1] == p[2]);
        equal.then(|| samples.iter().copied().step_by(channels))
    }
    let channels = picture.channels();
    let labels = match picture.pixels() {
        Pixels::U8(v) => grey(v, channels).ok_or_else(colours)?.map(u32::from).collect(),
        Pixels::U16(v) => grey(v, channels).ok_or_else(colours)?.map(u32::from).collect(),
        Pixels::F32(v) => grey(v, channels).ok_or_else(colours)?.map(whole).collect::<Result<_>>()?,
    };
    LabelMap::new(picture.width(), picture.height(), labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::{Ids, Mask, ProbabilityFormat, write_mask, write_probabilities};

    fn png(path: &Path, (w, h): (u32, u32), color: png::ColorType, depth: png::BitDepth, data: &[u8]) {
        let mut encoder = png::Encoder::new(File::create(path).unwrap(), w, h);
        encoder.set_color(color);
        encoder.set_depth(depth);
        encoder.write_header().unwrap().write_image_data(data).unwrap();
    }

    #[test]
    fn every_depth_gives_its_numbers() {
        use png::{BitDepth, ColorType};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.png");
        let labels = |size, color, depth, data: &[u8]| {
            png(&path, size, color, depth, data);
            LabelMap::open(&path).unwrap().into_labels()
        };
        let grey = ColorType::Grayscale;
        assert_eq!(labels((10, 1), grey, BitDepth::One, &[0b1010_0001, 0b0100_0000]), [1, 0, 1, 0, 0, 0, 0, 1, 0, 1]);
        assert_eq!(labels((3, 2), grey, BitDepth::Two, &[0b11_10_01_00, 0b00_01_10_00]), [3, 2, 1, 0, 1, 2]);
        assert_eq!(labels((3, 1), grey, BitDepth::Four, &[0xf2, 0x90]), [15, 2, 9]);
        assert_eq!(labels((2, 1), grey, BitDepth::Eight, &[255, 4]), [255, 4]);
        assert_eq!(labels((2, 1), grey, BitDepth::Sixteen, &[1, 0, 2, 3]), [256, 515]);
        assert_eq!(labels((2, 1), ColorType::Rgb, BitDepth::Eight, &[7, 7, 7, 9, 9, 9]), [7, 9]);
        png(&path, (1, 1), ColorType::Rgb, BitDepth::Eight, &[7, 8, 7]);
        assert!(
            LabelMap::open(&path).unwrap_err().to_string().ends_with("a.png: holds colours (3 channels), not labels")
        );
    }

    #[test]
    fn our_own_masks_are_read_as_class_ids() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a_mask.png");
        let mask = Mask::new(3, 1, 5, Ids::U8(vec![4, 0, 2])).unwrap();
        write_mask(&path, &mask).unwrap();
        assert_eq!(LabelMap::open(&path).unwrap().labels(), [4, 0, 2]);
    }

    #[test]
    fn what_holds_no_labels_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (tif, other) = (dir.path().join("a.tif"), dir.path().join("b.png"));
        write_probabilities(&tif, ProbabilityFormat::Tiff, 2, 1, &[3.0, 0.0]).unwrap();
        assert_eq!(LabelMap::open(&tif).unwrap().labels(), [3, 0]);
        write_probabilities(&tif, ProbabilityFormat::Tiff, 2, 1, &[3.0, 0.5]).unwrap();
        assert!(LabelMap::open(&tif).unwrap_err().to_string().contains("a.tif: holds the value 0.5"));
        assert!(LabelMap::open(dir.path()).unwrap_err().to_string().contains("is a folder"));
        assert!(LabelMap::open(dir.path().join("none.png")).unwrap_err().to_string().contains("none.png: "));
        png(&other, (64, 64), png::ColorType::Grayscale, png::BitDepth::Eight, &[1; 4096]);
        let whole = std::fs::read(&other).unwrap();
        std::fs::write(&other, &whole[..whole.len() / 2]).unwrap();
        assert!(LabelMap::open(&other).unwrap_err().to_string().contains("b.png: "));
        std::fs::write(&other, [0xff, 0xd8, 0xff, 0xe0]).unwrap();
        assert!(LabelMap::open(&other).unwrap_err().to_string().contains("a JPEG file cannot hold labels"));
    }

    #[test]
    fn damage_is_never_a_panic() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.png");
        let mask = Mask::new(9, 5, 5, Ids::U8((0..45).map(|i| i % 5).collect())).unwrap();
        write_mask(&path, &mask).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for at in 8..whole.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                std::fs::write(&path, bytes).unwrap();
                if let Err(e) = LabelMap::open(&path) {
                    assert!(e.to_string().contains("a.png: "), "{e}");
                }
            }
            std::fs::write(&path, &whole[..at]).unwrap();
            // What follows the pixels says nothing about them.
            assert!(LabelMap::open(&path).is_err() || at + 16 > whole.len(), "{at}");
        }
    }
}
