//! Names of formats that cannot be read, for error messages.

use std::path::Path;

/// Bytes at the beginning of a file that identify its format.
pub(super) const HEAD: u64 = 512;
/// Readable formats.
pub(super) const READ: &str = "PNG, JPEG, WebP, BMP, GIF, PNM, JPEG 2000, TIFF or NPY";

const TIFF: &str = "export it as TIFF";
const OTHER: &str = "save it as PNG or TIFF";
const BIO: &str = "export it as OME-TIFF, for example with Fiji's Bio-Formats or bfconvert";
const PACKED: &str = "unpack it";
const RAW: &str = "develop it to TIFF";
const VIDEO: &str = "save its frames as images";

/// Offset, magic bytes, format name, and advice.
#[rustfmt::skip]
const FORMATS: &[(usize, &[u8], &str, &str)] = &[
    (128, b"DICM", "a DICOM file", TIFF),
    (344, b"n+1\0", "a NIfTI file", "save its slices as TIFF"),
    (344, b"ni1\0", "a NIfTI header", "save its slices as TIFF"),
    (4, b"n+2\0\r\n\x1a\n", "a NIfTI-2 file", "save its slices as TIFF"),
    (4, b"ni2\0\r\n\x1a\n", "a NIfTI-2 header", "save its slices as TIFF"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file (also Imaris .ims, BigDataViewer, ilastik)", "save the data set as TIFF or NPY"),
    (0, b"CDF\x01", "a netCDF file", "save the variable as TIFF or NPY"),
    (0, b"CDF\x02", "a netCDF file", "save the variable as TIFF or NPY"),
    (0, b"MATLAB 5.0", "a MATLAB file", "save the array as TIFF or NPY"),
    (0, b"ZISRAWFILE", "a Zeiss CZI file", BIO),
    (0, b"\xda\xce\xbe\x0a", "a Nikon ND2 file", BIO),
    (0, b"\x70\0\0\0", "a Leica LIF file", BIO),
    (0, b"OLYMPUSRAWFORMAT", "an Olympus OIR file", BIO),
    (0, b"SIS\0", "an Olympus ETS file", BIO),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an OLE compound file (Olympus OIB, Zeiss ZVI)", BIO),
    (0, b"\0\0\0\x03", "a Gatan DM3 file", BIO),
    (0, b"\0\0\0\x04", "a Gatan DM4 file", BIO),
    (208, b"MAP ", "an MRC or CCP4 map", BIO),
    (0, b"SIMPLE  =", "a FITS file", TIFF),
    (0, b"NRRD000", "an NRRD file", TIFF),
    (0, b"ObjectType", "a MetaImage header (.mhd, .mha)", TIFF),
    (0, b"<svg", "an SVG drawing", OTHER),
    (0, b"%PDF", "a PDF document", "export its page as PNG or TIFF"),
    (0, b"%!PS", "a PostScript file", "export its page as PNG or TIFF"),
    (0, b"AT&TFORM", "a DjVu document", "export its page as PNG or TIFF"),
    (4, b"ftypavif", "an AVIF image", OTHER),
    (4, b"ftypavis", "an AVIF sequence", OTHER),
    (4, b"ftyphei", "a HEIC image", OTHER),
    (4, b"ftyphev", "a HEIC sequence", OTHER),
    (4, b"ftypmif1", "a HEIF image", OTHER),
    (4, b"ftypmsf1", "a HEIF sequence", OTHER),
    (4, b"ftypcrx ", "a Canon CR3 camera raw file", RAW),
    (4, b"ftypqt  ", "a QuickTime video", VIDEO),
    (4, b"ftyp", "an MP4 video", VIDEO),
    (0, b"\x1a\x45\xdf\xa3", "a Matroska or WebM video", VIDEO),
    (8, b"AVI ", "an AVI video", VIDEO),
    (0, b"\xff\x0a", "a JPEG XL image", OTHER),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL image", OTHER),
    (0, b"FUJIFILMCCD-RAW", "a Fujifilm camera raw file", RAW),
    (0, b"FOVb", "a Sigma camera raw file", RAW),
    (0, b"IIRO", "an Olympus camera raw file", RAW),
    (0, b"IIRS", "an Olympus camera raw file", RAW),
    (0, b"MMOR", "an Olympus camera raw file", RAW),
    (0, b"IIU\0", "a Panasonic camera raw file", RAW),
    (0, b"II\x1a\0\0\0HEAPCCDR", "a Canon CRW camera raw file", RAW),
    (0, b"II\xbc", "a JPEG XR image", OTHER),
    (0, b"8BPS", "a Photoshop file", OTHER),
    (0, b"gimp xcf", "a GIMP file", OTHER),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR image", OTHER),
    (0, b"#?RADIANCE", "a Radiance HDR image", OTHER),
    (0, b"#?RGBE", "a Radiance HDR image", OTHER),
    (0, b"qoif", "a QOI image", OTHER),
    (0, b"farbfeld", "a farbfeld image", OTHER),
    (0, b"DDS ", "a DirectDraw surface", OTHER),
    (0, b"icns", "an icon of macOS", OTHER),
    (0, b"\0\0\x01\0", "an icon of Windows", OTHER),
    (0, b"\x01\xda", "an SGI image", OTHER),
    (0, b"\x59\xa6\x6a\x95", "a Sun raster image", OTHER),
    (0, b"BPG\xfb", "a BPG image", OTHER),
    (0, b"FLIF", "a FLIF image", OTHER),
    (0, b"PF\n", "a PFM image", OTHER),
    (0, b"Pf\n", "a PFM image", OTHER),
    (0, b"\x8aMNG", "an MNG animation", OTHER),
    (0, b"\x8bJNG", "a JNG image", OTHER),
    (0, b"\x1f\x8b", "a gzip archive (perhaps NIfTI)", PACKED),
    (0, b"PK\x03\x04", "a zip archive (perhaps .npz)", PACKED),
    (0, b"BZh", "a bzip2 archive", PACKED),
    (0, b"\xfd7zXZ\0", "an xz archive", PACKED),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive", PACKED),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", PACKED),
    (0, b"Rar!\x1a\x07", "a RAR archive", PACKED),
    (257, b"ustar", "a tar archive", PACKED),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file", "run git lfs pull"),
    (0, b"SQLite format 3", "an SQLite database", OTHER),
    (0, b"PAR1", "a Parquet file", OTHER),
];

