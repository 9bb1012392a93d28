//! Images of `assets/fixtures/zarr.zip`, by zarr-python and ome-zarr: `scripts/make_zarr_fixtures.py`.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::infer::image::Image;
use crate::infer::{LabelMap, OpenOptions, PixelSizeSource, calibration_of, describe_image, open_image, page_count};
use crate::infer::{Pixels, read_image};

/// The fixtures in a folder of their own.
struct Fixtures(tempfile::TempDir);

impl Fixtures {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let zip = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/fixtures/zarr.zip");
        zip::ZipArchive::new(fs::File::open(zip).unwrap()).unwrap().extract(dir.path()).unwrap();
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn image(&self, name: &str, options: &OpenOptions) -> Image {
        read_image(self.path(name), options).unwrap_or_else(|e| panic!("{name}: {e}")).0
    }

    /// Replaces text in a file, which must occur.
    fn edit(&self, file: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(file)).unwrap();
        assert!(text.contains(from), "{file}: {text}");
        fs::write(self.path(file), text.replacen(from, to, 1)).unwrap();
    }

    fn error(&self, name: &str, options: &OpenOptions) -> String {
        let path = self.path(name);
        let e = read_image(&path, options).err().unwrap_or_else(|| panic!("{name} was read")).to_string();
        assert!(e.starts_with(&path.display().to_string()) && !e.contains('\n'), "{e}");
        e
    }
}

/// The pixel that the script wrote: `value` there.
fn value([t, c, z, y, x]: [usize; 5], kind: &str) -> f64 {
    let base = x / 4 * 7 + y / 3 * 13 + c * 101 + z * 37 + t * 59;
    match kind {
        "bool" => f64::from(u8::from(base % 3 == 0)) * 255.0,
        "u1" => (base % 251) as f64,
        _ if kind.starts_with('u') => (base * 3 % 4093) as f64,
        _ if kind.starts_with('i') => (base % 200) as f64 - 100.0,
        _ => (base % 1000) as f64 / 8.0,
    }
}

fn at(image: &Image, i: usize) -> f64 {
    match image.pixels() {
        Pixels::U8(v) => v[i].into(),
        Pixels::U16(v) => v[i].into(),
        Pixels::F32(v) => v[i].into(),
    }
}

fn check(image: &Image, name: &str, expected: impl Fn(usize, usize, usize) -> f64) {
    for i in 0..image.width() * image.height() * image.channels() {
        let (c, p) = (i % image.channels(), i / image.channels());
        let (x, y) = (p % image.width(), p / image.width());
        assert_eq!(at(image, i), expected(c, y, x), "{name}: channel {c}, row {y}, column {x}");
    }
}

/// Images of one plane, with the types of their samples.
const PLANES: &[(&str, &str, &str)] = &[
    ("v2_none_big", "u2", "uint16"),
    ("v2_blosc_lz4", "u1", "uint8"),
    ("v2_blosc_zstd_bits", "u2", "uint16"),
    ("v2_blosc_lz4_blocks", "u2", "uint16"),
    ("v2_blosclz", "u2", "uint16"),
    ("v2_blosc_zlib_f4", "f4", "float32"),
    ("v2_gzip_fortran_i2", "i2", "int16"),
    ("v2_zlib_u4", "u4", "uint32"),
    ("v2_zstd_f8", "f8", "float64"),
    ("v2_lz4_i1", "i1", "int8"),
    ("v2_holes", "u1", "uint8"),
    ("v3_none", "u2", "uint16"),
    ("v3_big_gzip_i4", "i4", "int32"),
    ("v3_zstd_bool", "bool", "bool"),
    ("v3_blosc_lz4", "u2", "uint16"),
    ("v3_blosc_zstd_bits_f4", "f4", "float32"),
    ("v3_crc32c_f2", "f2", "float16"),
    ("v3_transposed_u8", "u8", "uint64"),
    ("v3_sharded", "u2", "uint16"),
    ("v3_holes_sharded_f4", "f4", "float32"),
    ("v3_shard_start", "u2", "uint16"),
];

