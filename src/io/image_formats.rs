//! The one table of image formats: names, extensions and first bytes, of those that are read and of those that are not.

use std::path::Path;

/// A file format that images come in, or that users take for one.
#[derive(Clone, Copy, Debug)]
pub struct ImageFormat {
    /// Name.
    pub name: &'static str,
    /// The name with its article, as in "is a DICOM file".
    pub what: &'static str,
    /// Extensions in lower case, without the dot; none if they say nothing.
    pub extensions: &'static [&'static str],
    /// First bytes; none if the content does not show the format.
    pub signatures: &'static [Signature],
    /// Whether and how files are read.
    pub support: Support,
}

/// First bytes that identify a format.
#[derive(Clone, Copy, Debug)]
pub enum Signature {
    /// These bytes at this offset.
    At(usize, &'static [u8]),
    /// Bytes that are not next to each other, or of which some may vary.
    Pattern(fn(&[u8]) -> bool),
}

/// Whether and how files of a format are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// By this decoder.
    Read(Decoder),
    /// Not at all; what the user can do.
    Refused(&'static str),
}

/// What reads a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it all")]
pub enum Decoder {
    Png,
    Jpeg,
    WebP,
    Bmp,
    Gif,
    Pnm,
    Jpeg2000,
    Tiff,
    Npy,
    Zarr,
}

/// First bytes of a Git LFS pointer.
pub(crate) const LFS_POINTER: &[u8] = b"version https://git-lfs";

/// Bytes at the beginning of a file that hold every signature.
pub const HEAD: u64 = 512;

const TIFF: &str = "export it as TIFF";
const OTHER: &str = "save it as PNG or TIFF";
const BIO: &str = "export it as OME-TIFF, for example with Fiji's Bio-Formats or bfconvert";
const PACKED: &str = "unpack it";
const RAW: &str = "develop it to TIFF";
const VIDEO: &str = "save its frames as images";
const SLICES: &str = "save its slices as TIFF";
const PAGE: &str = "export its page as PNG or TIFF";
const VARIABLE: &str = "save the variable as TIFF or NPY";

use Decoder::*;
use Signature::{At, Pattern};

/// All formats. Those that are read come first; of several signatures that match, the first counts.
#[rustfmt::skip]
const FORMATS: &[ImageFormat] = &[
    read(Png, "PNG", "a PNG image", &["png"], &[At(0, b"\x89PNG")]),
    read(Jpeg, "JPEG", "a JPEG image", &["jpg", "jpeg"], &[At(0, b"\xff\xd8\xff")]),
    read(Tiff, "TIFF", "a TIFF image", &["tif", "tiff", "svs", "qptiff", "lsm", "stk", "scn"], &[At(0, b"II*\0"), At(0, b"MM\0*")]),
    read(Tiff, "BigTIFF", "a BigTIFF image", &["btf", "tf8"], &[At(0, b"II+\0"), At(0, b"MM\0+")]),
    read(WebP, "WebP", "a WebP image", &["webp"], &[Pattern(|h| h.starts_with(b"RIFF") && h.get(8..12) == Some(b"WEBP"))]),
    read(Bmp, "BMP", "a BMP image", &["bmp"], &[At(0, b"BM")]),
    read(Npy, "NPY", "a NumPy array (.npy)", &["npy"], &[At(0, b"\x93NUMPY")]),
    read(Gif, "GIF", "a GIF image", &["gif"], &[At(0, b"GIF8")]),
    read(Pnm, "PNM", "a PNM image", &["pbm", "pgm", "ppm", "pnm"], &[Pattern(|h| matches!(h, [b'P', b'1'..=b'7', b' ' | b'\t' | b'\r' | b'\n' | b'#', ..]))]),
    read(Jpeg2000, "JPEG 2000", "a JPEG 2000 image", &["jp2", "j2k"], &[At(0, b"\0\0\0\x0cjP  "), At(0, b"\xff\x4f\xff\x51")]),

    // A folder, which has no first bytes.
    #[cfg(feature = "ome-zarr")]
    read(Zarr, "OME-Zarr", "an OME-Zarr image", &["zarr"], &[]),

    refused("DICOM", "a DICOM file", &["dcm", "dicom"], &[At(128, b"DICM")], TIFF),
    refused("NIfTI", "a NIfTI file", &["nii", "nii.gz"], &[At(344, b"n+1\0")], SLICES),
    refused("NIfTI header", "a NIfTI header", &[], &[At(344, b"ni1\0")], SLICES),
    refused("NIfTI-2", "a NIfTI-2 file", &[], &[At(4, b"n+2\0\r\n\x1a\n")], SLICES),
    refused("NIfTI-2 header", "a NIfTI-2 header", &[], &[At(4, b"ni2\0\r\n\x1a\n")], SLICES),
    refused("Analyze or ENVI", "an Analyze or ENVI header", &["hdr"], &[], SLICES),
    refused("HDF5", "an HDF5 file (also Imaris .ims, BigDataViewer, ilastik)", &["h5", "hdf5"], &[At(0, b"\x89HDF\r\n\x1a\n")], "save the data set as TIFF or NPY"),
    refused("Imaris", "an Imaris file", &["ims"], &[], BIO),
    refused("netCDF", "a netCDF file", &[], &[At(0, b"CDF\x01"), At(0, b"CDF\x02")], VARIABLE),
    refused("MATLAB", "a MATLAB file", &[], &[At(0, b"MATLAB 5.0")], "save the array as TIFF or NPY"),
    refused("Zeiss CZI", "a Zeiss CZI file", &["czi"], &[At(0, b"ZISRAWFILE")], BIO),
    refused("Nikon ND2", "a Nikon ND2 file", &["nd2"], &[At(0, b"\xda\xce\xbe\x0a")], BIO),
    // The first four bytes are mostly zero, so one more is compared.
    refused("Leica LIF", "a Leica LIF file", &["lif"], &[Pattern(|h| h.starts_with(b"\x70\0\0\0") && h.get(8) == Some(&0x2a))], BIO),
    refused("Olympus OIR", "an Olympus OIR file", &["oir"], &[At(0, b"OLYMPUSRAWFORMAT")], BIO),
    refused("Olympus OIF", "an Olympus OIF file", &["oif"], &[], BIO),
    refused("Olympus VSI", "an Olympus VSI file", &["vsi"], &[], BIO),
    refused("Olympus ETS", "an Olympus ETS file", &[], &[At(0, b"SIS\0")], BIO),
    refused("Olympus OIB", "an OLE compound file (Olympus OIB, Zeiss ZVI)", &["oib"], &[At(0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")], BIO),
    refused("MIRAX", "a MIRAX file", &["mrxs"], &[], BIO),
    refused("Gatan DM3", "a Gatan DM3 file", &[], &[At(0, b"\0\0\0\x03")], BIO),
    refused("Gatan DM4", "a Gatan DM4 file", &[], &[At(0, b"\0\0\0\x04")], BIO),
    refused("MRC", "an MRC or CCP4 map", &["mrc"], &[At(208, b"MAP ")], BIO),
    refused("FITS", "a FITS file", &[], &[At(0, b"SIMPLE  =")], TIFF),
    refused("NRRD", "an NRRD file", &["nrrd"], &[At(0, b"NRRD000")], TIFF),
    refused("MetaImage", "a MetaImage header (.mhd, .mha)", &["mha", "mhd"], &[At(0, b"ObjectType")], TIFF),
    refused("SVG", "an SVG drawing", &[], &[At(0, b"<svg")], OTHER),
    refused("PDF", "a PDF document", &[], &[At(0, b"%PDF")], PAGE),
    refused("PostScript", "a PostScript file", &[], &[At(0, b"%!PS")], PAGE),
    refused("DjVu", "a DjVu document", &[], &[At(0, b"AT&TFORM")], PAGE),
    refused("AVIF", "an AVIF image", &["avif"], &[At(4, b"ftypavif")], OTHER),
    refused("AVIF", "an AVIF sequence", &[], &[At(4, b"ftypavis")], OTHER),
    refused("HEIC", "a HEIC image", &["heic", "heif"], &[At(4, b"ftyphei")], OTHER),
    refused("HEIC", "a HEIC sequence", &[], &[At(4, b"ftyphev")], OTHER),
    refused("HEIF", "a HEIF image", &[], &[At(4, b"ftypmif1")], OTHER),
    refused("HEIF", "a HEIF sequence", &[], &[At(4, b"ftypmsf1")], OTHER),
    refused("Canon CR3", "a Canon CR3 camera raw file", &[], &[At(4, b"ftypcrx ")], RAW),
    refused("QuickTime", "a QuickTime video", &[], &[At(4, b"ftypqt  ")], VIDEO),
    refused("MP4", "an MP4 video", &[], &[At(4, b"ftyp")], VIDEO),
    refused("Matroska", "a Matroska or WebM video", &[], &[At(0, b"\x1a\x45\xdf\xa3")], VIDEO),
    refused("AVI", "an AVI video", &[], &[At(8, b"AVI ")], VIDEO),
    refused("JPEG XL", "a JPEG XL image", &["jxl"], &[At(0, b"\xff\x0a"), At(0, b"\0\0\0\x0cJXL ")], OTHER),
    refused("Fujifilm RAF", "a Fujifilm camera raw file", &[], &[At(0, b"FUJIFILMCCD-RAW")], RAW),
    refused("Sigma X3F", "a Sigma camera raw file", &[], &[At(0, b"FOVb")], RAW),
    refused("Olympus ORF", "an Olympus camera raw file", &[], &[At(0, b"IIRO"), At(0, b"IIRS"), At(0, b"MMOR")], RAW),
    refused("Panasonic RW2", "a Panasonic camera raw file", &[], &[At(0, b"IIU\0")], RAW),
    refused("Canon CRW", "a Canon CRW camera raw file", &[], &[At(0, b"II\x1a\0\0\0HEAPCCDR")], RAW),
    refused("JPEG XR", "a JPEG XR image", &[], &[At(0, b"II\xbc")], OTHER),
    refused("Photoshop", "a Photoshop file", &["psd"], &[At(0, b"8BPS")], OTHER),
    refused("GIMP", "a GIMP file", &[], &[At(0, b"gimp xcf")], OTHER),
    refused("OpenEXR", "an OpenEXR image", &["exr"], &[At(0, b"\x76\x2f\x31\x01")], OTHER),
    refused("Radiance HDR", "a Radiance HDR image", &[], &[At(0, b"#?RADIANCE"), At(0, b"#?RGBE")], OTHER),
    refused("QOI", "a QOI image", &[], &[At(0, b"qoif")], OTHER),
    refused("farbfeld", "a farbfeld image", &[], &[At(0, b"farbfeld")], OTHER),
    refused("DDS", "a DirectDraw surface", &[], &[At(0, b"DDS ")], OTHER),
    refused("ICNS", "an icon of macOS", &[], &[At(0, b"icns")], OTHER),
    refused("ICO", "an icon of Windows", &[], &[At(0, b"\0\0\x01\0")], OTHER),
    refused("SGI", "an SGI image", &[], &[At(0, b"\x01\xda")], OTHER),
    refused("Sun raster", "a Sun raster image", &[], &[At(0, b"\x59\xa6\x6a\x95")], OTHER),
    refused("BPG", "a BPG image", &[], &[At(0, b"BPG\xfb")], OTHER),
    refused("FLIF", "a FLIF image", &[], &[At(0, b"FLIF")], OTHER),
    refused("PFM", "a PFM image", &[], &[At(0, b"PF\n"), At(0, b"Pf\n")], OTHER),
    refused("MNG", "an MNG animation", &[], &[At(0, b"\x8aMNG")], OTHER),
    refused("JNG", "a JNG image", &[], &[At(0, b"\x8bJNG")], OTHER),
    refused("gzip", "a gzip archive (perhaps NIfTI)", &[], &[At(0, b"\x1f\x8b")], PACKED),
    refused("NPZ", "a zip archive (perhaps .npz)", &["npz"], &[At(0, b"PK\x03\x04")], PACKED),
    refused("bzip2", "a bzip2 archive", &[], &[At(0, b"BZh")], PACKED),
    refused("xz", "an xz archive", &[], &[At(0, b"\xfd7zXZ\0")], PACKED),
    refused("Zstandard", "a Zstandard archive", &[], &[At(0, b"\x28\xb5\x2f\xfd")], PACKED),
    refused("7-Zip", "a 7-Zip archive", &[], &[At(0, b"7z\xbc\xaf\x27\x1c")], PACKED),
    refused("RAR", "a RAR archive", &[], &[At(0, b"Rar!\x1a\x07")], PACKED),
    refused("tar", "a tar archive", &[], &[At(257, b"ustar")], PACKED),
    refused("Git LFS pointer", "a Git LFS pointer, not the file", &[], &[At(0, LFS_POINTER)], "run git lfs pull"),
    refused("SQLite", "an SQLite database", &[], &[At(0, b"SQLite format 3")], OTHER),
    refused("Parquet", "a Parquet file", &[], &[At(0, b"PAR1")], OTHER),
];

const fn read(
    decoder: Decoder,
    name: &'static str,
    what: &'static str,
    extensions: &'static [&'static str],
    signatures: &'static [Signature],
) -> ImageFormat {
    ImageFormat { name, what, extensions, signatures, support: Support::Read(decoder) }
}

const fn refused(
    name: &'static str,
    what: &'static str,
    extensions: &'static [&'static str],
    signatures: &'static [Signature],
    advice: &'static str,
) -> ImageFormat {
    ImageFormat { name, what, extensions, signatures, support: Support::Refused(advice) }
}

impl Signature {
    fn matches(self, head: &[u8]) -> bool {
        match self {
            At(offset, magic) => head.get(offset..).is_some_and(|h| h.starts_with(magic)),
            Pattern(is) => is(head),
        }
    }
}

impl ImageFormat {
    /// The format of a file by its first bytes, of which [`HEAD`] suffice.
    pub fn of_head(head: &[u8]) -> Option<&'static Self> {
        FORMATS.iter().find(|f| f.signatures.iter().any(|s| s.matches(head)))
    }

    /// The format that a file's name promises.
    pub fn of_name(path: &Path) -> Option<&'static Self> {
        let name = path.file_name()?.to_string_lossy().to_lowercase();
        let ends = |extension: &&str| name.strip_suffix(extension).is_some_and(|stem| stem.ends_with('.'));
        FORMATS.iter().find(|f| f.extensions.iter().any(ends))
    }

