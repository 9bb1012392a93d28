//! Bad input on the command line: one clear line, a non-zero exit code, no partial output.

use crate::folder::Folder;
use image::{ImageBuffer, Luma, Rgb};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;
use unet_wgpu::low_level::weights;
use unet_wgpu::testing::gpu_or_skip;

fn asset(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(name)).unwrap()
}

fn small() -> Value {
    json!({ "width": 2, "depth": 1, "padding": "same" })
}

fn check(line: &str, parts: &[&str]) {
    assert!(parts.iter().all(|p| line.contains(p)), "{parts:?} are not all in: {line}");
}

#[test]
fn images() {
    let f = Folder::new();
    let png = asset("images/nuclei_hff.png");
    f.write("text.png", "this is no image");
    f.write("cut.png", &png[..png.len() / 2]);
    f.write("empty.png", "");
    std::fs::create_dir(f.path("folder")).unwrap();
    f.write("b.xyz", b"nothing known");
    ImageBuffer::from_fn(24, 20, |x, y| Rgb([x as u8 * 9, y as u8 * 7, 3])).save(f.path("cut.jpg")).unwrap();
    let jpg = std::fs::read(f.path("cut.jpg")).unwrap();
    f.write("cut.jpg", &jpg[..jpg.len() / 2]);
    let tif = tiff(20, 24);
    f.write("cut.tif", &tif[..tif.len() / 2]);
    f.write("head.tif", &tif[..6]);
    f.write("nan.tif", float_tiff(&[0.5, f32::NAN, 0.25, 1.0], 2));
    let cases: &[(&str, &[&str])] = &[
        ("none.png", &["none.png: no such file"]),
        ("", &["input: the name of an image is empty"]),
        (
            "text.png",
            &["text.png: not an image in a known format (PNG, JPEG, WebP, BMP, GIF, PNM, JPEG 2000, TIFF or NPY)"],
        ),
        ("b.xyz", &["b.xyz: not an image in a known format"]),
        ("cut.png", &["cut.png: the PNG file is truncated"]),
        ("empty.png", &["empty.png: the file is empty"]),
        ("cut.jpg", &["cut.jpg: the JPEG file is truncated"]),
        ("cut.tif", &["cut.tif: ", "TIFF file"]),
        ("head.tif", &["head.tif: the TIFF file is truncated"]),
        ("folder", &["no images in folder"]),
        ("*.bmp", &["*.bmp: no images match"]),
        ("[", &["not a glob"]),
        ("nan.tif", &["nan.tif: ", "column 1, row 0", "NaN"]),
    ];
    for (name, parts) in cases {
        check(&f.error(&["segment", name, "--device", "cpu"]), parts);
    }
}

/// A 16-bit grey TIFF.
fn tiff(height: u32, width: u32) -> Vec<u8> {
    use tiff::encoder::{TiffEncoder, colortype::Gray16};
    let mut out = std::io::Cursor::new(Vec::new());
    let data: Vec<u16> = (0..height * width).map(|i| (i * 7919 % 60_000) as u16).collect();
    TiffEncoder::new(&mut out).unwrap().write_image::<Gray16>(width, height, &data).unwrap();
    out.into_inner()
}

fn float_tiff(data: &[f32], width: u32) -> Vec<u8> {
    use tiff::encoder::{TiffEncoder, colortype::Gray32Float};
    let mut out = std::io::Cursor::new(Vec::new());
    let height = data.len() as u32 / width;
    TiffEncoder::new(&mut out).unwrap().write_image::<Gray32Float>(width, height, data).unwrap();
    out.into_inner()
}