#[test]
fn every_codec_gives_the_pixels_that_were_written() {
    let f = Fixtures::new();
    for &(name, kind, stored) in PLANES {
        let name = &format!("{name}.zarr");
        let image = f.image(name, &OpenOptions::default());
        let large = ["blosclz", "bits", "blocks"].iter().any(|part| name.contains(part));
        assert_eq!([image.height(), image.width()], if large { [70, 80] } else { [45, 37] }, "{name}");
        let fill = if kind == "f4" { 2.5 } else { 7.0 };
        let hole = |y: usize, x: usize| name.contains("holes") && (16..32).contains(&y) && x < 20;
        check(&image, name, |_, y, x| if hole(y, x) { fill } else { value([0, 0, 0, y, x], kind) });
        // Windows across the edges of chunks, with a cache of nearly nothing.
        let mut source = open_image(f.path(name), &OpenOptions::default()).unwrap();
        source.set_cache(1);
        for [x0, y0, w, h] in [[0, 0, 1, 1], [15, 10, 9, 30], [19, 31, 2, 2], [36, 44, 1, 1], [3, 17, 34, 1]] {
            let window = source.read(x0, y0, w, h).unwrap();
            check(&window, name, |_, y, x| at(&image, (y0 + y) * image.width() + x0 + x));
        }
        assert!(source.read(30, 0, image.width() - 29, 1).is_err());
        let facts = describe_image(f.path(name)).unwrap().unwrap();
        assert_eq!((&*facts.pages[0].sample, facts.pages.len()), (stored, 1), "{name}");
        assert_eq!(facts.format, if name.starts_with("v2") { "OME-Zarr (Zarr 2)" } else { "OME-Zarr (Zarr 3)" });
        let size = calibration_of(f.path(name), &OpenOptions::default(), None).unwrap().pixel.unwrap();
        assert_eq!((size.x, size.y, size.z, size.source), (0.25, 0.5, None, PixelSizeSource::OmeZarr));
    }
}

#[test]
fn planes_at_every_time_are_pages() {
    let f = Fixtures::new();
    let path = f.path("v2_tczyx.zarr");
    assert_eq!(page_count(&path).unwrap(), 4);
    for page in 0..4 {
        let image = f.image("v2_tczyx.zarr", &OpenOptions { page, ..Default::default() });
        assert_eq!(image.channels(), 3);
        check(&image, "pages", |c, y, x| value([page / 2, c, page % 2, y, x], "u1"));
        let one = f.image("v2_tczyx.zarr", &OpenOptions { page, channels: Some(vec![2]), ..Default::default() });
        check(&one, "a channel", |_, y, x| value([page / 2, 2, page % 2, y, x], "u1"));
    }
    let size = calibration_of(&path, &OpenOptions::default(), None).unwrap().pixel.unwrap();
    assert_eq!((size.x, size.y, size.z), (0.25, 0.5, Some(2.0)));
    let e = f.error("v2_tczyx.zarr", &OpenOptions { page: 4, ..Default::default() });
    assert!(e.ends_with("has 4 pages, there is no page 4 (they count from 0)"), "{e}");
}

#[test]
fn levels_are_smaller_copies() {
    let f = Fixtures::new();
    for (name, kind, channels) in [("levels_04.zarr", "u2", 2), ("levels_05.zarr", "u1", 3)] {
        let facts = describe_image(f.path(name)).unwrap().unwrap();
        assert_eq!(facts.pages[0].levels, [[53, 41], [27, 21], [14, 11]], "{name}");
        for level in 0..3 {
            let options = OpenOptions { level, ..Default::default() };
            let image = f.image(name, &options);
            assert_eq!(image.channels(), channels);
            check(&image, name, |c, y, x| value([0, c, 0, y << level, x << level], kind));
            let size = calibration_of(f.path(name), &options, None).unwrap().pixel.unwrap();
            assert_eq!(size.x, 0.5 * f64::from(1 << level));
            let known = calibration_of(f.path(name), &options, Some([3.0, 3.0])).unwrap().pixel.unwrap();
            assert_eq!(known.y, 3.0 * f64::from(1 << level));
        }
        let e = f.error(name, &OpenOptions { level: 3, ..Default::default() });
        assert!(e.ends_with("has levels 0 to 2 (53x41, 27x21, 14x11), there is no level 3"), "{e}");
    }
    let names = |name: &str| open_image(f.path(name), &OpenOptions::default()).unwrap();
    let (dyes, colours) = (names("levels_04.zarr"), names("levels_05.zarr"));
    assert_eq!((dyes.channel_names(), dyes.info().kind), (vec!["DAPI".into(), "GFP".into()], ChannelKind::SEPARATE));
    assert_eq!(colours.info().kind, ChannelKind::RGB);
    let e = f.error("v2_holes.zarr", &OpenOptions { level: 1, ..Default::default() });
    assert!(e.contains("in its full size only"), "{e}");
}

