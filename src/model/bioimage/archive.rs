//! The zip archive of a package, read with limits on everything it declares.

use crate::error::{Error, Result};
use crate::io::{Input, Reader};
use crate::weights::open_zip;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Read;
use zip::ZipArchive;

/// Maximum number of files in a package; real ones have about twenty.
const MAX_ENTRIES: usize = 10_000;
/// Up to this many inflated bytes, any compression ratio is accepted.
const HARMLESS: u64 = 64 << 20;
/// Maximum compression ratio beyond [`HARMLESS`]; no weights are this compressible.
const MAX_RATIO: u64 = 200;

/// An open package.
pub(super) struct Archive {
    input: Input,
    zip: ZipArchive<Reader>,
    /// Entry index by name, without a leading `./`.
    entries: BTreeMap<String, usize>,
}

/// The name of a file inside a package, without a leading `./`; `None` if it is absolute or leaves the package.
pub(super) fn inside(name: &str) -> Option<&str> {
    let name = name.strip_prefix("./").unwrap_or(name);
    let plain = !name.is_empty() && !name.starts_with('/') && !name.contains(['\\', ':', '\0']);
    (plain && !name.split('/').any(|part| part == "..")).then_some(name)
}

impl Archive {
    /// Opens a zip archive. Fails if a name points outside of it or occurs twice.
    pub(super) fn open(input: &Input) -> Result<Self> {
        let bad = |reason: String| Error::file(input.name(), reason);
        // Report a missing or unreadable file as such, not as a damaged archive.
        input.open()?;
        let zip = open_zip(input).map_err(|e| bad(format!("a damaged zip archive: {e}")))?;
        if zip.len() > MAX_ENTRIES {
            return Err(bad(format!("{} files in the archive, more than the {MAX_ENTRIES} allowed", zip.len())));
        }
        let mut entries = BTreeMap::new();
        for i in 0..zip.len() {
            let name = zip.name_for_index(i).and_then(|n| n.ok()).map(|n| n.into_owned());
            let name = name.ok_or_else(|| bad(format!("entry {i} of the archive has no readable name")))?;
            let plain =
                inside(&name).ok_or_else(|| bad(format!("entry `{}` is outside of the archive", escaped(&name))))?;
            if entries.insert(plain.to_string(), i).is_some() {
                return Err(bad(format!("entry `{}` occurs twice", escaped(&name))));
            }
        }
        Ok(Self { input: input.clone(), zip, entries })
    }

    /// The first of `names` that exists.
    pub(super) fn first<'a>(&self, names: &[&'a str]) -> Option<&'a str> {
        names.iter().copied().find(|n| self.entries.contains_key(*n))
    }

    /// Reads a file of at most `max` bytes and checks its checksum, if given.
    pub(super) fn read(&mut self, name: &str, max: u64, sha256: Option<&str>) -> Result<Vec<u8>> {
        let input = self.input.clone();
        let bad = |reason: String| Error::file(input.name(), format!("`{}`: {reason}", escaped(name)));
        let at = inside(name).and_then(|n| self.entries.get(n)).copied();
        let at = at.ok_or_else(|| bad("is not in the package".into()))?;
        let entry = self.zip.by_index(at).map_err(|e| bad(format!("cannot be read: {e}")))?;
        let (size, packed) = (entry.size(), entry.compressed_size());
        if size > max {
            return Err(bad(format!("has {size} bytes, more than the {max} allowed")));
        }
        if size > HARMLESS && size / MAX_RATIO > packed {
            return Err(bad(format!("{packed} bytes inflate to {size}, over {MAX_RATIO} times as many")));
        }
        let mut bytes = Vec::new();
        entry.take(size + 1).read_to_end(&mut bytes).map_err(|e| bad(format!("is damaged: {e}")))?;
        if bytes.len() as u64 != size {
            return Err(bad(format!("does not have the {size} bytes it declares")));
        }
        let found: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        match sha256 {
            Some(requested) if !requested.eq_ignore_ascii_case(&found) => {
                Err(bad(format!("sha256 is {found}, the description says {}", escaped(requested))))
            }
            _ => Ok(bytes),
        }
    }
}

/// Escapes and truncates a text from a package for use in messages.
pub(super) fn escaped(text: &str) -> String {
    text.chars().take(120).flat_map(char::escape_debug).collect()
}
