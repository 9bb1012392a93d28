//! TIFF written strip by strip, with several pages in parallel: the `tiff` crate writes one page after another, but
//! probabilities arrive as a few rows of every page at a time.

use std::io::{Read, Result, Seek, SeekFrom, Write};

use super::tags::TiffTag;
use crate::parallel::*;
use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};

/// Pixel bytes above which a file gets 64-bit offsets. Deflate cannot expand less than this beyond 4 GiB.
const BIG_TIFF: u64 = 0xe000_0000;
/// Approximate bytes per strip before compression.
const STRIP: usize = 1 << 18;

/// A sample type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SampleKind {
    /// Unsigned integers of this many bytes: 1, 2 or 4.
    Uint(u16),
    /// 32-bit floats.
    Float,
}

impl SampleKind {
    /// Bytes per sample.
    pub fn bytes(self) -> usize {
        match self {
            Self::Uint(n) => usize::from(n),
            Self::Float => 4,
        }
    }
}

/// Pages of equal size with one sample per pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StripLayout {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Pages.
    pub pages: usize,
    /// Sample type.
    pub sample: SampleKind,
}

/// A page being written.
#[derive(Default)]
struct Page {
    /// Rows of the incomplete strip.
    open: Vec<u8>,
    offsets: Vec<u64>,
    lengths: Vec<u64>,
}

/// Compresses strips.
type Pack = fn(&[&[u8]]) -> Result<Vec<Vec<u8>>>;

fn on_all_cores(strips: &[&[u8]]) -> Result<Vec<Vec<u8>>> {
    strips.par_iter().map(|strip| packed(strip)).collect()
}

fn here(strips: &[&[u8]]) -> Result<Vec<Vec<u8>>> {
    strips.iter().map(|strip| packed(strip)).collect()
}

fn packed(strip: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(strip)?;
    encoder.finish()
}

/// Writes deflate-compressed strips in the order in which they fill, and directories at the end; BigTIFF where
/// necessary. Rows of a page come in order; pages may be interleaved freely.
pub struct StripTiff<W> {
    out: W,
    layout: StripLayout,
    big: bool,
    rows_per_strip: usize,
    pages: Vec<Page>,
    /// Additional tags of every page.
    tags: Vec<TiffTag>,
    at: u64,
}

impl<W: Write + Seek> StripTiff<W> {
    /// Begins a file; `out` must be at its start.
    pub fn new(mut out: W, layout: StripLayout) -> Result<Self> {
        let row = layout.width as usize * layout.sample.bytes();
        let total = row as u64 * u64::from(layout.height) * layout.pages as u64;
        let big = total >= BIG_TIFF;
        // Native byte order; the offset of the first directory follows in `finish`.
        out.write_all(if cfg!(target_endian = "little") { b"II" } else { b"MM" })?;
        let mut header = Vec::new();
        if big {
            [43u16, 8, 0].iter().for_each(|v| header.extend(v.to_ne_bytes()));
            header.extend([0; 8]);
        } else {
            header.extend(42u16.to_ne_bytes());
            header.extend([0; 4]);
        }
        out.write_all(&header)?;
        let pages = (0..layout.pages).map(|_| Page::default()).collect();
        let rows_per_strip = (STRIP / row.max(1)).clamp(1, layout.height.max(1) as usize);
        Ok(Self { out, layout, big, rows_per_strip, pages, tags: Vec::new(), at: 2 + header.len() as u64 })
    }

    /// Adds tags to every page's directory. They must not be tags that describe pixel storage.
    #[must_use]
    pub fn with_tags(self, tags: Vec<TiffTag>) -> Self {
        Self { tags, ..self }
    }

    /// Appends whole rows to a page, in native byte order.
    pub fn rows(&mut self, page: usize, bytes: &[u8]) -> Result<()> {
        self.append(page, bytes, on_all_cores)
    }

    fn append(&mut self, page: usize, mut bytes: &[u8], pack: Pack) -> Result<()> {
        let strip = self.rows_per_strip * self.row_bytes();
        let Some(target) = self.pages.get_mut(page) else { return Err(std::io::Error::other("no such page")) };
        let mut full = Vec::new();
        if !target.open.is_empty() {
            let (rest, more) = bytes.split_at((strip - target.open.len()).min(bytes.len()));
            target.open.extend(rest);
            bytes = more;
            if target.open.len() == strip {
                full.push(std::mem::take(&mut target.open));
            }
        }
        let whole = bytes.chunks_exact(strip);
        let rest = whole.remainder();
        if !rest.is_empty() {
            target.open.extend(rest);
        }
        let parts: Vec<&[u8]> = full.iter().map(Vec::as_slice).chain(whole).collect();
        self.strips(page, &parts, pack)
    }

    /// Appends the next strip of a page as a file of this layout stores it.
    pub fn packed(&mut self, page: usize, strip: &[u8]) -> Result<()> {
        let Some(target) = self.pages.get_mut(page) else { return Err(std::io::Error::other("no such page")) };
        target.offsets.push(self.at);
        target.lengths.push(strip.len() as u64);
        self.out.write_all(strip)?;
        self.at += strip.len() as u64;
        Ok(())
    }