#[test]
fn plates_list_their_images() {
    let f = Fixtures::new();
    let plate = f.path("plate.zarr");
    let found = images(&plate).unwrap();
    assert_eq!(found, ["A/1/0", "A/1/1", "B/2/0"].map(|p| plate.join(p)));
    assert_eq!(images(&plate.join("A/1")).unwrap(), found[..2]);
    let e = f.error("plate.zarr", &OpenOptions::default());
    assert!(e.ends_with("holds 3 images; open one of them: A/1/0, A/1/1, B/2/0"), "{e}");
    // A group with one image is that image.
    for name in ["plate.zarr/A/1/0", "plate.zarr/B/2"] {
        check(&f.image(name, &OpenOptions::default()), name, |_, y, x| value([0, 0, 0, y, x], "u1"));
    }
}

#[test]
fn series_are_those_of_bio_formats() {
    let f = Fixtures::new();
    let root = f.path("raw.zarr");
    fs::create_dir(&root).unwrap();
    fs::write(root.join(".zattrs"), r#"{"bioformats2raw.layout": 3}"#).unwrap();
    let e = f.error("raw.zarr", &OpenOptions::default());
    assert!(e.contains("has no series"), "{e}");
    fs::rename(f.path("v2_holes.zarr"), root.join("0")).unwrap();
    assert_eq!(f.image("raw.zarr", &OpenOptions::default()).width(), 37);
    fs::rename(f.path("v2_blosclz.zarr"), root.join("1")).unwrap();
    assert_eq!(images(&root).unwrap().len(), 2);
}

#[test]
fn numbers_of_labels_are_exact() {
    let f = Fixtures::new();
    let map = LabelMap::open(f.path("v2_zlib_u4.zarr")).unwrap();
    for (i, &label) in map.labels().iter().enumerate() {
        assert_eq!(f64::from(label), value([0, 0, 0, i / 37, i % 37], "u4"));
    }
    for (name, words) in [
        ("v2_zstd_f8.zarr", "labels are whole numbers"),
        ("v2_lz4_i1.zarr", "holds the value -100"),
        ("levels_04.zarr", "2 channels, not labels"),
    ] {
        let e = LabelMap::open(f.path(name)).unwrap_err().to_string();
        assert!(e.contains(words), "{e}");
    }
}

#[test]
fn broken_folders_name_the_file_and_the_key() {
    let f = Fixtures::new();
    let error = |name: &str, words: &str| {
        let e = f.error(name, &OpenOptions::default());
        assert!(e.contains(words), "{e} has no {words}");
    };
    type Edit = (&'static str, &'static str, &'static str, &'static str);
    let edits: &[Edit] = &[
        ("v2_none_big.zarr/.zattrs", "\"axes\"", "\"axis\"", ".zattrs: has no `multiscales[0].axes`"),
        ("v2_blosc_lz4.zarr/.zattrs", "\"multiscales\"", "\"scales\"", "has no `multiscales`, `plate` or `well`"),
        ("v2_blosclz.zarr/.zattrs", "\"name\": \"x\"", "\"name\": \"q\"", "the axis `q` is none of t, c, z, y and x"),
        ("v2_zlib_u4.zarr/.zattrs", "\"0\"", "\"../v2_holes.zarr/0\"", "does not lead below"),
        ("v2_zstd_f8.zarr/.zattrs", "0.25", "null", "datasets[0].coordinateTransformations[0].scale"),
        ("v2_lz4_i1.zarr/.zattrs", "{", "", ".zattrs: is no JSON"),
        ("v2_gzip_fortran_i2.zarr/0/.zarray", "\"gzip\"", "\"jpeg\"", ".zarray: the codec `jpeg` is not supported"),
        ("v2_blosc_zlib_f4.zarr/0/.zarray", "45", "45, 2", "for an array of shape [45, 2, 37]"),
        ("v2_blosc_zstd_bits.zarr/0/.zarray", "64", "99999999", "are larger than"),
        ("v2_blosc_lz4_blocks.zarr/0/.zarray", "\"<u2\"", "\"|S4\"", "`dtype` |S4 is not supported"),
        ("v3_none.zarr/0/zarr.json", "\"fill_value\": 0", "\"fill_value\": -1", "`fill_value` -1 is no uint16"),
        ("v3_big_gzip_i4.zarr/0/zarr.json", "\"regular\"", "\"odd\"", "the chunk grid `odd` is not supported"),
        ("v3_zstd_bool.zarr/0/zarr.json", "\"zarr_format\": 3", "\"zarr_format\": 4", "`zarr_format` is not 3"),
        ("v3_sharded.zarr/0/zarr.json", "20", "21", "divides shards"),
        ("v3_transposed_u8.zarr/0/zarr.json", "\"transpose\"", "\"vlen\"", "the codec `vlen` is not supported"),
        ("v3_crc32c_f2.zarr/0/zarr.json", "37", "3700000000", "over the limit"),
    ];
    for (file, from, to, words) in edits {
        f.edit(file, from, to);
        error(file.split('/').next().unwrap(), words);
    }
    fs::remove_file(f.path("plate.zarr/A/1/0/.zattrs")).unwrap();
    error("plate.zarr/A/1/0", "has no `multiscales`");
    fs::remove_dir_all(f.path("plate.zarr/B")).unwrap();
    assert!(images(&f.path("plate.zarr")).unwrap_err().to_string().contains("is no Zarr group"));
    error("v2_holes.zarr/0", "is a Zarr array without the metadata of OME-Zarr");
    // Chunks.
    let cut = |file: &str| {
        let bytes = fs::read(f.path(file)).unwrap();
        fs::write(f.path(file), &bytes[..bytes.len() / 2]).unwrap();
    };
    cut("v2_holes.zarr/0/0/1");
    error("v2_holes.zarr", "0/0/1: a chunk holds damaged gzip data");
    cut("v3_shard_start.zarr/0/0.0");
    error("v3_shard_start.zarr", "lies beyond the end of the shard");
    let shard = f.path("v3_holes_sharded_f4.zarr/0/c/0/0");
    let mut bytes = fs::read(&shard).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&shard, bytes).unwrap();
    error("v3_holes_sharded_f4.zarr", "the index of its chunks has a wrong checksum");
    let e = f.error("v3_blosc_lz4.zarr", &OpenOptions { memory: Some(100), ..Default::default() });
    assert!(e.contains("a chunk of [16, 20] samples"), "{e}");
}