#[test]
fn unusual_images_are_accepted() {
    let f = Folder::new();
    f.unet("grey.safetensors", small(), |_| ());
    f.unet("rgb.safetensors", json!({"width": 2, "depth": 1, "padding": "same", "in_channels": 3}), |_| ());
    f.unet("five.safetensors", json!({"width": 2, "depth": 1, "padding": "same", "in_channels": 5}), |_| ());
    f.image("grey.png");
    ImageBuffer::from_fn(24, 20, |x, y| Rgb([x as u8, y as u8, 9])).save(f.path("rgb.png")).unwrap();
    ImageBuffer::from_pixel(1, 1, Luma([7u8])).save(f.path("one.png")).unwrap();
    f.write("deep.tif", tiff(20, 24));
    f.write("float.tif", float_tiff(&[0.5, 0.75, 0.25, 1.0], 2));
    for (model, image) in ["grey.png", "rgb.png", "one.png", "deep.tif", "float.tif"].map(|p| ("grey.safetensors", p)) {
        let r = f.run(&["segment", image, "-m", model, "-o", "out/", "--device", "cpu"]);
        assert_eq!(r.code, 0, "{image}: {}", r.stderr);
    }
    assert_eq!(f.run(&["segment", "grey.png", "-m", "rgb.safetensors", "-o", "out/", "--device", "cpu"]).code, 0);
    let e = f.error(&["segment", "rgb.png", "-m", "five.safetensors", "--device", "cpu"]);
    check(&e, &["rgb.png: ", "has 3 channels (0 red, 1 green, 2 blue), the network takes 5 channels"]);
}

#[test]
fn outputs() {
    let f = Folder::new();
    ["a.png", "b.png"].iter().for_each(|n| f.image(n));
    f.write("file", "in the way");
    std::fs::create_dir_all(f.path("x_mask.png")).unwrap();
    std::fs::create_dir_all(f.path("d")).unwrap();
    f.image("x.png");
    f.image("d/a.png");
    let cases: &[(&[&str], &[&str])] = &[
        (&["a.png", "-o", "file/x/"], &["file/x/a_mask.png: cannot be written: file is not a folder"]),
        (&["a.png", "b.png", "-o", "file"], &["file/a_mask.png: cannot be written"]),
        (&["a.png", "-o", "a.png"], &["a.png: the mask would overwrite the image it is made from"]),
        (&["a.png", "b.png", "-o", "b.png"], &["b.png: ", "several images need a folder"]),
        (&["a.png", "b.png", "-o", "new.png"], &["new.png: is one file; several images need a folder"]),
        (&["a.png", "d/a.png", "-o", "out"], &["a_mask.png: two images would both be written here"]),
        (&["a.png", "-o", "a.jpg"], &["a.jpg: the mask is a .png or a .tif file"]),
        (&["x.png"], &["x_mask.png: cannot be written: it is a folder"]),
    ];
    for (args, parts) in cases {
        // Detected without a device or a model.
        let args = [&["segment", "--device", "none"], *args].concat();
        check(&f.error(&args), parts);
    }
    // An output requested twice is written once.
    f.unet("m.safetensors", small(), |_| ());
    let r =
        f.run(&["segment", "a.png", "-m", "m.safetensors", "--save", "mask,mask", "-o", "m.png", "--device", "cpu"]);
    assert_eq!(r.code, 0, "{}", r.stderr);
}

#[test]
fn files_that_are_not_models() {
    let f = Folder::new();
    f.image("a.png");
    f.write("text.safetensors", "these are no weights");
    f.write("empty.safetensors", "");
    f.write("cut.safetensors", &weights::builtin::find("nuclei").unwrap().file().unwrap()[..100_000]);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&weights::builtin::find("nuclei").unwrap().file().unwrap()).unwrap();
    f.write("cut.safetensors.gz", &packed.finish().unwrap()[..1000]);
    let names = "nuclei, nuclei-unet++, nuclei-unet3+, nuclei-he";
    let cases: &[(&str, &[&str])] = &[
        ("a.png", &["a.png: not a model file, it looks like a PNG image; known formats: safetensors"]),
        ("text.safetensors", &["text.safetensors: not a model file, it looks like plain text"]),
        ("empty.safetensors", &["empty.safetensors: the file is empty"]),
        ("cut.safetensors", &["cut.safetensors: cut off: the header announces 3902868 bytes"]),
        ("cut.safetensors.gz", &["cut.safetensors.gz: the gzip data is damaged or cut off"]),
        (".", &[".: is a folder, not a model file"]),
        ("nucli", &["model `nucli`: neither a file nor a built-in model", names]),
        ("no/such", &["no/such: no such file", names]),
        ("none.safetensors", &["none.safetensors: no such file", names]),
    ];
    for (model, parts) in cases {
        check(&f.error(&["segment", "a.png", "-m", model, "--device", "cpu"]), parts);
        // `inspect` reads images too, but not as models.
        check(&f.error(&["inspect", model, "--keys"]), parts);
    }
}

