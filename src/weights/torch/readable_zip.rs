//! Zip archives whose directory the `zip` crate finds in the wrong place.
//!
//! The crate guesses where the directory starts from its size, and takes it to end right before the end record.
//! Archives that end in zip64 records which they do not need, as PyTorch writes them, have 76 bytes between the two.
//! When the first entry of the directory is 76 bytes long (a name of 30 characters, `data.pkl` in a folder named with
//! 21), the guess hits the second entry, and every offset is wrong by 76.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// Bytes of an end record without its comment.
const END: usize = 22;
/// Magic number of an end record.
const END_MAGIC: [u8; 4] = *b"PK\x05\x06";
/// Magic number of a zip64 end record.
const END64_MAGIC: [u8; 4] = *b"PK\x06\x06";
/// Magic number of a directory entry.
const ENTRY_MAGIC: [u8; 4] = *b"PK\x01\x02";
/// Bytes of a zip64 end record and its locator.
const END64: u64 = 76;

/// A file that the crate's default reader opens correctly.
pub(super) enum ReadableZip {
    /// The file itself.
    AsIs(PathBuf),
    /// A copy without the zip64 records.
    Copy(NamedTempFile),
}

impl ReadableZip {
    /// The file's own path, or that of a copy if the crate would misread the archive.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let Some((directory_end, end_record)) = misread(&mut file)? else { return Ok(Self::AsIs(path.to_path_buf())) };
        file.rewind()?;
        let mut copy = NamedTempFile::new()?;
        io::copy(&mut file.take(directory_end), &mut copy)?;
        copy.write_all(&end_record)?;
        copy.flush()?;
        Ok(Self::Copy(copy))
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::AsIs(path) => path,
            Self::Copy(file) => file.path(),
        }
    }
}

/// Where the directory ends and the bytes of the end record, of an archive that the crate would misread.
fn misread(file: &mut File) -> io::Result<Option<(u64, [u8; END])>> {
    let length = file.seek(SeekFrom::End(0))?;
    // PyTorch writes no comment; an archive with one is left to the crate.
    let Some(end) = length.checked_sub(END as u64) else { return Ok(None) };
    let mut record = [0; END];
    file.seek(SeekFrom::Start(end))?;
    file.read_exact(&mut record)?;
    let field = |at: usize| u64::from(u32::from_le_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]]));
    let (size, start) = (field(12), field(16));
    let Some(directory_end) = start.checked_add(size).filter(|&e| e.checked_add(END64) == Some(end)) else {
        return Ok(None);
    };
    let mut begins_with = |at: u64, magic: [u8; 4]| -> io::Result<bool> {
        let mut found = [0; 4];
        file.seek(SeekFrom::Start(at))?;
        Ok(file.read_exact(&mut found).is_ok() && found == magic)
    };
    let shifted = record.starts_with(&END_MAGIC)
        && begins_with(directory_end, END64_MAGIC)?
        && begins_with(start, ENTRY_MAGIC)?
        && begins_with(start + END64, ENTRY_MAGIC)?;
    Ok(shifted.then_some((directory_end, record)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::{load, open_zip};

    /// An archive of stored entries that ends in zip64 records it does not need, as PyTorch writes it.
    fn zip64(entries: &[(String, &[u8])]) -> Vec<u8> {
        let (mut out, mut directory) = (Vec::new(), Vec::new());
        for (name, bytes) in entries {
            let mut crc = flate2::Crc::new();
            crc.update(bytes);
            let (offset, size) = (out.len() as u32, bytes.len() as u32);
            let mut common = vec![0, 0, 0, 8, 0, 0, 0, 0, 0, 0];
            common.extend([crc.sum(), size, size].map(u32::to_le_bytes).concat());
            common.extend((name.len() as u16).to_le_bytes());
            common.extend([0, 0]);
            out.extend(b"PK\x03\x04");
            out.extend(&common);
            out.extend(name.bytes());
            out.extend(*bytes);
            directory.extend(b"PK\x01\x02\0\0");
            directory.extend(&common);
            directory.extend([0; 10]);
            directory.extend(offset.to_le_bytes());
            directory.extend(name.bytes());
        }
        let (start, count) = (out.len() as u64, entries.len() as u64);
        let (size, end64) = (directory.len() as u64, start + directory.len() as u64);
        out.extend(directory);
        out.extend(b"PK\x06\x06\x2c\0\0\0\0\0\0\0\0\0\x1e\x03\0\0\0\0\0\0\0\0");
        out.extend([count, count, size, start].map(u64::to_le_bytes).concat());
        out.extend(b"PK\x06\x07\0\0\0\0");
        out.extend(end64.to_le_bytes());
        out.extend(b"\x01\0\0\0PK\x05\x06\0\0\0\0");
        out.extend([count as u16; 2].map(u16::to_le_bytes).concat());
        out.extend([size as u32, start as u32].map(u32::to_le_bytes).concat());
        out.extend([0, 0]);
        out
    }

    #[test]
    fn checkpoints_are_read_whatever_the_length_of_their_name() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/fixtures/torch/training.ckpt");
        let expected = load(&fixture).unwrap();
        let mut original = open_zip(&fixture.into()).unwrap();
        let mut parts = Vec::new();
        for i in 0..original.len() {
            let mut entry = original.by_index(i).unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            parts.push((entry.name().unwrap().split_once('/').unwrap().1.to_string(), bytes));
        }
        // The crate misreads one of the lengths: whichever entry comes first.
        parts.sort_by_key(|p| p.0 != "data.pkl");
        let (dir, mut copies) = (tempfile::tempdir().unwrap(), 0);
        for length in 1..=120 {
            let stem = "n".repeat(length);
            let entries: Vec<_> = parts.iter().map(|(n, b)| (format!("{stem}/{n}"), &b[..])).collect();
            let path = dir.path().join(format!("{stem}.pth"));
            std::fs::write(&path, zip64(&entries)).unwrap();
            assert_eq!(load(&path).unwrap(), expected, "a name of {length} characters");
            assert_eq!(open_zip(&(&path).into()).unwrap().len(), parts.len());
            copies += usize::from(matches!(ReadableZip::of(&path).unwrap(), ReadableZip::Copy(_)));
        }
        assert_eq!(copies, 1);
    }

    #[test]
    fn bytes_before_an_archive_are_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.zip");
        let mut bytes = b"#!/bin/sh\n".to_vec();
        bytes.extend(zip64(&[("one".into(), b"1"), ("two".into(), b"2")]));
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(open_zip(&(&path).into()).unwrap().len(), 2);
        std::fs::write(&path, b"PK\x05\x06").unwrap();
        assert!(matches!(ReadableZip::of(&path).unwrap(), ReadableZip::AsIs(_)));
    }
}
