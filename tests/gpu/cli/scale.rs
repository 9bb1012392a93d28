//! Images that are resized for the model, as a user asks for it.

use super::models::elements;
use crate::folder::Folder;
use image::{GrayImage, Luma};
use serde_json::{Value, json};

/// A folder with a small network and an image of 76 x 40 pixels.
fn folder() -> Folder {
    let f = Folder::new();
    f.unet("m.safetensors", json!({ "width": 2, "depth": 1, "padding": "same" }), |_| ());
    let blobs = |x: u32, y: u32| ((x / 5 * 83 + y / 4 * 37) % 211 + x % 5 * y % 4) as u8;
    GrayImage::from_fn(76, 40, |x, y| Luma([blobs(x, y)])).save(f.path("a.png")).unwrap();
    f
}

fn segment(f: &Folder, args: &[&str]) -> (Value, String) {
    let r = f.run(&[&["segment", "--device", "cpu", "-o", "out/", "--json"], args].concat());
    assert_eq!(r.code, 0, "{args:?}: {}", r.stderr);
    (serde_json::from_str(&r.stdout).unwrap(), r.stderr)
}

/// The foreground probability that this share of the image's pixels has at most.
fn quantile(f: &Folder, share: f64) -> String {
    segment(f, &["a.png", "-m", "m.safetensors", "--save", "prob-npy"]);
    let mut p = elements(f, "out/a_prob.npy").split_off(76 * 40);
    p.sort_by(f32::total_cmp);
    p[(share * (76.0 * 40.0)) as usize].to_string()
}

#[test]
fn results_have_the_size_of_the_image_whatever_the_tiles() {
    let f = folder();
    let threshold = quantile(&f, 0.6);
    for scale in ["0.5", "1.75"] {
        let files = |tile: Option<&str>| -> Vec<Vec<u8>> {
            let common =
                ["a.png", "-m", "m.safetensors", "--scale", scale, "--exact", "--threshold", &threshold, "--save"];
            let save = ["mask,overlay,prob-npy,labels,geojson,coco,rois,csv", "--tile"];
            let args = [&common[..], &save[..if tile.is_some() { 2 } else { 1 }], tile.as_slice()].concat();
            let (line, _) = segment(&f, &args);
            let factor: f64 = scale.parse().unwrap();
            assert_eq!((&line["scale"], &line["diameter"]), (&json!([factor, factor]), &Value::Null));
            assert_eq!((&line["width"], &line["height"]), (&json!(76), &json!(40)));
            assert_eq!(line["tiles"] == json!([1, 1]), tile.is_none(), "{line}");
            assert!(line["instances"].as_u64().unwrap() > 0, "{line}");
            let outputs = line["outputs"].as_object().unwrap().values();
            outputs.map(|p| std::fs::read(f.path(p.as_str().unwrap())).unwrap()).collect()
        };
        let whole = files(None);
        assert!(whole.len() == 8 && files(Some("32")) == whole && files(Some("36")) == whole, "{scale}");
        let mut labels = tiff::decoder::Decoder::new(std::fs::File::open(f.path("out/a_labels.tif")).unwrap()).unwrap();
        assert_eq!(labels.dimensions().unwrap(), (76, 40));
        for kind in ["mask", "overlay"] {
            assert_eq!(image::image_dimensions(f.path(&format!("out/a_{kind}.png"))).unwrap(), (76, 40));
        }
    }
}

#[test]
fn images_are_resized_to_what_the_model_was_trained_on() {
    let f = folder();
    let e = f.error(&["segment", "a.png", "-m", "m.safetensors", "--diameter", "auto", "--device", "cpu"]);
    let stated = "the model does not state the one that it was trained on (`diameter` in section `scale` of its file)";
    assert!(e.contains(&format!("diameter: {stated}; --scale FACTOR resizes by a factor")), "{e}");
    let sized = ["m.safetensors", "sized.safetensors", "--diameter", "9.5", "--pixel-size", "0.5"];
    assert_eq!(f.run(&[&["convert"], &sized[..]].concat()).code, 0);
    let text = f.run(&["inspect", "sized.safetensors"]).stdout;
    assert!(text.contains("trained on    instances of 9.5 pixels (median diameter), pixels of 0.5 um"), "{text}");
    let auto = ["a.png", "-m", "sized.safetensors", "--diameter", "auto", "--threshold", &quantile(&f, 0.8)];
    let (line, _) = segment(&f, &auto);
    let estimate = line["diameter"].as_f64().unwrap();
    let factor = line["scale"][0].as_f64().unwrap();
    assert!((factor - (9.5 / estimate).clamp(0.25, 4.0)).abs() < 1e-9, "{line}");
    let (line, _) = segment(&f, &["a.png", "-m", "sized.safetensors", "--diameter", "19"]);
    assert_eq!(line["scale"], json!([0.5, 0.5]));
    let (line, notes) = segment(&f, &["a.png", "-m", "sized.safetensors", "--pixel-size", "0.25x1"]);
    assert_eq!(line["scale"], json!([0.5, 2.0]));
    assert!(notes.contains("images are resized to the model's pixel size of 0.5 um (--scale 1 leaves them"), "{notes}");
    let (line, notes) = segment(&f, &["a.png", "-m", "sized.safetensors", "--pixel-size", "0.25x1", "--scale", "1"]);
    assert!(line["scale"] == json!([1.0, 1.0]) && !notes.contains("resized"), "{notes}");
    // A model that states no pixel size leaves the image as it is.
    let (line, _) = segment(&f, &["a.png", "-m", "m.safetensors", "--pixel-size", "0.25"]);
    assert_eq!((&line["scale"], &line["pixel_size_um"]), (&json!([1.0, 1.0]), &json!([0.25, 0.25])));
}