#[test]
fn invalid_models() {
    let f = Folder::new();
    let sound = ("unet", small());
    let with = |key: &str, value: Value| {
        let mut config = small();
        config[key] = value;
        json!({ "arch": "unet", "config": config })
    };
    let cases: &[(Value, &[&str])] = &[
        (json!({"arch": "segnet", "config": {}}), &["`segnet` is not one of unet, unetpp, unet3p"]),
        (json!({"arch": "unet", "config": {}, "format": 99}), &["format 99 is not supported", "format 1"]),
        (json!({"arch": "unet"}), &["missing field `config`"]),
        (json!({"arch": "unet", "config": small(), "classes": ["a", "b", "c"]}), &["3 classes, the network has 2"]),
        (with("widht", json!(3)), &["unknown field `widht`", "`width`"]),
        (with("width", json!("many")), &["`width`: ", "\"many\"", "expected a whole number"]),
        (with("width", json!(-1)), &["`width`: ", "-1"]),
        (with("norm", json!(3)), &["`norm`: ", "boolean"]),
        (with("width", json!(u64::MAX)), &["width", "is not in 1..16384"]),
        (with("depth", json!(64)), &["depth: 64 is not in 1..8"]),
        (with("last_up_channels", json!(1u64 << 62)), &["last_up_channels: ", "is not in 1..16384"]),
    ];
    for (metadata, parts) in cases {
        f.model("m.safetensors", metadata.clone(), sound.clone(), |_| ());
        check(&f.error(&["inspect", "m.safetensors"]), &[&["m.safetensors: "], *parts].concat());
    }
    f.model("m.safetensors", Value::Null, sound.clone(), |_| ());
    let r = f.run(&["inspect", "m.safetensors"]);
    assert!(r.code == 0 && r.stdout.contains("understood as  a checkpoint of unet (names without"), "{}", r.stderr);
    f.model("m.safetensors", Value::Null, sound.clone(), |t| {
        drop(t.insert("extra.weight".into(), (vec![1], vec![9.0])))
    });
    check(&f.error(&["inspect", "m.safetensors"]), &["1 parameters are not part of the network: `extra.weight`"]);
    f.unet("m.safetensors", small(), |t| drop(t.insert("head.weight".into(), (vec![3, 2, 1, 1], vec![0.0; 6]))));
    let parts = ["m.safetensors: parameter `head.weight`", "[2, 2, 1, 1]", "[3, 2, 1, 1]"];
    check(&f.error(&["inspect", "m.safetensors"]), &parts);
    f.unet("m.safetensors", small(), |t| {
        let moved = t.remove("head.weight").unwrap();
        t.insert("head.weigth".into(), moved);
    });
    check(&f.error(&["inspect", "m.safetensors"]), &["parameter `head.weight` is missing", "`head.weigth`"]);
    f.unet("m.safetensors", small(), |t| drop(t.insert("optimizer.step".into(), (vec![1], vec![9.0]))));
    let r = f.run(&["inspect", "m.safetensors"]);
    assert!(r.code == 0 && r.stdout.ends_with("unused keys   optimizer.step\n"), "{}{}", r.stdout, r.stderr);
    f.image("a.png");
    f.unet("m.safetensors", small(), |t| t.get_mut("head.weight").unwrap().1[0] = f32::NAN);
    let r = f.run(&["segment", "a.png", "-m", "m.safetensors", "--device", "cpu"]);
    assert_eq!(r.code, 0, "{}", r.stderr);
    check(&r.stderr, &["warning: m.safetensors: parameter `head.weight` holds 1 values that are not finite"]);
}