/// No byte makes the reader panic, or take long.
#[test]
fn changed_bytes_are_harmless() {
    let f = Fixtures::new();
    for &(name, ..) in PLANES {
        let root = f.path(&format!("{name}.zarr"));
        let mut files = vec![root.clone()];
        while let Some(next) = files.iter().position(|p| p.is_dir()) {
            let folder = files.remove(next);
            files.extend(fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()));
        }
        for file in files.iter().take(6) {
            let bytes = fs::read(file).unwrap();
            for at in (0..bytes.len()).step_by((bytes.len() / 12).max(1)) {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << (at % 8);
                fs::write(file, changed).unwrap();
                let _ = read_image(&root, &OpenOptions { memory: Some(64 << 20), ..Default::default() });
                let _ = describe_image(&root);
            }
            fs::write(file, bytes).unwrap();
        }
    }
}

/// An image of which nothing is stored is read by windows, but not as a whole.
#[test]
fn what_is_not_stored_costs_nothing() {
    let f = Fixtures::new();
    for side in ["45", "37"] {
        f.edit("v2_holes.zarr/0/.zarray", side, "60000");
    }
    let mut source = open_image(f.path("v2_holes.zarr"), &OpenOptions::default()).unwrap();
    let window = source.read(59_000, 59_000, 1000, 1000).unwrap();
    assert!((0..1_000_000).all(|i| at(&window, i) == 7.0));
    let e = f.error("v2_holes.zarr", &OpenOptions::default());
    assert!(e.contains("are not read as a whole"), "{e}");
}