    /// Appends a strip of 16-bit integers to a page of 32-bit ones, on this thread alone: the caller may hold a lock.
    pub fn packed_narrow(&mut self, page: usize, strip: &[u8]) -> Result<()> {
        let mut narrow = Vec::new();
        ZlibDecoder::new(strip).read_to_end(&mut narrow)?;
        let wide = |bytes: &[u8; 2]| u32::from(u16::from_ne_bytes(*bytes)).to_ne_bytes();
        let wide: Vec<u8> = narrow.as_chunks().0.iter().flat_map(wide).collect();
        self.append(page, &wide, here)
    }

    /// The same file with 32-bit integers in place of 16-bit ones, in `out`; pages are read back from `written`.
    pub fn widened<V: Write + Seek>(self, out: V, mut written: impl Read + Seek) -> Result<StripTiff<V>> {
        let layout = StripLayout { sample: SampleKind::Uint(4), ..self.layout };
        let mut wide = StripTiff::new(out, layout)?.with_tags(self.tags);
        let mut strip = Vec::new();
        for (number, page) in self.pages.iter().enumerate() {
            for (&offset, &length) in page.offsets.iter().zip(&page.lengths) {
                strip.resize(length as usize, 0);
                written.seek(SeekFrom::Start(offset))?;
                written.read_exact(&mut strip)?;
                wide.packed_narrow(number, &strip)?;
            }
        }
        Ok(wide)
    }

    /// What its pages are.
    pub fn layout(&self) -> &StripLayout {
        &self.layout
    }

    fn strips(&mut self, page: usize, parts: &[&[u8]], pack: Pack) -> Result<()> {
        // A few at a time, to bound the memory for compressed strips.
        for group in parts.chunks(16) {
            for part in pack(group)? {
                self.packed(page, &part)?;
            }
        }
        Ok(())
    }

    fn row_bytes(&self) -> usize {
        self.layout.width as usize * self.layout.sample.bytes()
    }

    /// Writes the remaining rows and the directories. Fails if a page is incomplete.
    pub fn finish(mut self) -> Result<W> {
        let strips = (self.layout.height as usize).div_ceil(self.rows_per_strip);
        for page in 0..self.pages.len() {
            let rest = self.pages.get_mut(page).map(|p| std::mem::take(&mut p.open)).unwrap_or_default();
            if !rest.is_empty() {
                self.strips(page, &[&rest], here)?;
            }
            if self.pages.get(page).is_none_or(|p| p.offsets.len() != strips) {
                return Err(std::io::Error::other(format!("page {page} is incomplete")));
            }
        }
        // Position of the offset of the next directory.
        let mut link = if self.big { 8 } else { 4 };
        for page in std::mem::take(&mut self.pages) {
            let entries = self.entries(&page)?;
            self.pad()?;
            let directory = self.at;
            let mut bytes = Vec::new();
            if self.big {
                bytes.extend((entries.len() as u64).to_ne_bytes());
            } else {
                bytes.extend((entries.len() as u16).to_ne_bytes());
            }
            entries.iter().for_each(|e| bytes.extend(e));
            let next = directory + bytes.len() as u64;
            bytes.extend(self.offset(0)?);
            self.out.write_all(&bytes)?;
            self.at += bytes.len() as u64;
            let value = self.offset(directory)?;
            self.out.seek(SeekFrom::Start(link))?;
            self.out.write_all(&value)?;
            self.out.seek(SeekFrom::Start(self.at))?;
            link = next;
        }
        self.out.flush()?;
        Ok(self.out)
    }

    /// The directory entries of a page.
    fn entries(&mut self, page: &Page) -> Result<Vec<Vec<u8>>> {
        let StripLayout { width, height, sample, .. } = self.layout;
        let short = |v: u16| (3u16, 1u64, v.to_ne_bytes().to_vec());
        let long = |v: u32| (4u16, 1u64, v.to_ne_bytes().to_vec());
        let mut tags = vec![
            (256, long(width)),
            (257, long(height)),
            (258, short(8 * sample.bytes() as u16)),
            (259, short(8)),
            (262, short(1)),
            (273, self.numbers(&page.offsets)?),
            (277, short(1)),
            (278, long(self.rows_per_strip as u32)),
            (279, self.numbers(&page.lengths)?),
            (339, short(if sample == SampleKind::Float { 3 } else { 1 })),
        ];
        tags.extend(self.tags.iter().map(|t| (t.tag, (t.kind, t.count, t.bytes.clone()))));
        tags.sort_by_key(|t| t.0);
        let room = if self.big { 8 } else { 4 };
        let mut entries = Vec::new();
        for (tag, (kind, count, mut value)) in tags {
            let tag: u16 = tag;
            if value.len() > room {
                self.pad()?;
                self.out.write_all(&value)?;
                let at = self.at;
                self.at += value.len() as u64;
                value = self.offset(at)?;
            }
            value.resize(room, 0);
            let mut entry = [tag.to_ne_bytes(), kind.to_ne_bytes()].concat();
            if self.big {
                entry.extend(count.to_ne_bytes());
            } else {
                entry.extend((count as u32).to_ne_bytes());
            }
            entry.extend(value);
            entries.push(entry);
        }
        Ok(entries)
    }

