//! Directories of a TIFF file as stored, without the pixels: tags and links. All of the file's structure is read here.

use std::io::{Read, Result, Seek, SeekFrom};

use super::Source;

/// Larger lists of values, in bytes, are refused; descriptions of thousands of planes are smaller.
const MAX_VALUE: u64 = 64 << 20;
/// A directory with more entries is damaged.
const MAX_ENTRIES: u64 = 1 << 12;

/// Header of a file: byte order and width of offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub big_endian: bool,
    /// BigTIFF: 64-bit offsets.
    pub wide: bool,
    pub first: u64,
}

/// A TIFF file as a reader of its directories.
pub(super) struct Directories<R> {
    reader: R,
    /// Bytes of the file.
    length: u64,
    pub header: Header,
}

/// A directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Directory {
    pub offset: u64,
    entries: Vec<Entry>,
    /// Offset of the next directory, 0 for none.
    pub next: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    tag: u16,
    kind: u16,
    count: u64,
    /// Offset of its values.
    at: u64,
}

/// The error of a file with this damage.
pub(super) fn damaged(what: impl Into<String>) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, what.into())
}

/// The error of a file whose directories cannot be read.
pub(super) fn failed(source: &Source, e: std::io::Error) -> crate::error::Error {
    match e.kind() {
        std::io::ErrorKind::UnexpectedEof => source.error("the TIFF file is truncated"),
        _ => source.error(format!("damaged TIFF file: {e}")),
    }
}

/// Bytes per value of a type, 0 for unknown types.
fn width(kind: u16) -> u64 {
    match kind {
        1 | 2 | 6 | 7 => 1,
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16 | 17 | 18 => 8,
        _ => 0,
    }
}

impl Header {
    fn u16(self, b: [u8; 2]) -> u16 {
        if self.big_endian { u16::from_be_bytes(b) } else { u16::from_le_bytes(b) }
    }

    fn u32(self, b: [u8; 4]) -> u32 {
        if self.big_endian { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) }
    }

    fn u64(self, b: [u8; 8]) -> u64 {
        if self.big_endian { u64::from_be_bytes(b) } else { u64::from_le_bytes(b) }
    }
}

impl<R: Read + Seek> Directories<R> {
    pub(super) fn new(mut reader: R) -> Result<Self> {
        let mut head = [0; 8];
        let length = reader.seek(SeekFrom::End(0))?;
        reader.seek(SeekFrom::Start(0))?;
        reader.read_exact(&mut head)?;
        let [a, b, c, d, e, f, g, h] = head;
        let big_endian = match [a, b] {
            [b'I', b'I'] => false,
            [b'M', b'M'] => true,
            _ => return Err(damaged("not a TIFF file")),
        };
        let mut header = Header { big_endian, wide: false, first: 0 };
        match header.u16([c, d]) {
            42 => header.first = u64::from(header.u32([e, f, g, h])),
            43 if (header.u16([e, f]), header.u16([g, h])) != (8, 0) => {
                return Err(damaged("its offsets are not of 8 bytes"));
            }
            43 => {
                let mut first = [0; 8];
                reader.read_exact(&mut first)?;
                (header.wide, header.first) = (true, header.u64(first));
            }
            _ => return Err(damaged("not a TIFF file")),
        }
        Ok(Self { reader, length, header })
    }

    fn at<const N: usize>(&mut self, offset: u64) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.reader.seek(SeekFrom::Start(offset))?;
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn offset_at(&mut self, at: u64) -> Result<u64> {
        let header = self.header;
        Ok(if header.wide { header.u64(self.at(at)?) } else { u64::from(header.u32(self.at(at)?)) })
    }