#[test]
fn architectures_on_the_command_line() {
    let f = Folder::new();
    let cases: &[(&[&str], &[&str])] = &[
        (&["unet", "--set", "nonsense"], &["--set nonsense: must be KEY=VALUE"]),
        (&["unet", "--set", "nonsense=3"], &["unknown field `nonsense`"]),
        (&["segnet"], &["`segnet` is not one of"]),
        (&["unet", "--width", "0"], &["width (level 0): 0 is not in 1..16384"]),
        (&["unet", "--width", "16384", "--depth", "8"], &["width (level 1): 32768"]),
        (&["unet", "--width", "18446744073709551615"], &["width (level 0): "]),
        (&["unet", "--depth", "18446744073709551615"], &["depth: "]),
        (&["unet++", "--set", "level=9"], &["level: 9"]),
        (&["unet3+", "--set", "cat=4611686018427387904"], &["cat: 4611686018427387904"]),
        (
            &["unet", "--set", "up=bilinear", "--set", "slim=true", "--width", "1", "--set", "widths=[1,1,1,1,1]"],
            &["slim"],
        ),
        (&["unet", "--size", "10"], &["enc.1", "smaller than the kernel"]),
        (&["unet++", "--size", "40x48"], &["U-Net++: input 1x1x40x48", "multiples of 16"]),
        (&["unet", "--size", "100000"], &["enc.0.conv1", "1x64x99998x99998", "the limit is"]),
        (&["unet3+", "--size", "18446744073709551600"], &["import: ", "more than 2^64"]),
        (&["unet++", "--size", "4294967296x4294967296"], &["import: ", "more than 2^64"]),
    ];
    for (args, parts) in cases {
        check(&f.error(&[&["inspect", "--arch"], *args].concat()), parts);
    }
    check(&f.error(&["inspect", "--set", "nonsense"]), &["--set nonsense: must be KEY=VALUE"]);
    check(
        &f.error(&["inspect", "nuclei", "--width", "4"]),
        &["--width: describes a new network, but nuclei already defines one"],
    );
    f.usage(&["bench", "--size", "64"], "--model");
    // Without an architecture, options are those of a U-Net.
    let named = f.run(&["inspect", "--arch", "unet", "--width", "4", "--set", "up=bilinear", "--json"]);
    let unnamed = f.run(&["inspect", "--width", "4", "--set", "up=bilinear", "--json"]);
    assert_eq!((unnamed.code, &unnamed.stdout), (0, &named.stdout), "{}", unnamed.stderr);
    f.usage(&["inspect", "nuclei", "--size", "0x3"], "write it as HxW");
}

#[test]
fn devices_and_limits() {
    let f = Folder::new();
    f.image("a.png");
    let half = f.error(&["segment", "a.png", "--device", "cpu", "--precision", "f16"]);
    check(&half, &["precision f16: the CPU reference has f32 only"]);
    for (memory, part) in [("0", "at least one byte"), ("nonsense", "unknown unit"), ("1e9", "unknown unit")] {
        f.usage(&["segment", "a.png", "--memory", memory], part);
    }
    let cpu = |args: &[&str]| f.error(&[&["segment", "a.png", "--device", "cpu"], args].concat());
    check(&cpu(&["--tile", "5"]), &["a.png: tile: 5 pixels are too few", "smallest usable tile is 32"]);
    check(
        &cpu(&["--memory", "1M", "--save", "mask"]),
        &["a.png: a tile of 32x32 pixels: the network needs", "the limit is 1.0 MiB of memory"],
    );
    // The number is the user's, where instances keep a part of it.
    check(
        &cpu(&["--memory", "1M", "--save", "labels"]),
        &[
            "a.png: a tile of 32x32 pixels: the network needs",
            "the limit is 1.0 MiB of memory, of which 0.2 MiB are for instances",
        ],
    );
    if cfg!(target_os = "linux") {
        let mut command = f.command(&["segment", "a.png"]);
        let output = command.env("VK_DRIVER_FILES", "/none").env("VK_ICD_FILENAMES", "/none").output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        check(&stderr, &["error: no GPU adapter found", "apt-get install", "--device cpu"]);
    }
    if gpu_or_skip().is_some() {
        check(&f.error(&["segment", "a.png", "--device", "none"]), &["unknown device `none`; available: 0: ", "cpu"]);
        let mask = |device: &[&str], out: &str| {
            let r = f.run(&[&["segment", "a.png", "-o", out, "--save", "mask"], device].concat());
            assert_eq!(r.code, 0, "{}", r.stderr);
            image::open(f.path(out)).unwrap().to_luma8()
        };
        assert_eq!(mask(&[], "gpu.png"), mask(&["--device", "cpu"], "cpu.png"));
    }
}

