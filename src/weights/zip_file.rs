//! Opening zip archives.

use std::io;

use zip::ZipArchive;
use zip::read::{ArchiveOffset, Config};
use zip::result::ZipResult;

use crate::io::{Input, Reader};

/// Opens an archive: its directory is where the end record says, or else where the crate finds it.
pub(crate) fn open_zip(input: &Input) -> ZipResult<ZipArchive<Reader>> {
    let open = || input.open().map(|(reader, _)| reader).map_err(io::Error::other);
    let stated = Config { archive_offset: ArchiveOffset::Known(0) };
    match ZipArchive::with_config(stated, open()?) {
        Ok(zip) => Ok(zip),
        Err(_) => ZipArchive::new(open()?),
    }
}
