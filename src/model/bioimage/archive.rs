//! The zip around a package, read with bounds on everything it claims.

use crate::error::{Error, Result};
use crate::io::{Input, Reader};
use crate::weights::open_zip;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Read;
use zip::ZipArchive;

/// Files in a package that are looked at; real ones have some twenty.
const MAX_ENTRIES: usize = 10_000;
/// Up to this many inflated bytes, any ratio is fine.
const HARMLESS: u64 = 64 << 20;
/// Beyond [`HARMLESS`], no weights are this compressible.
const LARGEST_RATIO: u64 = 200;

/// An open package.
pub struct Archive {
    input: Input,
    zip: ZipArchive<Reader>,
    /// Entry by name, without `./` in front.
    entries: BTreeMap<String, usize>,
}

/// The name of a file inside a package: relative, and inside it.
pub fn inside(name: &str) -> Option<&str> {
    let name = name.strip_prefix("./").unwrap_or(name);
    let plain = !name.is_empty() && !name.starts_with('/') && !name.contains(['\\', ':', '\0']);
    (plain && !name.split('/').any(|part| part == "..")).then_some(name)
}

impl Archive {
    /// Opens a zip. Fails if any name in it leaves it, or is there twice.
    pub fn open(input: &Input) -> Result<Self> {
        let bad = |reason: String| Error::file(input.name(), reason);
        // What cannot be read is no damage.
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
                inside(&name).ok_or_else(|| bad(format!("entry `{}` is outside of the archive", shown(&name))))?;
            if entries.insert(plain.to_string(), i).is_some() {
                return Err(bad(format!("entry `{}` is there twice", shown(&name))));
            }
        }
        Ok(Self { input: input.clone(), zip, entries })
    }

    /// The first of `names` that is there.
    pub fn first<'a>(&self, names: &[&'a str]) -> Option<&'a str> {
        names.iter().copied().find(|n| self.entries.contains_key(*n))
    }

    /// A file of at most `max` bytes; its sum is checked where one is given.
    pub fn read(&mut self, name: &str, max: u64, sha256: Option<&str>) -> Result<Vec<u8>> {
        let input = self.input.clone();
        let bad = |reason: String| Error::file(input.name(), format!("`{}`: {reason}", shown(name)));
        let at = inside(name).and_then(|n| self.entries.get(n)).copied();
        let at = at.ok_or_else(|| bad("is not in the package".into()))?;
        let entry = self.zip.by_index(at).map_err(|e| bad(format!("cannot be read: {e}")))?;
        let (size, packed) = (entry.size(), entry.compressed_size());
        if size > max {
            return Err(bad(format!("has {size} bytes, more than the {max} allowed")));
        }
        if size > HARMLESS && size / LARGEST_RATIO > packed {
            return Err(bad(format!("{packed} bytes inflate to {size}, over {LARGEST_RATIO} times as many")));
        }
        let mut bytes = Vec::new();
        entry.take(size + 1).read_to_end(&mut bytes).map_err(|e| bad(format!("is damaged: {e}")))?;
        if bytes.len() as u64 != size {
            return Err(bad(format!("has other than the {size} bytes it claims")));
        }
        let found: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        match sha256 {
            Some(requested) if !requested.eq_ignore_ascii_case(&found) => {
                Err(bad(format!("sha256 is {found}, the description says {}", shown(requested))))
            }
            _ => Ok(bytes),
        }
    }
}

/// A text from a package as it may stand in an error.
pub fn shown(text: &str) -> String {
    text.chars().take(120).flat_map(char::escape_debug).collect()
}