#[test]
fn untileable_networks_are_errors_under_small_memory() {
    let f = Folder::new();
    let config = json!({ "width": 2, "depth": 1, "deep_supervision": true, "cgm": true });
    f.model("m.safetensors", json!({ "arch": "unet3p", "config": config }), ("unet3p", config.clone()), |_| ());
    ImageBuffer::from_pixel(300, 200, Luma([7u8])).save(f.path("a.png")).unwrap();
    let e = f.error(&["segment", "a.png", "-m", "m.safetensors", "--memory", "1M", "--device", "cpu"]);
    check(
        &e,
        &["a.png: ", "a tile of 300x200 pixels: ", "the limit is 1.0 MiB of memory", "cannot be tiled exactly", "cgm"],
    );
}

#[test]
fn one_bad_image_of_several() {
    let f = Folder::new();
    f.unet("m.safetensors", small(), |_| ());
    ["a.png", "z.png"].iter().for_each(|n| f.image(n));
    f.write("bad.png", "no image");
    let args = ["segment", "a.png", "bad.png", "z.png", "-m", "m.safetensors", "-o", "out", "--device", "cpu"];
    let r = f.run(&[&args[..], &["--json"]].concat());
    assert_eq!(r.code, 1);
    check(&r.stderr, &["error: bad.png: not an image", "error: 1 of 3 images failed"]);
    // A line per image.
    let images: Vec<Value> = r.stdout.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(images.len(), 3);
    assert!(images[1]["error"].as_str().unwrap().starts_with("bad.png: not an image"));
    assert!(images[0]["error"].is_null() && images[2]["width"] == 24);
    assert!(["a_mask.png", "a_overlay.png", "z_mask.png"].iter().all(|n| f.path("out").join(n).exists()));
    // A second run skips existing outputs.
    std::fs::remove_file(f.path("out").join("z_overlay.png")).unwrap();
    let modified = std::fs::metadata(f.path("out").join("a_mask.png")).unwrap().modified().unwrap();
    let r = f.run(&[&args[..], &["--json", "--skip-existing"]].concat());
    assert_eq!(r.code, 1);
    check(&r.stderr, &["error: 1 of 3 images failed", "1 of 3 images were skipped"]);
    let lines: Vec<Value> = r.stdout.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines[0], json!({ "input": "a.png", "skipped": true }));
    assert!(lines[1]["error"].is_string() && lines[2]["outputs"]["overlay"] == "out/z_overlay.png");
    assert_eq!(std::fs::metadata(f.path("out").join("a_mask.png")).unwrap().modified().unwrap(), modified);
    assert!(f.path("out/z_overlay.png").exists());
}

