//! Files written by tifffile, libtiff and Pillow, with the pixels those read
//! (`scripts/check_tiff_layouts.py --fixtures`).

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::*;
use crate::infer::decode::tests::{base, raw_tiff};
use crate::infer::source::OpenOptions;
use crate::infer::{open_image, page_count};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/fixtures/images")
}

fn values(image: &Image) -> Vec<f64> {
    match image.pixels() {
        Pixels::U8(v) => v.iter().map(|&x| x.into()).collect(),
        Pixels::U16(v) => v.iter().map(|&x| x.into()).collect(),
        Pixels::F32(v) => v.iter().map(|&x| x.into()).collect(),
    }
}

/// Compares a file with the expected pixels in the `.npy` file of the same name.
fn check(path: &Path) {
    let expected = path.with_extension("npy");
    let expected = if expected.exists() { expected } else { PathBuf::from(format!("{}.npy", path.display())) };
    let (actual, expected) = (Image::open(path).unwrap(), Image::open(expected).unwrap());
    let size = |p: &Image| [p.width(), p.height(), p.channels()];
    assert_eq!(size(&actual), size(&expected), "{path:?}");
    assert_eq!(actual.pixels().sample(), expected.pixels().sample(), "{path:?}");
    // JPEG decoders may round differently; chroma amplifies that by up to 1.8.
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let max = if name.contains("jpeg_") { 4.0 } else { 0.0 };
    let difference = values(&actual).iter().zip(values(&expected)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(difference <= max, "{path:?}: {difference}");
}

#[test]
fn fixtures_are_read_as_by_other_programs() {
    let mut count = 0;
    for entry in std::fs::read_dir(folder()).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.extension().is_some_and(|e| e != "npy") {
            check(&path);
            count += 1;
        }
    }
    assert!(count >= 35, "{count} fixtures");
}

#[test]
fn windows_are_parts_of_the_whole() {
    for name in
        ["None_rgb16_planar_tiles", "lzw_predictor_rgb_nir", "jpeg_ycbcr_420_tiles", "packed_12_bits", "jpeg2000_rgb"]
    {
        let path = folder().join(format!("{name}.tif"));
        let whole = Image::open(&path).unwrap();
        let mut source = open_image(&path, &OpenOptions::default()).unwrap();
        for (x, y, w, h) in [(0, 0, 1, 1), (13, 5, 20, 14), (34, 20, 1, 1), (0, 15, 35, 2)] {
            assert_eq!(source.read(x, y, w, h).unwrap(), whole.part(x, y, w, h).unwrap(), "{name}");
        }
    }
}

#[test]
fn palettes_are_colours_or_show_values() {
    let open = |colour: fn(u16) -> [u16; 3], value: u8| {
        let mut tags = base(1, 1, 8, 1, 3);
        tags.push((320, (0..3).flat_map(|c| (0..256).map(move |i| colour(i)[c])).collect()));
        let (_dir, path) = temp(&raw_tiff(&tags, false, &[&[value]]));
        Image::open(path).unwrap().pixels().clone()
    };
    assert_eq!(open(|i| [i * 257; 3], 77), Pixels::U8(vec![77]));
    assert_eq!(open(|i| [(255 - i) * 257; 3], 77), Pixels::U8(vec![178]));
    // Green and fire are display colour maps; a cycle of hues is colours, with 16 bits if the palette has them.
    assert_eq!(open(|i| [0, i * 257, 0], 77), Pixels::U8(vec![77]));
    assert_eq!(open(|i| [(i * 2).min(255) * 257, i * 257, i.saturating_sub(128) * 514], 200), Pixels::U8(vec![200]));
    assert_eq!(open(|i| [i % 3 * 257, i % 5 * 257, i % 7 * 257], 11), Pixels::U8(vec![2, 1, 4]));
    assert_eq!(open(|i| [i % 3 * 1000, i % 5 * 1000, i % 7 * 1000], 11), Pixels::U16(vec![2000, 1000, 4000]));
}

fn temp(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tif");
    std::fs::write(&path, bytes).unwrap();
    (dir, path)
}

fn fails(tags: &[(u16, Vec<u16>)], with: &str) {
    let (_dir, path) = temp(&raw_tiff(tags, false, &[&[0; 64]]));
    let text = Image::open(path).unwrap_err().to_string();
    assert!(text.contains(with) && !text.contains("damaged"), "{text}");
}

