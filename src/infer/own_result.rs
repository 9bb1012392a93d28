//! Which files are results of this program: nothing else is ever replaced by one.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::origin::{NPY_HEADER, SOFTWARE};
use super::{decode, instance_files};
use crate::error::{Error, Result};
use crate::io::fs::{self, File};

/// Longer than what stands before the first pixel of our PNG files: a palette and the text.
const HEAD: u64 = 4096;

#[cfg(feature = "ome-zarr")]
use super::instance_files::is_own_zarr as is_own_folder;

#[cfg(not(feature = "ome-zarr"))]
fn is_own_folder(_: &Path) -> bool {
    false
}

/// Whether the file, or the folder, is a result of this program.
///
/// # Errors
/// If it cannot be read.
pub fn is_own_result(path: impl AsRef<Path>) -> Result<bool> {
    let path = path.as_ref();
    if fs::is_dir(path) {
        return Ok(is_own_folder(path));
    }
    let wrong = |e| Error::io(path, e);
    let mut file = File::open(path).map_err(wrong)?;
    let mut head = Vec::new();
    (&mut file).take(HEAD).read_to_end(&mut head).map_err(wrong)?;
    let holds = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|w| w == text.as_bytes());
    Ok(match head.as_slice() {
        [0x89, b'P', b'N', b'G', ..] => holds(&head, &format!("tEXtSoftware\0{SOFTWARE}")),
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => {
            decode::software(file).is_some_and(|name| name == SOFTWARE)
        }
        [b'{', ..] => holds(&head, &format!("\"{SOFTWARE}\"")),
        [b'P', b'K', ..] => {
            let mut end = [0; SOFTWARE.len()];
            // A shorter file is none of ours.
            let read = file.seek(SeekFrom::End(-(end.len() as i64))).and_then(|_| file.read_exact(&mut end));
            read.is_ok() && end == SOFTWARE.as_bytes()
        }
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, 0, low, high, ..] => {
            usize::from(u16::from_le_bytes([*low, *high])) + 10 == NPY_HEADER
        }
        _ => instance_files::is_table(&head),
    })
}