    /// What reads it; `None` if nothing does.
    pub fn decoder(&self) -> Option<Decoder> {
        match self.support {
            Support::Read(decoder) => Some(decoder),
            Support::Refused(_) => None,
        }
    }
}

impl Decoder {
    /// The decoder of a file by its first bytes.
    pub fn of_head(head: &[u8]) -> Option<Self> {
        ImageFormat::of_head(head)?.decoder()
    }
}

/// Extensions of the formats that are read.
pub fn readable_extensions() -> impl Iterator<Item = &'static str> {
    FORMATS.iter().filter(|f| f.decoder().is_some()).flat_map(|f| f.extensions).copied()
}

/// Names of the formats of files that are read, in a sentence.
pub const READABLE: &str = "PNG, JPEG, WebP, BMP, GIF, PNM, JPEG 2000, TIFF or NPY";

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_row_can_be_found() {
        let mut seen = BTreeSet::new();
        for format in FORMATS {
            assert!(!(format.extensions.is_empty() && format.signatures.is_empty()), "{}", format.name);
            for extension in format.extensions {
                assert!(seen.insert(*extension), "{extension} stands in two rows");
                let found = ImageFormat::of_name(Path::new(&format!("x.{}", extension.to_uppercase())));
                assert_eq!(found.map(|f| f.what), Some(format.what));
            }
            for signature in format.signatures {
                let At(offset, magic) = signature else { continue };
                let file = [vec![0x20; *offset], magic.to_vec(), vec![0; 600]].concat();
                assert_eq!(ImageFormat::of_head(&file[..HEAD as usize]).map(|f| f.what), Some(format.what));
            }
        }
        assert_eq!(ImageFormat::of_head(b"hello").map(|f| f.name), None);
        assert_eq!(ImageFormat::of_name(Path::new("png")).map(|f| f.name), None);
    }

    #[test]
    fn bytes_that_vary_are_compared() {
        let name = |head: &[u8]| ImageFormat::of_head(head).map(|f| f.name);
        assert_eq!(name(b"RIFF\x10\0\0\0WEBPVP8 "), Some("WebP"));
        assert_eq!(name(b"RIFF\x10\0\0\0AVI LIST"), Some("AVI"));
        assert_eq!((name(b"P5 3 2 255\n"), name(b"P8 3 2"), name(b"P5")), (Some("PNM"), None, None));
        assert_eq!(name(b"\x70\0\0\0\x18\x02\0\0\x2a\0"), Some("Leica LIF"));
        assert_eq!(name(b"\x70\0\0\0\x18\x02\0\0\0\0"), None);
    }

    #[test]
    fn the_sentence_names_all_that_is_read() {
        let mut named: Vec<_> = READABLE.replace(" or ", ", ").split(", ").map(str::to_string).collect();
        let mut read: Vec<_> = FORMATS.iter().filter(|f| f.decoder().is_some()).map(|f| f.name).collect();
        read.retain(|n| !matches!(*n, "BigTIFF" | "OME-Zarr"));
        named.sort();
        read.sort();
        assert_eq!(named, read);
    }
}
