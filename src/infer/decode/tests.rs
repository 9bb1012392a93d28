use std::path::PathBuf;

use ::image::{ExtendedColorType, ImageEncoder};
use ::tiff::encoder::{Compression, TiffEncoder, colortype};
use proptest::prelude::*;

use super::*;
use crate::infer::LabelMap;
use crate::infer::channel_kind::Alpha;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn file(&self, bytes: &[u8]) -> PathBuf {
        // The name gives no hint, or a wrong one.
        let path = self.0.path().join("picture.xyz");
        std::fs::write(&path, bytes).unwrap();
        path
    }
    fn open(&self, bytes: &[u8]) -> Result<Image> {
        Image::open(self.file(bytes))
    }
    fn fails(&self, bytes: &[u8], with: &str) {
        let text = self.open(bytes).unwrap_err().to_string();
        assert!(text.contains("picture.xyz: ") && text.contains(with) && !text.contains('\n'), "{text}");
    }
}

fn png(width: u32, height: u32, color: png::ColorType, depth: png::BitDepth, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width, height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if color == png::ColorType::Indexed {
        encoder.set_palette(vec![1, 2, 3, 40, 50, 60]);
        encoder.set_trns(vec![0, 128]);
    }
    encoder.write_header().unwrap().write_image_data(data).unwrap();
    out
}

fn jpeg(width: u32, height: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let data: Vec<u8> = (0..width * height).map(|i| (i * 7 % 200) as u8).collect();
    ::image::codecs::jpeg::JpegEncoder::new(&mut out).write_image(&data, width, height, ExtendedColorType::L8).unwrap();
    out
}

fn tiff_of<C: colortype::ColorType>(compression: Compression, data: &[C::Inner]) -> Vec<u8>
where
    C::Inner: Copy,
    [C::Inner]: ::tiff::encoder::TiffValue,
{
    let mut out = std::io::Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut out).unwrap().with_compression(compression);
    encoder.write_image::<C>(2, 2, data).unwrap();
    encoder.write_image::<C>(2, 2, &data.iter().rev().copied().collect::<Vec<_>>()).unwrap();
    out.into_inner()
}

/// A little-endian TIFF from its tags (SHORT values) and the data that tags 273 or 324 point to, chunk by chunk.
pub(super) fn raw_tiff(tags: &[(u16, Vec<u16>)], tiled: bool, chunks: &[&[u8]]) -> Vec<u8> {
    let mut out = b"II*\0\0\0\0\0".to_vec();
    let place = |out: &mut Vec<u8>, bytes: &[u8]| {
        let at = out.len() as u32;
        out.extend(bytes);
        at
    };
    let offsets: Vec<u32> = chunks.iter().map(|c| place(&mut out, c)).collect();
    let lengths = chunks.iter().map(|c| c.len() as u32).collect();
    let mut entries: Vec<(u16, u16, u32, Vec<u8>)> = Vec::new();
    for (tag, values) in tags {
        entries.push((*tag, 3, values.len() as u32, values.iter().flat_map(|v| v.to_le_bytes()).collect()));
    }
    for (tag, values) in if tiled { [(324, offsets), (325, lengths)] } else { [(273, offsets), (279, lengths)] } {
        entries.push((tag, 4, values.len() as u32, values.iter().flat_map(|v: &u32| v.to_le_bytes()).collect()));
    }
    entries.sort();
    let mut directory = (entries.len() as u16).to_le_bytes().to_vec();
    for (tag, kind, count, mut bytes) in entries {
        if bytes.len() > 4 {
            bytes = place(&mut out, &bytes).to_le_bytes().to_vec();
        }
        bytes.resize(4, 0);
        directory.extend(tag.to_le_bytes().iter().chain(&kind.to_le_bytes()).chain(&count.to_le_bytes()).chain(&bytes));
    }
    directory.extend([0; 4]);
    let at = place(&mut out, &directory);
    out[4..8].copy_from_slice(&at.to_le_bytes());
    out
}

pub(super) fn base(width: u16, height: u16, bits: u16, samples: u16, photometric: u16) -> Vec<(u16, Vec<u16>)> {
    let (bits, samples_tag) = (vec![bits; usize::from(samples)], vec![samples]);
    vec![
        (256, vec![width]),
        (257, vec![height]),
        (258, bits),
        (259, vec![1]),
        (262, vec![photometric]),
        (277, samples_tag),
    ]
}

fn image(width: usize, height: usize, channels: usize, pixels: Pixels) -> Image {
    Image::new(width, height, channels, pixels).unwrap()
}