    /// Numbers as type, count and bytes.
    fn numbers(&self, values: &[u64]) -> Result<(u16, u64, Vec<u8>)> {
        let mut bytes = Vec::new();
        for &v in values {
            bytes.extend(self.offset(v)?);
        }
        Ok((if self.big { 16 } else { 4 }, values.len() as u64, bytes))
    }

    /// A number with the width of this file's offsets.
    fn offset(&self, value: u64) -> Result<Vec<u8>> {
        if self.big {
            return Ok(value.to_ne_bytes().to_vec());
        }
        let narrow = u32::try_from(value).map_err(|_| std::io::Error::other("grew beyond 4 GiB"))?;
        Ok(narrow.to_ne_bytes().to_vec())
    }

    /// Aligns to an even offset, as values and directories require.
    fn pad(&mut self) -> Result<()> {
        if self.at % 2 == 1 {
            self.out.write_all(&[0])?;
            self.at += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;
    use tiff::decoder::{Decoder, DecodingResult};

    fn layout(width: u32, height: u32, pages: usize, sample: SampleKind) -> StripLayout {
        StripLayout { width, height, pages, sample }
    }

    #[test]
    fn interleaved_pages_round_trip() {
        // Rows of 40 KB: six rows per strip, the last strip is shorter.
        let (w, h) = (10_000u32, 20usize);
        let value = |page: usize, i: usize| (page * 1000) as f32 + (i % 977) as f32 / 7.0;
        let mut tiff = StripTiff::new(Cursor::new(Vec::new()), layout(w, h as u32, 3, SampleKind::Float)).unwrap();
        let mut row = 0;
        for rows in [1, 3, 9, 7] {
            for page in 0..3 {
                let range = row * w as usize..(row + rows) * w as usize;
                let values: Vec<f32> = range.map(|i| value(page, i)).collect();
                tiff.rows(page, bytemuck::cast_slice(&values)).unwrap();
            }
            row += rows;
        }
        let file = tiff.finish().unwrap().into_inner();
        let mut decoder = Decoder::new(Cursor::new(file)).unwrap();
        for page in 0..3 {
            assert_eq!((decoder.dimensions().unwrap(), decoder.strip_count().unwrap()), ((w, 20), 4));
            let DecodingResult::F32(actual) = decoder.read_image().unwrap() else { panic!() };
            assert!(actual.iter().enumerate().all(|(i, &v)| v == value(page, i)), "page {page}");
            assert_eq!(decoder.more_images(), page < 2);
            if page < 2 {
                decoder.next_image().unwrap();
            }
        }
    }

    #[test]
    fn large_files_have_wide_offsets() {
        let big = layout(70_000, 70_000, 1, SampleKind::Uint(4));
        let tiff = StripTiff::new(Cursor::new(Vec::new()), big).unwrap();
        assert!(tiff.big && tiff.finish().is_err());
        // BigTIFF at a size that a test can write.
        let mut tiff = StripTiff::new(Cursor::new(Vec::new()), layout(3, 2, 2, SampleKind::Uint(2))).unwrap();
        (tiff.big, tiff.at) = (true, 16);
        tiff.out = Cursor::new([&b"II"[..], &43u16.to_ne_bytes(), &8u16.to_ne_bytes(), &[0; 10]].concat());
        tiff.out.set_position(16);
        for page in [1, 0] {
            let values = [1u16, 2, 3, 4, 5, 600].map(|v| v + page as u16);
            tiff.rows(page, bytemuck::cast_slice(&values)).unwrap();
        }
        let file = tiff.finish().unwrap().into_inner();
        let mut decoder = Decoder::new(Cursor::new(file)).unwrap();
        let DecodingResult::U16(actual) = decoder.read_image().unwrap() else { panic!() };
        assert_eq!(actual, [1, 2, 3, 4, 5, 600]);
        decoder.next_image().unwrap();
        let DecodingResult::U16(actual) = decoder.read_image().unwrap() else { panic!() };
        assert_eq!(actual, [2, 3, 4, 5, 6, 601]);
    }

    #[test]
    fn missing_rows_are_reported() {
        let mut tiff = StripTiff::new(Cursor::new(Vec::new()), layout(3, 2, 1, SampleKind::Uint(1))).unwrap();
        assert!(tiff.rows(1, &[0; 3]).is_err());
        let tall = layout(3, 400_000, 1, SampleKind::Uint(1));
        let mut short = StripTiff::new(Cursor::new(Vec::new()), tall).unwrap();
        short.rows(0, &[0; 300_000]).unwrap();
        assert!(short.finish().is_err());
    }
}