    /// The directory at an offset.
    pub(super) fn read(&mut self, offset: u64) -> Result<Directory> {
        let header = self.header;
        let (count, start, size) = match header.wide {
            true => (header.u64(self.at(offset)?), offset.saturating_add(8), 20),
            false => (u64::from(header.u16(self.at(offset)?)), offset.saturating_add(2), 12),
        };
        if offset == 0 || count > MAX_ENTRIES {
            return Err(damaged("a directory is damaged"));
        }
        let link = start.saturating_add(count * size);
        let mut bytes = vec![0; (count * size) as usize];
        self.reader.seek(SeekFrom::Start(start))?;
        self.reader.read_exact(&mut bytes)?;
        let mut entries = Vec::with_capacity(count as usize);
        for (i, entry) in bytes.chunks_exact(size as usize).enumerate() {
            let (&[t0, t1, k0, k1, ref rest @ ..], place) = (entry, start + i as u64 * size) else { continue };
            let (tag, kind) = (header.u16([t0, t1]), header.u16([k0, k1]));
            let (count, field, room) = match (header.wide, rest) {
                (true, &[a, b, c, d, e, f, g, h, ..]) => (header.u64([a, b, c, d, e, f, g, h]), place + 12, 8),
                (false, &[a, b, c, d, ..]) => (u64::from(header.u32([a, b, c, d])), place + 8, 4),
                _ => continue,
            };
            let long = width(kind).saturating_mul(count) > room;
            let at = match (long, header.wide, rest) {
                (false, ..) => field,
                (_, true, &[.., a, b, c, d, e, f, g, h]) => header.u64([a, b, c, d, e, f, g, h]),
                (_, _, &[.., a, b, c, d]) => u64::from(header.u32([a, b, c, d])),
                _ => continue,
            };
            entries.push(Entry { tag, kind, count, at });
        }
        let next = self.offset_at(link)?;
        Ok(Directory { offset, entries, next })
    }

    /// A tag's values as bytes, and their type; `None` if the tag is missing.
    fn stored(&mut self, directory: &Directory, tag: u16) -> Result<Option<(u16, Vec<u8>)>> {
        let Some(&entry) = directory.find(tag) else { return Ok(None) };
        let length = width(entry.kind).saturating_mul(entry.count);
        if length > MAX_VALUE.min(self.length) {
            return Err(damaged("it asks for more memory than it can need"));
        }
        let mut bytes = vec![0; length as usize];
        self.reader.seek(SeekFrom::Start(entry.at))?;
        self.reader.read_exact(&mut bytes)?;
        Ok(Some((entry.kind, bytes)))
    }

    /// The same; also `None` if there are no values or they cannot be read.
    fn bytes(&mut self, directory: &Directory, tag: u16) -> Option<(u16, Vec<u8>)> {
        self.stored(directory, tag).ok().flatten().filter(|(_, bytes)| !bytes.is_empty())
    }

    /// Unsigned integers; `None` if the tag is missing.
    pub(super) fn unsigned(&mut self, directory: &Directory, tag: u16) -> Result<Option<Vec<u64>>> {
        let header = self.header;
        let Some((kind, bytes)) = self.stored(directory, tag)? else { return Ok(None) };
        Ok(Some(match kind {
            1 | 7 => bytes.into_iter().map(u64::from).collect(),
            3 => bytes.as_chunks().0.iter().map(|b| u64::from(header.u16(*b))).collect(),
            4 | 13 => bytes.as_chunks().0.iter().map(|b| u64::from(header.u32(*b))).collect(),
            16 | 18 => bytes.as_chunks().0.iter().map(|b| header.u64(*b)).collect(),
            _ => return Err(damaged(format!("tag {tag} has values of the wrong type"))),
        }))
    }

    /// Unsigned integers; `None` if the tag is missing, empty, of another type, or cut off.
    pub(super) fn whole(&mut self, directory: &Directory, tag: u16) -> Option<Vec<u64>> {
        self.unsigned(directory, tag).ok().flatten().filter(|values| !values.is_empty())
    }

    /// The first of the integer values.
    pub(super) fn number(&mut self, directory: &Directory, tag: u16) -> Option<u64> {
        self.whole(directory, tag)?.first().copied()
    }

    /// Values of 32 or 64-bit floats.
    pub(super) fn floats(&mut self, directory: &Directory, tag: u16) -> Option<Vec<f64>> {
        let header = self.header;
        let (kind, bytes) = self.bytes(directory, tag)?;
        match kind {
            11 => Some(bytes.as_chunks().0.iter().map(|b| f64::from(f32::from_bits(header.u32(*b)))).collect()),
            12 => Some(bytes.as_chunks().0.iter().map(|b| f64::from_bits(header.u64(*b))).collect()),
            _ => None,
        }
    }

    /// The first rational value: numerator and denominator.
    pub(super) fn fraction(&mut self, directory: &Directory, tag: u16) -> Option<[u32; 2]> {
        let header = self.header;
        match self.bytes(directory, tag)? {
            (5, bytes) => match *bytes {
                [a, b, c, d, e, f, g, h, ..] => Some([header.u32([a, b, c, d]), header.u32([e, f, g, h])]),
                _ => None,
            },
            _ => None,
        }
    }

