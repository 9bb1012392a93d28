//! Why files and folders are not read as images, for error messages.

use std::path::Path;

use crate::io::ImageFormat;
use crate::io::fs;
use crate::io::image_formats::{READABLE, Support};

/// Why a file with these first bytes is not read, with its format and advice where they are known.
pub(super) fn reason(head: &[u8]) -> String {
    if let Some(&ImageFormat { what, support: Support::Refused(advice), .. }) = ImageFormat::of_head(head) {
        return format!("is {what}, which is not supported; {advice}");
    }
    let text = String::from_utf8_lossy(head).trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
    if text.starts_with("<!doctype html") || text.starts_with("<html") {
        return "is a web page, not an image: perhaps a download that failed".into();
    }
    if text.starts_with("<?xml") || text.starts_with("<!--") || text.starts_with("<!doctype svg") {
        let what = if text.contains("<svg") { "an SVG drawing" } else { "an XML file" };
        return format!("is {what}, which is not supported; save it as PNG or TIFF");
    }
    format!("not an image in a known format ({READABLE})")
}

/// What kind of folder was given instead of a file.
pub(super) fn folder(path: &Path) -> &'static str {
    let holds = |name: &str| fs::exists(path.join(name));
    if holds(".zarray") || holds(".zgroup") || holds(".zattrs") || holds("zarr.json") {
        // With the feature such folders are read, and errors say more.
        return "is a Zarr folder, which needs the feature `ome-zarr`; save the array as TIFF or NPY";
    }
    if holds("attributes.json") {
        return "is an N5 folder, which is not supported; save the array as TIFF or NPY";
    }
    "is a folder"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsupported_formats_are_named() {
        for (head, expected) in [
            (
                &b"\x89HDF\r\n\x1a\n"[..],
                "is an HDF5 file (also Imaris .ims, BigDataViewer, ilastik), which is not supported; save the data set as TIFF or NPY",
            ),
            (b"....ftypheic", "is a HEIC image, which is not supported; save it as PNG or TIFF"),
            (b"....ftypisom", "is an MP4 video, which is not supported; save its frames as images"),
            (b"<?xml version='1.0'?><svg>", "is an SVG drawing, which is not supported; save it as PNG or TIFF"),
            (b"<?xml version='1.0'?><a>", "is an XML file, which is not supported; save it as PNG or TIFF"),
            (b"\n<!DOCTYPE html>", "is a web page, not an image: perhaps a download that failed"),
            (
                b"version https://git-lfs.github.com/spec/v1\n",
                "is a Git LFS pointer, not the file, which is not supported; run git lfs pull",
            ),
            (b"hello", "not an image in a known format (PNG, JPEG, WebP, BMP, GIF, PNM, JPEG 2000, TIFF or NPY)"),
        ] {
            assert_eq!(reason(head), expected);
        }
    }

    #[test]
    fn zarr_folders_are_named() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(folder(dir.path()), "is a folder");
        std::fs::write(dir.path().join("zarr.json"), "{}").unwrap();
        assert!(folder(dir.path()).starts_with("is a Zarr folder"));
    }
}