#[test]
fn instances_are_written_beside_the_mask() {
    let f = Folder::new();
    f.unet("m.safetensors", small(), |_| ());
    f.image("a.png");
    let all = "mask,labels,geojson,coco,rois,csv";
    let args = ["segment", "a.png", "-m", "m.safetensors", "--device", "cpu", "--save", all, "--json"];
    let r = f.run(&[&args[..], &["--instances", "watershed", "--fill-holes", "--connectivity", "8"]].concat());
    assert_eq!(r.code, 0, "{}", r.stderr);
    let line: Value = serde_json::from_str(&r.stdout).unwrap();
    let names = ["a_mask.png", "a_labels.tif", "a_contours.geojson", "a_coco.json", "a_rois.zip", "a_objects.csv"];
    assert!(names.iter().all(|n| f.path(n).exists()));
    let table = std::fs::read_to_string(f.path("a_objects.csv")).unwrap();
    assert_eq!(table.lines().count() as u64 - 1, line["instances"].as_u64().unwrap());
    assert!(table.lines().next().unwrap().ends_with(",eccentricity,mean_0,mean_1,mean_2") || !table.contains("mean_1"));
    for (wrong, part) in [(["--connectivity", "6"], "expected 4 or 8"), (["--seed-depth", "0"], "not a number above 0")]
    {
        let r = f.run(&[&args[..], &wrong[..]].concat());
        assert!(r.code == 2 && r.stderr.contains(part), "{}", r.stderr);
    }
}

/// Only results of this program are replaced, in every format.
#[test]
fn foreign_files_are_kept() {
    let f = Folder::new();
    f.unet("m.safetensors", small(), |_| ());
    f.image("a.png");
    let all = "mask,overlay,prob,prob-npy,labels,geojson,coco,rois,csv";
    let args = ["segment", "a.png", "-m", "m.safetensors", "--device", "cpu", "-o", "out", "--save", all, "--quiet"];
    let run = |more: &[&str]| f.run(&[&args[..], more].concat());
    assert_eq!(run(&[]).code, 0);
    let names: Vec<_> = std::fs::read_dir(f.path("out")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(names.len(), 9, "{names:?}");
    assert_eq!(run(&[]).code, 0, "its own are replaced");
    let f32s = [0x93, b'N', b'U', b'M', b'P', b'Y', 1, 0, 118, 0];
    for name in names {
        let own = std::fs::read(&name).unwrap();
        let foreign: Vec<u8> = match name.extension().unwrap().to_str().unwrap() {
            "png" => std::fs::read(f.path("a.png")).unwrap(),
            // A byte of the name in the tag, the member or the comment.
            "tif" | "geojson" | "json" | "zip" => {
                let mut bytes = own.clone();
                while let Some(at) = bytes.windows(9).position(|w| w == b"unet-wgpu") {
                    bytes[at] = b'U';
                }
                assert_ne!(bytes, own);
                bytes
            }
            "npy" => f32s.to_vec(),
            _ => b"name,size\n".to_vec(),
        };
        std::fs::write(&name, &foreign).unwrap();
        let r = run(&[]);
        let file = name.file_name().unwrap().to_str().unwrap();
        assert_ne!(r.code, 0, "{file}");
        check(r.stderr.trim(), &[file, "exists and is no result of this program; --overwrite replaces it"]);
        assert_eq!(std::fs::read(&name).unwrap(), foreign, "{file}");
        assert_eq!(run(&["--skip-existing"]).code, 0, "nothing is replaced");
        assert_eq!(run(&["--overwrite"]).code, 0);
        assert_eq!(std::fs::read(&name).unwrap(), own, "{file}");
    }
}

/// File names that are not UTF-8, as in old archives, must not stop the program.
#[test]
#[cfg(target_os = "linux")]
fn names_that_are_not_utf8() {
    use std::os::unix::ffi::OsStrExt;
    let f = Folder::new();
    f.unet("m.safetensors", small(), |_| ());
    std::fs::create_dir(f.path("in")).unwrap();
    f.image("in/a.png");
    std::fs::rename(f.path("in/a.png"), f.path("in").join(std::ffi::OsStr::from_bytes(b"\xff.png"))).unwrap();
    let r = f.run(&["segment", "in", "-m", "m.safetensors", "-o", "out", "--device", "cpu", "--json"]);
    assert_eq!(r.code, 0, "{}", r.stderr);
}

fn npy(descr: &str, fortran: &str, shape: &str, bytes: usize) -> Vec<u8> {
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}");
    header.push_str(&" ".repeat(127 - header.len() - 10));
    header.push('\n');
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.as_bytes());
    out.resize(out.len() + bytes, 0);
    out
}

