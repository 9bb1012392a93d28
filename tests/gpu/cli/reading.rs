//! Channels, orientations and NaN values in `unet segment`.

use super::models::elements;
use crate::folder::Folder;
use image::{GrayImage, Luma, RgbImage};
use serde_json::{Value, json};
use std::io::Read;
use tiff::encoder::{TiffEncoder, colortype::Gray32Float};

const CPU: [&str; 4] = ["--device", "cpu", "--normalise", "unit"];

/// A folder with files of `assets/fixtures/reading.zip` and a small network of `channels` channels.
fn folder(channels: usize, names: &[&str]) -> Folder {
    let f = Folder::new();
    network(&f, channels);
    let zip = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/fixtures/reading.zip");
    let mut zip = zip::ZipArchive::new(std::fs::File::open(zip).unwrap()).unwrap();
    for name in names {
        let mut bytes = Vec::new();
        zip.by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
        f.write(name, bytes);
    }
    f
}

fn network(f: &Folder, channels: usize) {
    f.unet("m.safetensors", json!({ "width": 2, "depth": 1, "padding": "same", "in_channels": channels }), |_| ());
}

fn args<'a>(name: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["segment", name, "-m", "m.safetensors", "-o", "p/", "--save", "mask,prob-npy"], &CPU[..], more].concat()
}

/// Messages on stderr, except the device's, and the probabilities.
fn segmented(f: &Folder, name: &str, more: &[&str]) -> (Vec<String>, Vec<f32>) {
    let r = f.run(&args(name, more));
    assert_eq!(r.code, 0, "{name} {more:?}: {}", r.stderr);
    let messages = r.stderr.lines().filter(|l| !l.starts_with("device: ")).map(String::from).collect();
    (messages, elements(f, &format!("p/{}_prob.npy", name.rsplit_once('.').unwrap().0)))
}

#[test]
fn results_follow_the_orientation_tag() {
    let f = folder(3, &["exif6.png", "exif1.png", "strips8.tif", "exif6.webp"]);
    let size = |name: &str| image::image_dimensions(f.path(&format!("p/{name}_mask.png"))).unwrap();
    for name in ["exif6.png", "exif6.webp", "strips8.tif"] {
        let (messages, _) = segmented(&f, name, &[]);
        assert_eq!(size(name.rsplit_once('.').unwrap().0), (5, 9));
        let which = if name.contains('8') { "counterclockwise" } else { "clockwise" };
        let expected =
            format!("{name}: rotated by 90 degrees {which}, as its orientation tag says (--ignore-orientation keeps");
        assert!(messages.len() == 1 && messages[0].contains(&expected), "{messages:?}");
    }
    let (messages, stored) = segmented(&f, "exif6.png", &["--ignore-orientation"]);
    assert_eq!((messages, size("exif6")), (vec![], (9, 5)));
    let (_, upright) = segmented(&f, "exif1.png", &[]);
    assert!(stored == upright);
}

#[test]
fn dyes_are_not_colours() {
    let f = folder(1, &["dyes_imagej.tif", "dyes.ome.tif"]);
    let e = f.error(&args("dyes_imagej.tif", &[]));
    assert!(e.contains("dyes_imagej.tif: has 3 channels (0 DAPI, 1 GFP, 2 Cy5), the network takes 1 channel; "), "{e}");
    assert!(e.ends_with("choose one, such as --channels 0"), "{e}");
    let one = segmented(&f, "dyes_imagej.tif", &["--channels", "2"]);
    assert!(one == segmented(&f, "dyes_imagej.tif", &["--channels", "2"]) && one.0.is_empty());
    assert!(one != segmented(&f, "dyes_imagej.tif", &["--channels", "1"]));
    network(&f, 3);
    let (messages, _) = segmented(&f, "dyes.ome.tif", &[]);
    assert!(messages[0].contains("its 3 separate channels (0 nuclei, 1 actin, 2 tubulin) are taken"), "{messages:?}");
    assert_eq!(segmented(&f, "dyes.ome.tif", &["--channels", "0,1,2"]).0, Vec::<String>::new());
}

#[test]
fn one_plane_is_not_repeated() {
    let f = folder(12, &["pages12.tif"]);
    let e = f.error(&args("pages12.tif", &[]));
    assert!(e.contains("has 1 channel, the network takes 12 channels; one channel is never repeated"), "{e}");
    assert!(e.contains("the file has 12 pages: --pages-as-channels"), "{e}");
    let (messages, all) = segmented(&f, "pages12.tif", &["--pages-as-channels"]);
    assert_eq!(messages, Vec::<String>::new());
    let reversed = ["--pages-as-channels", "--channels", "11,10,9,8,7,6,5,4,3,2,1,0"];
    assert!(all != segmented(&f, "pages12.tif", &reversed).1);
    assert_eq!(f.run(&args("pages12.tif", &["--pages-as-channels", "--page", "1"])).code, 2);
    network(&f, 3);
    let (messages, _) = segmented(&f, "pages12.tif", &["--page", "1"]);
    assert!(messages[0].ends_with("its one channel is given to each of the network's 3"), "{messages:?}");
    network(&f, 2);
    assert!(f.error(&args("pages12.tif", &[])).contains("has 1 channel, the network takes 2 channels"));
}

