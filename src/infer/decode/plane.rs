//! Where the channels of pages lie in a TIFF file.

/// A directory that holds channels of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plane {
    /// Index in the file's chain of directories.
    pub directory: usize,
    /// Index of the image, where one directory describes several that follow each other (ImageJ).
    pub image: usize,
}

/// Pages of a stack: for each channel its directory, or why it cannot be read.
pub(super) type Stack = Vec<Vec<Result<usize, String>>>;