    /// Text up to its first zero. If it is not UTF-8, it is decoded as Latin-1, which older programs wrote.
    pub(super) fn text(&mut self, directory: &Directory, tag: u16) -> Option<String> {
        let (kind, mut bytes) = self.bytes(directory, tag)?;
        if !matches!(kind, 1 | 2 | 7) {
            return None;
        }
        if let Some(end) = bytes.iter().position(|&b| b == 0) {
            bytes.truncate(end);
        }
        Some(String::from_utf8(bytes).unwrap_or_else(|e| e.into_bytes().into_iter().map(char::from).collect()))
    }

    /// The underlying reader.
    pub(super) fn inner(&mut self) -> &mut R {
        &mut self.reader
    }

    /// Text as stored, including its zeros.
    pub(super) fn raw_text(&mut self, directory: &Directory, tag: u16) -> Option<Vec<u8>> {
        self.bytes(directory, tag).and_then(|(kind, bytes)| (kind == 2).then_some(bytes))
    }
}

impl Directory {
    /// The entry of a tag. Of an unknown type it is skipped, as the specification says.
    fn find(&self, tag: u16) -> Option<&Entry> {
        self.entries.iter().find(|e| e.tag == tag && width(e.kind) > 0)
    }

    pub(super) fn has(&self, tag: u16) -> bool {
        self.find(tag).is_some()
    }

    /// Number of values of a tag.
    pub(super) fn count(&self, tag: u16) -> Option<u64> {
        self.find(tag).map(|e| e.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    /// A file of one directory: `entries` of tag, type, count and value or offset; `rest` begins at byte 8.
    fn file(big: bool, entries: &[(u16, u16, u32, [u8; 4])], rest: &[u8]) -> Vec<u8> {
        let short = |v: u16| if big { v.to_be_bytes() } else { v.to_le_bytes() };
        let long = |v: u32| if big { v.to_be_bytes() } else { v.to_le_bytes() };
        let mut out = if big { b"MM".to_vec() } else { b"II".to_vec() };
        out.extend(short(42));
        out.extend(long(8 + rest.len() as u32));
        out.extend(rest);
        out.extend(short(entries.len() as u16));
        for (tag, kind, count, value) in entries {
            out.extend(short(*tag));
            out.extend(short(*kind));
            out.extend(long(*count));
            out.extend(value);
        }
        out.extend(long(0));
        out
    }

    #[test]
    fn values_are_read_in_both_byte_orders() {
        for big in [false, true] {
            let long = |v: u32| if big { v.to_be_bytes() } else { v.to_le_bytes() };
            let double = if big { 2.5f64.to_be_bytes() } else { 2.5f64.to_le_bytes() };
            let rest = [&double[..], &long(7), &long(2), b"caf\xe9 \xb5m\0"].concat();
            let short = if big { [1, 2, 0, 0] } else { [2, 1, 0, 0] };
            let entries = [
                (256, 3, 1, short),
                (270, 2, 8, long(24)),
                (282, 5, 1, long(16)),
                (33550, 12, 1, long(8)),
                (34735, 3, 9999, long(8)),
            ];
            let mut tiff = Directories::new(Cursor::new(file(big, &entries, &rest))).unwrap();
            let d = tiff.read(tiff.header.first).unwrap();
            assert_eq!((tiff.number(&d, 256), tiff.header.big_endian), (Some(258), big));
            assert_eq!(tiff.text(&d, 270).as_deref(), Some("café µm"));
            assert_eq!((tiff.fraction(&d, 282), tiff.floats(&d, 33550)), (Some([7, 2]), Some(vec![2.5])));
            // Cut off, missing, and of another type.
            assert_eq!((tiff.whole(&d, 34735), tiff.whole(&d, 1), tiff.whole(&d, 33550)), (None, None, None));
            assert_eq!((d.next, d.has(282), d.has(283)), (0, true, false));
        }
    }

    #[test]
    fn damage_is_an_error() {
        assert!(Directories::new(Cursor::new(b"II\x2a\0".to_vec())).is_err());
        assert!(Directories::new(Cursor::new(b"GIF89a  ".to_vec())).is_err());
        let whole = file(false, &[(256, 3, 1, [1, 0, 0, 0])], &[]);
        for end in 8..whole.len() {
            let mut tiff = Directories::new(Cursor::new(whole[..end].to_vec())).unwrap();
            assert!(tiff.read(8).is_err(), "{end}");
            assert!(tiff.read(0).is_err() && tiff.read(u64::MAX).is_err());
        }
    }
}
