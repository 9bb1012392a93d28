//! Mutating what is inside a zip: bytes changed in place would only be wrong sums.

use libfuzzer_sys::fuzzer_mutate;
use std::io::{Cursor, Read, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// Largest entry that is taken apart.
const LARGEST: u64 = 1 << 18;

/// One entry mutated and everything packed again, in three of four calls; else the bytes themselves.
pub fn mutate(data: &mut [u8], size: usize, max: usize, seed: u32) -> usize {
    if !seed.is_multiple_of(4)
        && let Some(new) = inside(&data[..size], max, seed / 4)
        && new.len() <= max
    {
        data[..new.len()].copy_from_slice(&new);
        return new.len();
    }
    fuzzer_mutate(data, size, max)
}

fn inside(data: &[u8], max: usize, seed: u32) -> Option<Vec<u8>> {
    let mut archive = ZipArchive::new(Cursor::new(data)).ok()?;
    let mut entries = Vec::new();
    for i in 0..archive.len().min(64) {
        let file = archive.by_index(i).ok()?;
        let name = file.name().ok()?.to_string();
        let mut bytes = Vec::new();
        file.take(LARGEST).read_to_end(&mut bytes).ok()?;
        entries.push((name, bytes));
    }
    let total: usize = entries.iter().map(|e| e.1.len()).sum();
    let room = max.checked_sub(total)?.min(4096);
    let count = entries.len();
    // The first entries describe the others.
    let at = if seed.is_multiple_of(2) { 0 } else { seed as usize / 2 % count.max(1) };
    let (name, bytes) = entries.get_mut(at)?;
    if seed % 32 == 31 {
        let mut text = name.clone().into_bytes();
        let length = text.len();
        text.resize(length + 16, 0);
        let length = fuzzer_mutate(&mut text, length, length + 16);
        *name = String::from_utf8_lossy(&text[..length]).into_owned();
    } else {
        let length = bytes.len();
        bytes.resize(length + room, 0);
        let new = fuzzer_mutate(bytes, length, length + room);
        bytes.truncate(new);
    }
    pack(&entries, seed % 16 == 7)
}

/// A zip of these entries.
pub fn pack(entries: &[(String, Vec<u8>)], deflate: bool) -> Option<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let method = if deflate { CompressionMethod::Deflated } else { CompressionMethod::Stored };
    for (name, bytes) in entries {
        zip.start_file(name.as_str(), SimpleFileOptions::default().compression_method(method)).ok()?;
        zip.write_all(bytes).ok()?;
    }
    Some(zip.finish().ok()?.into_inner())
}