#[test]
fn unsupported_features_are_named() {
    let with = |compression: u16| {
        let mut tags = base(4, 4, 8, 1, 1);
        tags.retain(|t| t.0 != 259);
        tags.push((259, vec![compression]));
        tags
    };
    for (compression, name) in [
        (2, "CCITT modified Huffman"),
        (6, "old-style JPEG"),
        (34887, "LERC"),
        (34925, "LZMA"),
        (50001, "WebP"),
        (50002, "JPEG XL"),
        (12345, "an unknown compression (12345)"),
    ] {
        fails(&with(compression), name);
    }
    for (photometric, name) in [
        (5, "CMYK"),
        (8, "L*a*b*"),
        (32803, "raw camera data"),
        (4, "transparency mask"),
        (77, "photometric interpretation 77"),
    ] {
        let samples = if photometric == 5 { 4 } else { 1 };
        fails(&base(2, 2, 8, samples, photometric), name);
    }
    let mut bits = base(2, 2, 8, 3, 2);
    bits.retain(|t| t.0 != 258);
    bits.push((258, vec![5, 6, 5]));
    fails(&bits, "samples of different bits (5, 6, 5)");
    let mut complex = base(2, 2, 64, 1, 1);
    complex.push((339, vec![6]));
    fails(&complex, "64-bit complex samples");
    let mut predicted = base(2, 2, 8, 1, 1);
    predicted.push((317, vec![2]));
    fails(&predicted, "on which readers disagree");
    let mut dng = base(2, 2, 8, 1, 1);
    dng.push((50706, vec![1, 4]));
    fails(&dng, "camera raw");
    let (_dir, path) = temp(&raw_tiff(&with(5), false, &[&[0, 1, 9, 9, 9]]));
    assert!(Image::open(path).unwrap_err().to_string().contains("old-style LZW"));
}

#[test]
fn truncated_files_are_reported() {
    for name in ["zstd_u2_strips", "jpeg_rgb", "lzw_predictor_i2", "None_rgb16_planar_tiles"] {
        let bytes = std::fs::read(folder().join(format!("{name}.tif"))).unwrap();
        let (_dir, path) = temp(&bytes[..bytes.len() - 60]);
        let text = Image::open(path).unwrap_err().to_string();
        assert!(text.contains("truncated"), "{name}: {text}");
    }
}

/// An ImageJ stack: one directory whose description declares five images.
fn stack(text: &str, data: &[u8]) -> Vec<u8> {
    let mut text = text.as_bytes().to_vec();
    text.resize(text.len().next_multiple_of(2), 0);
    // Stored as shorts; the type is set to ASCII below.
    let words = text.as_chunks::<2>().0.iter().map(|&b| u16::from_le_bytes(b)).collect();
    let mut tags = base(3, 2, 16, 1, 1);
    tags.push((270, words));
    let mut bytes = raw_tiff(&tags, false, &[data]);
    let entry = bytes.windows(4).position(|w| w == [14, 1, 3, 0]).unwrap();
    bytes[entry + 2] = 2;
    bytes[entry + 4..entry + 8].copy_from_slice(&(text.len() as u32).to_le_bytes());
    bytes
}