#[test]
fn a_fourth_sample_reaches_the_network() {
    let f = folder(4, &["rgb_nir.tif", "rgba.png", "grey_alpha.png"]);
    let (messages, all) = segmented(&f, "rgb_nir.tif", &[]);
    assert_eq!(messages, Vec::<String>::new());
    assert!(all == segmented(&f, "rgb_nir.tif", &["--channels", "0,1,2,3"]).1);
    let e = f.error(&args("rgba.png", &[]));
    assert!(e.contains("has 3 channels (0 red, 1 green, 2 blue)") && e.contains("--channels 0,1,2,3"), "{e}");
    segmented(&f, "rgba.png", &["--channels", "0,1,2,3"]);
    network(&f, 3);
    let (messages, _) = segmented(&f, "rgb_nir.tif", &[]);
    assert!(
        messages[0].contains("of its channels (0 red, 1 green, 2 blue, 3) red, green and blue are used"),
        "{messages:?}"
    );
    let (messages, _) = segmented(&f, "rgba.png", &[]);
    assert!(messages[0].contains("its alpha, channel 3, is not opaque everywhere and is left out"), "{messages:?}");
    network(&f, 2);
    let e = f.error(&args("grey_alpha.png", &[]));
    assert!(e.contains("has 1 channel, the network takes 2") && e.contains("unless --channels 0,1 includes it"), "{e}");
}

#[test]
fn lost_colours_are_reported_once() {
    let f = folder(1, &[]);
    std::fs::create_dir(f.path("in")).unwrap();
    let colour = |x: u32, y: u32| [(x * 9) as u8, (y * 7) as u8, (x * y) as u8];
    RgbImage::from_fn(20, 16, |x, y| image::Rgb(colour(x, y))).save(f.path("in/a.png")).unwrap();
    RgbImage::from_fn(20, 16, |x, y| image::Rgb(colour(y, x))).save(f.path("in/b.png")).unwrap();
    // Grey saved as RGB loses nothing.
    RgbImage::from_fn(20, 16, |x, y| image::Rgb([(x * y) as u8; 3])).save(f.path("grey.png")).unwrap();
    GrayImage::from_fn(20, 16, |x, y| Luma([(x * y) as u8])).save(f.path("plain.png")).unwrap();
    let (messages, grey) = segmented(&f, "grey.png", &[]);
    assert_eq!(messages, Vec::<String>::new());
    assert!(grey == segmented(&f, "plain.png", &[]).1);
    let r = f.run(&args("in", &["--json"]));
    let messages: Vec<&str> = r.stderr.lines().filter(|l| l.contains("luminance")).collect();
    assert!(messages.len() == 1 && messages[0].ends_with("(reported once)"), "{}", r.stderr);
    let notes = r.stdout.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["notes"].clone());
    assert!(notes.into_iter().all(|n| n[0].as_str().unwrap().starts_with("its colours became grey by luminance")));
}

#[test]
fn fill_nan_replaces_nan() {
    let f = folder(1, &[]);
    let write = |name: &str, hole: f32| {
        let mut out = std::io::Cursor::new(Vec::new());
        let value = |i: u32| if i % 7 == 3 { hole } else { (i % 50) as f32 / 50.0 };
        let pixels: Vec<f32> = (0..480).map(value).collect();
        TiffEncoder::new(&mut out).unwrap().write_image::<Gray32Float>(24, 20, &pixels).unwrap();
        f.write(name, out.into_inner());
    };
    write("nan.tif", f32::NAN);
    write("inf.tif", f32::NEG_INFINITY);
    write("half.tif", 0.5);
    let e = f.error(&args("nan.tif", &[]));
    assert!(e.ends_with("the pixel at column 3, row 0 is NaN; --fill-nan VALUE replaces such values"), "{e}");
    let (_, half) = segmented(&f, "half.tif", &[]);
    for name in ["nan.tif", "inf.tif"] {
        let (messages, filled) = segmented(&f, name, &["--fill-nan", "0.5"]);
        assert!(filled == half && messages[0].ends_with("NaN and infinite values are replaced by 0.5"), "{messages:?}");
    }
    assert_eq!(segmented(&f, "half.tif", &["--fill-nan", "-1"]), (vec![], half));
    assert_eq!(f.run(&args("nan.tif", &["--fill-nan", "nan"])).code, 2);
}
