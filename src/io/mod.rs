//! Input and output of bytes: files by path with the feature `std-fs`; memory, readers and writers always.

#[cfg(feature = "ome-zarr")]
mod folder;
pub mod fs;
pub mod image_formats;
mod input;
mod output;
#[cfg(feature = "std-fs")]
mod replace;
mod spool;
#[cfg(feature = "std-fs")]
pub(crate) mod temporary;

#[cfg(feature = "ome-zarr")]
pub(crate) use folder::PendingFolder;
pub use image_formats::ImageFormat;
pub(crate) use input::Nature;
#[cfg(any(feature = "image-formats", feature = "pytorch", feature = "bioimage"))]
pub(crate) use input::Reader;
pub use input::{Input, ReadSeek};
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
pub(crate) use output::Part;
pub use output::{Output, PendingFile, PendingHandle, write_atomically};
#[cfg(feature = "std-fs")]
pub(crate) use replace::replace_file;
pub(crate) use spool::{Spool, make_folder, spool, temporary_folder};
