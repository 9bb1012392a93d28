//! Builds files that no normal program writes.

use std::io::{Cursor, Write};

/// A zip of the given entries.
pub(super) fn zip_of(entries: &[(&str, &[u8])], deflate: bool) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let method = if deflate { zip::CompressionMethod::Deflated } else { zip::CompressionMethod::Stored };
    for (name, bytes) in entries {
        zip.start_file(*name, zip::write::SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A little-endian TIFF of one directory.
#[derive(Clone)]
pub(super) struct Tiff {
    /// BigTIFF: 64-bit offsets.
    big: bool,
    tags: Vec<(u16, Vec<u64>)>,
    description: Option<String>,
    /// Offset of the next directory.
    next: u64,
}

impl Tiff {
    /// Uncompressed, 8 bits, one sample per pixel.
    pub(super) fn grey(width: u64, height: u64) -> Self {
        let tags = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (277, 1)];
        let tags = tags.map(|(tag, v)| (tag, vec![v])).to_vec();
        Self { big: false, tags, description: None, next: 0 }
    }

    /// As BigTIFF.
    pub(super) fn big(self) -> Self {
        Self { big: true, ..self }
    }

    /// With a further directory at this offset.
    pub(super) fn next(self, next: u64) -> Self {
        Self { next, ..self }
    }

    /// Another value of a tag.
    pub(super) fn with(mut self, tag: u16, values: &[u64]) -> Self {
        self.tags.retain(|t| t.0 != tag);
        self.tags.push((tag, values.to_vec()));
        self
    }

    /// With an `ImageDescription`.
    pub(super) fn described(self, text: &str) -> Self {
        Self { description: Some(text.into()), ..self }
    }

    /// The file, with these strips or tiles.
    pub(super) fn chunks(self, tiled: bool, chunks: &[&[u8]]) -> Vec<u8> {
        let mut data = Vec::new();
        let start = if self.big { 16 } else { 8 };
        let offsets: Vec<u64> = chunks
            .iter()
            .map(|c| {
                let at = start + data.len() as u64;
                data.extend_from_slice(c);
                at
            })
            .collect();
        let lengths: Vec<u64> = chunks.iter().map(|c| c.len() as u64).collect();
        let [at, len] = if tiled { [324, 325] } else { [273, 279] };
        let next = self.next;
        let big = self.big;
        let described = self.description.clone();
        let whole = [(at, offsets), (len, lengths)];
        let missing: Vec<_> = whole.into_iter().filter(|w| self.tags.iter().all(|t| t.0 != w.0)).collect();
        let mut tags = self.tags;
        tags.extend(missing);
        directory(big, data, tags, described, next)
    }
}

fn directory(
    big: bool,
    mut data: Vec<u8>,
    tags: Vec<(u16, Vec<u64>)>,
    description: Option<String>,
    next: u64,
) -> Vec<u8> {
    let start = if big { 16 } else { 8 };
    let number = |v: u64, wide: bool| if wide { v.to_le_bytes().to_vec() } else { (v as u32).to_le_bytes().to_vec() };
    let mut entries: Vec<(u16, u16, u64, Vec<u8>)> = Vec::new();
    for (tag, values) in tags {
        // LONG, or LONG8 if a value needs it.
        let wide = big && values.iter().any(|&v| v > u64::from(u32::MAX));
        let bytes = values.iter().flat_map(|&v| number(v, wide)).collect();
        entries.push((tag, if wide { 16 } else { 4 }, values.len() as u64, bytes));
    }
    if let Some(text) = description {
        let bytes = [text.as_bytes(), b"\0"].concat();
        entries.push((270, 2, bytes.len() as u64, bytes));
    }
    entries.sort();
    let field = if big { 8 } else { 4 };
    let mut out =
        if big { (entries.len() as u64).to_le_bytes().to_vec() } else { (entries.len() as u16).to_le_bytes().to_vec() };
    for (tag, kind, count, mut bytes) in entries {
        if bytes.len() > field {
            let at = start + data.len() as u64;
            data.extend_from_slice(&bytes);
            bytes = number(at, big);
        }
        bytes.resize(field, 0);
        out.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
        out.extend(number(count, big));
        out.extend(bytes);
    }
    out.extend(number(next, big));
    let at = start + data.len() as u64;
    let head = if big {
        [b"II+\0\x08\0\0\0".to_vec(), at.to_le_bytes().to_vec()].concat()
    } else {
        [b"II*\0".to_vec(), number(at, false)].concat()
    };
    [head, data, out].concat()
}