#[test]
fn raw_tensors() {
    let f = Folder::new();
    let config = json!({ "width": 2, "depth": 2 });
    f.model("m.safetensors", json!({ "arch": "unetpp", "config": config }), ("unetpp", config.clone()), |_| ());
    let takes = "the network takes [N, 1, H, W]";
    let cases: &[(Vec<u8>, &[&str])] = &[
        (npy("<f4", "False", "(8, 8)", 256), &["shape [8, 8]", takes]),
        (npy("<f4", "False", "(1, 1, 1, 8, 8)", 256), &["shape [1, 1, 1, 8, 8]", takes]),
        (npy("<f4", "False", "(1, 3, 8, 8)", 768), &["shape [1, 3, 8, 8]", takes]),
        (npy("<f4", "False", "(0, 1, 8, 8)", 0), &["shape [0, 1, 8, 8]", takes]),
        (npy("<c8", "False", "(1, 1, 8, 8)", 512), &["<c8", "f4, f8, u1, u2, i1 to i8 and b1 can be read"]),
        (npy("<f4", "False", "(1, 1, 8, 8)", 255), &["cut off"]),
        (npy("<f4", "False", "(1, 1, 1000000, 1000000)", 64), &["cut off"]),
        (npy("<f4", "False", "(4294967296, 4294967296, 4294967296)", 64), &["cut off"]),
        (npy("<f4", "False", "(1, 1, 8, 8)", 256)[..20].to_vec(), &["the NPY file is truncated"]),
        (b"no array".to_vec(), &["not a readable .npy file"]),
        (vec![], &["the file is empty"]),
    ];
    for (bytes, parts) in cases {
        f.write("x.npy", bytes);
        let e = f.error(&["run", "-m", "m.safetensors", "--input", "x.npy", "--output", "y.npy", "--device", "cpu"]);
        check(&e, &[&["x.npy: "], *parts].concat());
    }
    f.write("x.npy", npy("<f4", "False", "(1, 1, 10, 8)", 320));
    f.write("file", "in the way");
    let run = |input: &str, output: &str| {
        f.error(&["run", "-m", "m.safetensors", "--input", input, "--output", output, "--device", "cpu"])
    };
    check(&run("x.npy", "y.npy"), &["U-Net++: input 1x1x10x8", "multiples of 4"]);
    check(&run("x.npy", "y.txt"), &["y.txt: raw tensors are .npy (one) or .safetensors"]);
    check(&run("x.npy", "file/y.npy"), &["file/y.npy: cannot be written: file is not a folder"]);
    check(&run("x.npy", "x.npy"), &["x.npy: the output would overwrite the input"]);
    check(&run("none.npy", "y.npy"), &["none.npy: "]);
    check(&run("m.safetensors", "y.npy"), &["m.safetensors: has no tensor `input`; it holds: "]);
}

#[test]
#[cfg(unix)]
fn closed_pipes() {
    let f = Folder::new();
    f.unet("m.safetensors", small(), |_| ());
    f.image("a.png");
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    let command = |args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_unet"));
        command.current_dir(f.path("")).args(args);
        command
    };
    let output = command(&["inspect"]).stdout(closed()).stderr(std::process::Stdio::piped()).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    // The files are written even if nobody reads stdout and stderr.
    let args = ["segment", "a.png", "-m", "m.safetensors", "--device", "cpu"];
    assert_eq!(command(&args).stdout(closed()).stderr(closed()).status().unwrap().code(), Some(0));
    assert!(f.path("a_mask.png").exists());
    assert_eq!(command(&["inspect", "none"]).stderr(closed()).status().unwrap().code(), Some(1));
}