/// The expected image after dropping this alpha channel.
fn without_alpha(image: Image, alpha: usize) -> Image {
    let kind = ChannelKind { alpha: Alpha::LeftOut(alpha), ..image.kind() };
    image.with_kind(kind)
}

#[test]
fn png_of_every_kind() {
    use png::{BitDepth as D, ColorType as C};
    let f = Folder::new();
    let open = |c, d, data: &[u8]| f.open(&png(2, 1, c, d, data)).unwrap();
    assert_eq!(open(C::Grayscale, D::Eight, &[3, 200]), image(2, 1, 1, Pixels::U8(vec![3, 200])));
    assert_eq!(open(C::Grayscale, D::One, &[0b0100_0000]), image(2, 1, 1, Pixels::U8(vec![0, 255])));
    assert_eq!(open(C::Grayscale, D::Sixteen, &[1, 2, 3, 4]), image(2, 1, 1, Pixels::U16(vec![258, 772])));
    let grey = image(2, 1, 1, Pixels::U8(vec![3, 200]));
    assert_eq!(open(C::GrayscaleAlpha, D::Eight, &[3, 0, 200, 9]), without_alpha(grey, 1));
    assert_eq!(open(C::Rgb, D::Eight, &[1, 2, 3, 4, 5, 6]), image(2, 1, 3, Pixels::U8(vec![1, 2, 3, 4, 5, 6])));
    assert_eq!(
        open(C::Rgba, D::Eight, &[1, 2, 3, 0, 4, 5, 6, 9]),
        without_alpha(image(2, 1, 3, Pixels::U8(vec![1, 2, 3, 4, 5, 6])), 3)
    );
    let rgba = [0, 1, 0, 2, 0, 3, 9, 9, 1, 0, 2, 0, 3, 0, 9, 9];
    let colours = image(2, 1, 3, Pixels::U16(vec![1, 2, 3, 256, 512, 768]));
    assert_eq!(open(C::Rgba, D::Sixteen, &rgba), without_alpha(colours, 3));
    let colours = image(2, 1, 3, Pixels::U8(vec![1, 2, 3, 40, 50, 60]));
    assert_eq!(open(C::Indexed, D::One, &[0b0100_0000]), without_alpha(colours, 3));
}

#[test]
fn jpeg_and_its_truncation() {
    let f = Folder::new();
    let bytes = jpeg(40, 24);
    let p = f.open(&bytes).unwrap();
    assert_eq!((p.width(), p.height(), p.channels()), (40, 24, 1));
    for cut in [4, 100, bytes.len() / 2, bytes.len() - 2, bytes.len() - 1] {
        f.fails(&bytes[..cut], "truncated");
    }
    assert!(f.open(&[&bytes[..], b"trailing"].concat()).is_ok());
}

#[test]
fn tiff_of_every_kind() {
    let f = Folder::new();
    for c in
        [Compression::Uncompressed, Compression::Lzw, Compression::Deflate(Default::default()), Compression::Packbits]
    {
        let open = |bytes: Vec<u8>| f.open(&bytes).unwrap();
        let grey = tiff_of::<colortype::Gray8>(c, &[1, 2, 3, 4]);
        assert_eq!(open(grey), image(2, 2, 1, Pixels::U8(vec![1, 2, 3, 4])));
        let grey = tiff_of::<colortype::Gray16>(c, &[1, 2, 3, 65535]);
        assert_eq!(open(grey), image(2, 2, 1, Pixels::U16(vec![1, 2, 3, 65535])));
        let grey = tiff_of::<colortype::Gray32Float>(c, &[1.5, -2.0, 3.0, 4.0]);
        assert_eq!(open(grey), image(2, 2, 1, Pixels::F32(vec![1.5, -2.0, 3.0, 4.0])));
        let rgb: Vec<u16> = (0..12).collect();
        assert_eq!(open(tiff_of::<colortype::RGB16>(c, &rgb)), image(2, 2, 3, Pixels::U16(rgb)));
        let rgba: Vec<u8> = (0..16).collect();
        // This encoder does not mark the fourth sample as alpha.
        let four = image(2, 2, 4, Pixels::U8(rgba.clone())).with_kind(ChannelKind::RGB);
        assert_eq!(open(tiff_of::<colortype::RGBA8>(c, &rgba)), four);
    }
    let float: Vec<f32> = (0..12).map(|i| i as f32).collect();
    let bytes = tiff_of::<colortype::RGB32Float>(Compression::Uncompressed, &float);
    assert_eq!(f.open(&bytes).unwrap(), image(2, 2, 3, Pixels::F32(float)));
}