/// Names the format of a file by its first bytes, with advice on conversion.
pub(super) fn name(head: &[u8]) -> Option<String> {
    let found = FORMATS.iter().find(|(at, magic, ..)| head.get(*at..).is_some_and(|h| h.starts_with(magic)));
    // Leica's magic bytes are mostly zero: check one more.
    let found = found.filter(|(_, magic, ..)| *magic != b"\x70\0\0\0" || head.get(8) == Some(&0x2a));
    if let Some((_, _, what, hint)) = found {
        return Some(format!("is {what}, which is not supported; {hint}"));
    }
    let text = String::from_utf8_lossy(head).trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
    if text.starts_with("<!doctype html") || text.starts_with("<html") {
        return Some("is a web page, not an image: perhaps a download that failed".into());
    }
    if text.starts_with("<?xml") || text.starts_with("<!--") || text.starts_with("<!doctype svg") {
        let what = if text.contains("<svg") { "an SVG drawing" } else { "an XML file" };
        return Some(format!("is {what}, which is not supported; {OTHER}"));
    }
    None
}

/// What kind of folder was given instead of a file.
pub(super) fn folder(path: &Path) -> &'static str {
    let holds = |name: &str| path.join(name).exists();
    if holds(".zarray") || holds(".zgroup") || holds(".zattrs") || holds("zarr.json") {
        return "is a Zarr folder, which is not supported; save the array as TIFF or NPY";
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
        let at = |place: usize, magic: &[u8]| [vec![0x20; place], magic.to_vec(), vec![0; 600]].concat();
        for (place, magic, what) in [
            (128, &b"DICM"[..], "a DICOM file"),
            (344, b"n+1\0", "a NIfTI file"),
            (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
            (0, b"ZISRAWFILE", "a Zeiss CZI file"),
            (0, b"\xda\xce\xbe\x0a", "a Nikon ND2 file"),
            (4, b"ftypheic", "a HEIC image"),
            (4, b"ftypavif", "an AVIF image"),
            (4, b"ftypisom", "an MP4 video"),
            (0, b"%PDF-1.7", "a PDF document"),
            (0, b"<?xml version='1.0'?><svg>", "an SVG drawing"),
            (0, b"\xff\x0a", "a JPEG XL image"),
            (0, b"version https://git-lfs.github.com/spec/v1\n", "run git lfs pull"),
        ] {
            let name = name(&at(place, magic)).unwrap();
            assert!(name.contains(what), "{name}");
        }
        let lif = [b"\x70\0\0\0\x18\x02\0\0\x2a".to_vec(), vec![0; 500]].concat();
        assert!(name(&lif).unwrap().contains("Leica LIF"));
        assert_eq!(name(&[b"\x70\0\0\0".to_vec(), vec![0; 500]].concat()), None);
        assert_eq!(name(b"hello"), None);
    }

    #[test]
    fn zarr_folders_are_named() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(folder(dir.path()), "is a folder");
        std::fs::write(dir.path().join("zarr.json"), "{}").unwrap();
        assert!(folder(dir.path()).starts_with("is a Zarr folder"));
    }
}