#[test]
fn images_behind_one_directory_are_pages() {
    let data: Vec<u8> = (0..30u16).flat_map(|v| (v * 1000).to_le_bytes()).collect();
    let (_dir, path) = temp(&stack("ImageJ=1.54f\nimages=5\nslices=5\n", &data));
    assert_eq!(page_count(&path).unwrap(), 5);
    let page = |page| open_image(&path, &OpenOptions { page, ..OpenOptions::default() });
    for n in [0, 3, 4] {
        let expected = (0..6).map(|i| (n as u16 * 6 + i) * 1000).collect();
        assert_eq!(page(n).unwrap().read(0, 0, 3, 2).unwrap().pixels(), &Pixels::U16(expected));
    }
    assert!(page(5).err().unwrap().to_string().contains("has 5 pages"));
    // Channels are recognised in this layout too.
    let (_dir, path) = temp(&stack("ImageJ=1.54f\nimages=4\nchannels=2\nslices=2\n", &data));
    assert_eq!(page_count(&path).unwrap(), 2);
    let mut source = open_image(&path, &OpenOptions { page: 1, ..OpenOptions::default() }).unwrap();
    assert_eq!(source.read(1, 0, 1, 1).unwrap().pixels(), &Pixels::U16(vec![13000, 19000]));
    // tifffile's equivalent description.
    let (_dir, path) = temp(&stack(r#"{"shape": [5, 2, 3], "truncated": true}"#, &data));
    assert_eq!(page_count(&path).unwrap(), 5);
    // A description copied along with one image of a stack.
    let (_dir, path) = temp(&stack("ImageJ=1.54f\nimages=90\nslices=90\n", &data));
    assert_eq!(page_count(&path).unwrap(), 1);
}

#[test]
fn stacks_beyond_four_gigabytes_are_read() {
    // A sparse file: 1500 images of over 4 MiB; only the last has data.
    let (width, height, images) = (1400u64, 1600u64, 1500u64);
    let mut head = stack("ImageJ=1.54f\nimages=1500\nslices=1500\nloop=false\n", &[]);
    for (tag, value) in [(256u16, width as u16), (257, height as u16)] {
        let entry = head.windows(4).position(|w| w[..2] == tag.to_le_bytes() && w[2..] == [3, 0]).unwrap();
        head[entry + 8..entry + 10].copy_from_slice(&value.to_le_bytes());
    }
    let first = head.len() as u64;
    let strip = head.windows(4).position(|w| w == [17, 1, 4, 0]).unwrap();
    head[strip + 8..strip + 12].copy_from_slice(&(first as u32).to_le_bytes());
    let counts = head.windows(4).position(|w| w == [23, 1, 4, 0]).unwrap();
    head[counts + 8..counts + 12].copy_from_slice(&((width * height * 2) as u32).to_le_bytes());
    let (_dir, path) = temp(&head);
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let bytes = width * height * 2;
    file.set_len(first + bytes * images).unwrap();
    file.seek(SeekFrom::Start(first + bytes * (images - 1) + (1000 * width + 77) * 2)).unwrap();
    file.write_all(&54321u16.to_le_bytes()).unwrap();
    assert!(file.metadata().unwrap().len() > 6 << 30);
    assert_eq!(page_count(&path).unwrap(), images as usize);
    let last = OpenOptions { page: images as usize - 1, ..OpenOptions::default() };
    let mut source = open_image(&path, &last).unwrap();
    assert_eq!(source.read(76, 1000, 3, 1).unwrap().pixels(), &Pixels::U16(vec![0, 54321, 0]));
}

#[test]
fn raw_integers_are_as_stored() {
    let open = |bytes: &[u8]| {
        let (_dir, path) = temp(bytes);
        raw_integers(&path.into(), 0).unwrap()
    };
    // White is zero, few bits, a palette: values are unchanged.
    let bits = open(&raw_tiff(&base(10, 1, 1, 1, 0), false, &[&[0b1010_0000, 0b0100_0000]])).unwrap();
    assert_eq!((bits.values, bits.bits, bits.photometric), (vec![1, 0, 1, 0, 0, 0, 0, 0, 0, 1], 1, 0));
    let mut palette = base(2, 1, 8, 1, 3);
    palette.push((320, (0..768).map(|i| i * 80).collect()));
    let indices = open(&raw_tiff(&palette, false, &[&[7, 200]])).unwrap();
    assert_eq!(indices.values, [7, 200]);
    assert_eq!(indices.palette.unwrap()[7], [7 * 80, 263 * 80, 519 * 80]);
    let long = |format, values: [u8; 16]| {
        let mut tags = base(2, 1, 64, 1, 1);
        tags.push((339, vec![format]));
        let (_dir, path) = temp(&raw_tiff(&tags, false, &[&values]));
        raw_integers(&path.into(), 0)
    };
    let mut values = [0; 16];
    values[..8].copy_from_slice(&(1i64 << 60 | 1).to_le_bytes());
    values[8..].copy_from_slice(&(-3i64).to_le_bytes());
    assert_eq!(long(2, values).unwrap().unwrap().values, [1 << 60 | 1, -3]);
    assert!(long(1, values).unwrap_err().to_string().contains("beyond 9223372036854775807"));
    assert!(long(3, values).unwrap().is_none());
    // Planar and interleaved storage give the same.
    let mut planar = base(2, 2, 8, 3, 2);
    planar.extend([(278, vec![1]), (284, vec![2])]);
    let strips: [&[u8]; 6] = [&[1, 2], &[3, 4], &[11, 12], &[13, 14], &[21, 22], &[23, 24]];
    let all = open(&raw_tiff(&planar, false, &strips)).unwrap();
    assert_eq!((all.samples, all.values), (3, vec![1, 11, 21, 2, 12, 22, 3, 13, 23, 4, 14, 24]));
}

#[test]
fn a_panic_is_a_fault_of_the_decoder() {
    let path = folder().join("bool.tif");
    let file = FileSource { input: path.into(), bytes: 1, max_pixels: 1, memory: 1 };
    let text = guarded::<()>(&file.as_source(), || panic!("as a crate may")).unwrap_err().to_string();
    assert!(text.contains("bool.tif: a fault of the TIFF decoder, not of the file"), "{text}");
    assert!(text.contains("report") && !text.contains("damaged"), "{text}");
}
