//! Opening zip archives.

use std::io::{self, Read, Seek};

use zip::ZipArchive;
use zip::read::{ArchiveOffset, Config};
use zip::result::ZipResult;

use crate::io::{Input, Reader};

/// Opens an archive, with its directory at the offset of the end record, or else where the crate finds it.
pub(crate) fn open_zip(input: &Input) -> ZipResult<ZipArchive<Reader>> {
    open_zip_with(|| input.open().map(|(reader, _)| reader).map_err(io::Error::other))
}

/// The same for the readers that `open` gives.
pub(crate) fn open_zip_with<R: Read + Seek>(open: impl Fn() -> io::Result<R>) -> ZipResult<ZipArchive<R>> {
    let stated = Config { archive_offset: ArchiveOffset::Known(0) };
    match ZipArchive::with_config(stated, open()?) {
        Ok(zip) => Ok(zip),
        Err(_) => ZipArchive::new(open()?),
    }
}