#[test]
fn tiff_planes_tiles_and_bits() {
    let f = Folder::new();
    let mut planar = base(2, 2, 8, 3, 2);
    planar.extend([(278, vec![1]), (284, vec![2])]);
    let strips: [&[u8]; 6] = [&[1, 2], &[3, 4], &[11, 12], &[13, 14], &[21, 22], &[23, 24]];
    let expected = vec![1, 11, 21, 2, 12, 22, 3, 13, 23, 4, 14, 24];
    assert_eq!(f.open(&raw_tiff(&planar, false, &strips)).unwrap(), image(2, 2, 3, Pixels::U8(expected)));

    let mut tiled = base(20, 17, 16, 1, 1);
    tiled.extend([(322, vec![16]), (323, vec![16])]);
    let tile = |x0: u16, y0: u16| -> Vec<u8> {
        (0..256).flat_map(|i| ((y0 + i / 16) * 100 + x0 + i % 16).to_le_bytes()).collect()
    };
    let tiles = [tile(0, 0), tile(16, 0), tile(0, 16), tile(16, 16)];
    let bytes = raw_tiff(&tiled, true, &tiles.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let expected = (0..340).map(|i| i / 20 * 100 + i % 20).collect();
    assert_eq!(f.open(&bytes).unwrap(), image(20, 17, 1, Pixels::U16(expected)));

    let bits = raw_tiff(&base(10, 2, 1, 1, 1), false, &[&[0b1010_0000, 0b0100_0000, 0, 0b1000_0000]]);
    let expected = vec![255, 0, 255, 0, 0, 0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 0, 0, 255, 0];
    assert_eq!(f.open(&bits).unwrap(), image(10, 2, 1, Pixels::U8(expected)));
    let four = raw_tiff(&base(3, 1, 4, 1, 1), false, &[&[0x0f, 0x10]]);
    assert_eq!(f.open(&four).unwrap(), image(3, 1, 1, Pixels::U8(vec![0, 255, 17])));
    // White is zero: values are inverted.
    assert_eq!(
        f.open(&raw_tiff(&base(2, 1, 8, 1, 0), false, &[&[0, 250]])).unwrap().pixels(),
        &Pixels::U8(vec![255, 5])
    );
    let mut alpha = base(2, 1, 8, 2, 1);
    alpha.push((338, vec![2]));
    let grey = without_alpha(image(2, 1, 1, Pixels::U8(vec![1, 3])), 1);
    assert_eq!(f.open(&raw_tiff(&alpha, false, &[&[1, 2, 3, 4]])).unwrap(), grey);
    // Five plain channels, as microscopes write them.
    let five = raw_tiff(&base(1, 1, 8, 5, 1), false, &[&[1, 2, 3, 4, 5]]);
    assert_eq!(f.open(&five).unwrap(), image(1, 1, 5, Pixels::U8(vec![1, 2, 3, 4, 5])));
}

#[test]
fn unsupported_files_are_named() {
    let f = Folder::new();
    f.fails(&tiff_of::<colortype::CMYK8>(Compression::Uncompressed, &[0; 16]), "CMYK");
    f.fails(&raw_tiff(&base(2, 1, 33, 1, 1), false, &[&[0; 9]]), "33-bit samples are not supported");
    f.fails(&raw_tiff(&base(2, 1, 8, 1, 3), false, &[&[0; 2]]), "its palette is missing");
}

#[test]
fn non_images_are_named() {
    let f = Folder::new();
    f.fails(b"", "the file is empty");
    f.fails(b"P", "not an image in a known format (PNG, JPEG, WebP, BMP, GIF, PNM, JPEG 2000, TIFF or NPY)");
    f.fails(b"hello, this is a text", "PNG, JPEG, WebP");
    let missing = f.0.path().join("nowhere.png");
    assert!(Image::open(&missing).unwrap_err().to_string().contains("nowhere.png: No such file"));
    assert!(Image::open(f.0.path()).unwrap_err().to_string().ends_with("is a folder"));
}

#[test]
fn truncated_files_are_errors() {
    let f = Folder::new();
    let data: Vec<u8> = (0..64 * 64).map(|i: u32| (i.wrapping_mul(2654435761) >> 13) as u8).collect();
    let bytes = png(64, 64, png::ColorType::Grayscale, png::BitDepth::Eight, &data);
    for cut in [8, 20, 40, 200, bytes.len() - 30] {
        f.fails(&bytes[..cut], "");
    }
    f.fails(&bytes[..200], "truncated");
    let bytes = tiff_of::<colortype::Gray16>(Compression::Uncompressed, &[1, 2, 3, 4]);
    for cut in 4..bytes.len() - 60 {
        let path = f.file(&bytes[..cut]);
        // The first page may precede the cut; it must then be correct.
        if let Ok(p) = Image::open(path) {
            assert_eq!(p.pixels(), &Pixels::U16(vec![1, 2, 3, 4]));
        }
    }
    f.fails(&raw_tiff(&base(40, 40, 8, 1, 1), false, &[&[0; 9]]), "truncated");
}

#[test]
fn absurd_dimensions_allocate_nothing() {
    let f = Folder::new();
    let mut bytes = png(1, 1, png::ColorType::Grayscale, png::BitDepth::Eight, &[0]);
    let patch = |bytes: &mut Vec<u8>, w: u32, h: u32| {
        bytes[16..20].copy_from_slice(&w.to_be_bytes());
        bytes[20..24].copy_from_slice(&h.to_be_bytes());
        let mut crc = flate2::Crc::new();
        crc.update(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    };
    patch(&mut bytes, 60000, 60000);
    f.fails(&bytes, "60000x60000 pixels cannot come from");
    patch(&mut bytes, 0x7fff_ffff, 0x7fff_ffff);
    f.fails(&bytes, "");
    patch(&mut bytes, 0, 7);
    f.fails(&bytes, "");
    f.fails(&raw_tiff(&base(65535, 65535, 8, 1, 1), false, &[&[0; 9]]), "cannot come from");
    f.fails(&raw_tiff(&base(0, 5, 8, 1, 1), false, &[&[0; 9]]), "");
    let path = f.file(&png(3, 3, png::ColorType::Grayscale, png::BitDepth::Eight, &[0; 9]));
    assert!(Image::open_limited(&path, 8).unwrap_err().to_string().contains("over the limit of 8 pixels"));
    assert!(Image::open_limited(&path, 9).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// A damaged file is either read or refused.
    #[test]
    fn damaged_files_never_panic(which in 0usize..6, cut in 0.0..1.3, hits in prop::collection::vec((0.0..1.0, any::<u8>()), 0..4)) {
        let f = Folder::new();
        let mut planar = base(2, 2, 8, 3, 2);
        planar.extend([(278, vec![1]), (284, vec![2])]);
        let mut bytes = match which {
            0 => png(2, 2, png::ColorType::Indexed, png::BitDepth::One, &[64, 0]),
            1 => jpeg(20, 20),
            2 => tiff_of::<colortype::RGBA8>(Compression::Lzw, &[5; 16]),
            3 => raw_tiff(&planar, false, &[&[1, 2], &[3, 4], &[11, 12], &[13, 14], &[21, 22], &[23, 24]]),
            4 => tiff_of::<colortype::Gray32Float>(Compression::Deflate(Default::default()), &[5.0; 4]),
            _ => raw_tiff(&base(10, 2, 1, 1, 1), false, &[&[0; 4]]),
        };
        for (at, value) in hits {
            let at = (at * bytes.len() as f64) as usize;
            bytes[at] = value;
        }
        bytes.truncate((cut * bytes.len() as f64) as usize);
        if let Err(e) = f.open(&bytes) {
            prop_assert!(!e.to_string().contains('\n'));
        }
    }
}

#[test]
fn files_bytes_and_readers_give_the_same() {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    let folders = ["fixtures/images", "fixtures/labels", "fixtures/layouts", "fixtures/calibration", "images"];
    let mut read = 0;
    for entry in folders.iter().flat_map(|f| std::fs::read_dir(assets.join(f)).unwrap()) {
        let path = entry.unwrap().path();
        if !path.is_file() {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let inputs = || [Input::bytes(&path, &bytes[..]), Input::reader(&path, std::io::Cursor::new(bytes.clone()))];
        fn same<T: PartialEq + std::fmt::Debug>(path: Input, inputs: [Input; 2], read: impl Fn(Input) -> Result<T>) {
            let [expected, actual @ ..] = [path]
                .into_iter()
                .chain(inputs)
                .map(|i| read(i).map_err(|e| e.to_string()))
                .collect::<Vec<_>>()
                .try_into()
                .map(|all: [_; 3]| all)
                .unwrap();
            assert!(actual.iter().all(|g| *g == expected));
        }
        same((&path).into(), inputs(), Image::open);
        same((&path).into(), inputs(), LabelMap::open);
        same((&path).into(), inputs(), describe_image);
        same((&path).into(), inputs(), crate::infer::page_count);
        same((&path).into(), inputs(), |i| calibration(&i, [0, 0], None, true));
        same((&path).into(), inputs(), |i| orientation_of(&i));
        read += usize::from(Image::from_bytes(&bytes).is_ok());
        assert_eq!(Image::from_bytes(&bytes).ok(), Image::from_reader(std::io::Cursor::new(bytes)).ok());
    }
    assert!(read > 60, "{read} images were read");
}
