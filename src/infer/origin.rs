//! What result files carry, so that they are recognised: see [`super::own_result`].

/// The name in result files: PNG's `Software` text, TIFF's `Software` tag, a member of JSON, the comment of an archive.
pub(crate) const SOFTWARE: &str = "unet-wgpu";
/// Length of the header of our NPY files, which have no room for a name; NumPy pads to the next multiple of 64.
pub(super) const NPY_HEADER: usize = 256;
