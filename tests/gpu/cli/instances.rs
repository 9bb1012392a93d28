//! Single instances: what the model's file says, what options replace, and that `eval` scores what `segment` writes.

use super::models::elements;
use crate::folder::Folder;
use serde_json::{Value, json};

const CPU: [&str; 2] = ["--device", "cpu"];

/// A folder with an image and a small network of two classes, whose file has this section `instances`.
fn folder(instances: Value) -> Folder {
    let f = Folder::new();
    let config = json!({ "width": 2, "depth": 1, "padding": "same" });
    let mut metadata = json!({ "arch": "unet", "config": config });
    if !instances.is_null() {
        metadata["instances"] = instances;
    }
    f.model("m.safetensors", metadata, ("unet", config), |_| ());
    std::fs::create_dir_all(f.path("data/images")).unwrap();
    f.image("data/images/a.png");
    f
}

struct Labels {
    labels: Vec<u16>,
    count: u64,
    notes: String,
    by: String,
}

fn labels(f: &Folder, args: &[&str]) -> Labels {
    let all =
        ["segment", "data/images/a.png", "-m", "m.safetensors", "-o", "out/", "--save", "labels,prob-npy", "--json"];
    let r = f.run(&[&all[..], &CPU, args].concat());
    assert_eq!(r.code, 0, "{}", r.stderr);
    let line: Value = serde_json::from_str(&r.stdout).unwrap();
    let mut decoder = tiff::decoder::Decoder::new(std::fs::File::open(f.path("out/a_labels.tif")).unwrap()).unwrap();
    let tiff::decoder::DecodingResult::U16(labels) = decoder.read_image().unwrap() else { panic!("not of 16 bits") };
    let count = line["instances"].as_u64().unwrap();
    assert_eq!(u64::from(*labels.iter().max().unwrap()), count);
    let notes = r.stderr.lines().filter(|l| l.contains("instances: ")).collect();
    Labels { labels, count, notes, by: line["instances_by"].as_str().unwrap().into() }
}

/// The foreground probability that this share of the image's pixels has at most.
fn quantile(share: f64) -> f64 {
    let f = folder(Value::Null);
    labels(&f, &[]);
    let mut p = elements(&f, "out/a_prob.npy").split_off(480);
    p.sort_by(f32::total_cmp);
    (f64::from(p[(share * 480.0) as usize]) * 1e6).round() / 1e6
}

fn area(labels: &[u16], n: u64) -> usize {
    labels.iter().filter(|&&l| u64::from(l) == n).count()
}

#[test]
fn the_file_says_how_and_options_replace_it() {
    let [low, middle, high] = [0.3, 0.6, 0.8].map(quantile);
    let f = folder(json!({ "threshold": middle, "min_area": 3 }));
    let own = labels(&f, &[]);
    assert_eq!(own.by, format!("connected components, probability above {middle}, at least 3 pixels"));
    assert!(own.notes.ends_with(&format!("instances: {} (the model's settings)", own.by)), "{}", own.notes);
    assert!(own.count > 1 && (1..=own.count).all(|n| area(&own.labels, n) >= 3));
    let all = labels(&f, &["--min-area", "0"]);
    assert!(all.notes.ends_with("(the model's settings, and those requested)"), "{}", all.notes);
    assert!(all.count > own.count);
    // The foreground is where the probability says so.
    let p = elements(&f, "out/a_prob.npy");
    for threshold in [low, middle, high] {
        let at = labels(&f, &["--min-area", "0", "--threshold", &threshold.to_string()]);
        let foreground: Vec<bool> = p[480..].iter().map(|&p| p > threshold as f32).collect();
        assert_eq!(at.labels.iter().map(|&l| l > 0).collect::<Vec<_>>(), foreground, "{threshold}");
    }
    // The mean over an instance, with numbers of `all`.
    let mean = |n: u64| {
        let inside =
            || all.labels.iter().zip(&p[480..]).filter(move |(l, _)| u64::from(**l) == n).map(|(_, p)| f64::from(*p));
        inside().sum::<f64>() / inside().count() as f64
    };
    let mut means: Vec<f64> = (1..=all.count).map(mean).collect();
    means.sort_by(f64::total_cmp);
    // Between the two that differ most.
    let gap = means.windows(2).max_by(|a, b| (a[1] - a[0]).total_cmp(&(b[1] - b[0]))).unwrap();
    let least = (gap[0] + gap[1]) / 2.0;
    let kept = labels(&f, &["--min-area", "0", "--min-confidence", &least.to_string()]);
    let expected = means.iter().filter(|m| **m >= least).count() as u64;
    assert!(expected < all.count && kept.count == expected, "{} of {}, not {expected}", kept.count, all.count);
    // Beside the median of areas.
    let mut areas: Vec<usize> = (1..=all.count).map(|n| area(&all.labels, n)).collect();
    areas.sort_unstable();
    let median = (areas[(areas.len() - 1) / 2] + areas[areas.len() / 2]) as f64 / 2.0;
    let large = labels(&f, &["--min-area", "0,100%"]);
    assert!(all.count >= 5);
    assert_eq!(large.count, areas.iter().filter(|a| **a as f64 >= median).count() as u64);
    // What has no effect is said.
    let r = f.run(
        &[&["segment", "data/images/a.png", "-m", "m.safetensors", "--threshold", "0.3", "--save", "mask"][..], &CPU]
            .concat(),
    );
    assert!(r.code == 0 && r.stderr.contains("have no effect without --save labels"), "{}", r.stderr);
    let overlay = |save: &str| {
        let args = [
            "segment",
            "data/images/a.png",
            "-m",
            "m.safetensors",
            "--overlay",
            "instances",
            "--save",
            save,
            "-o",
            "none/",
        ];
        let r = f.run(&[&args[..], &CPU].concat());
        assert_eq!(r.code, 0, "{}", r.stderr);
        r.stderr.contains("--overlay has no effect without --save overlay")
    };
    assert!(overlay("labels") && overlay("mask") && !overlay("overlay"));
}

#[test]
fn files_without_the_section_give_components_of_the_mask() {
    let f = folder(Value::Null);
    let plain = labels(&f, &[]);
    assert_eq!((plain.by.as_str(), plain.notes.as_str()), ("connected components", ""));
    let p = elements(&f, "out/a_prob.npy");
    let foreground: Vec<bool> = (0..480).map(|i| p[480 + i] > p[i]).collect();
    assert_eq!(plain.labels.iter().map(|&l| l > 0).collect::<Vec<_>>(), foreground);
}

#[test]
fn eval_scores_what_segment_writes() {
    let [low, middle] = [0.5, 0.6].map(|share| quantile(share).to_string());
    let threshold: f64 = middle.parse().unwrap();
    let f = folder(json!({ "method": "watershed", "threshold": threshold, "min_area": 2, "close_gaps": 1 }));
    std::fs::create_dir_all(f.path("data/labels")).unwrap();
    for args in [&[][..], &["--threshold", low.as_str(), "--min-area", "4", "--fill-holes=false"]] {
        let written = labels(&f, args);
        assert!(written.count > 1);
        let truth = image::ImageBuffer::<image::Luma<u16>, _>::from_raw(24, 20, written.labels).unwrap();
        truth.save(f.path("data/labels/a.png")).unwrap();
        let r = f.run(&[&["eval", "-m", "m.safetensors", "--data", "data", "--json"][..], &CPU, args].concat());
        assert_eq!(r.code, 0, "{}", r.stderr);
        let d: Value = serde_json::from_str(&r.stdout).unwrap();
        assert_eq!((&d["instances"]["predicted"], &d["instances_by"]), (&json!(written.count), &json!(written.by)));
        for score in ["mean_ap", "aji", "pq", "seg"] {
            assert_eq!(
                (&d["instances"][score], &d["images"][0]["scores"][score]),
                (&json!(1.0), &json!(1.0)),
                "{score}"
            );
        }
        let ious: Vec<f64> =
            d["instances"]["thresholds"].as_array().unwrap().iter().map(|t| t["iou"].as_f64().unwrap()).collect();
        assert_eq!(ious, [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9]);
        let text = f.run(&[&["eval", "-m", "m.safetensors", "--data", "data"][..], &CPU, args].concat()).stdout;
        assert!(text.contains("mean AP 1.0000, AJI 1.0000, PQ 1.0000, SEG 1.0000"), "{text}");
        assert!(text.contains("means over images: F1 at 0.5 1.0000, mean AP 1.0000, AJI 1.0000"), "{text}");
    }
}

#[test]
fn inspect_shows_the_section_and_errors_name_the_key() {
    let f = folder(json!({ "method": "watershed", "min_area": 20 }));
    let text = f.run(&["inspect", "m.safetensors"]).stdout;
    let line = "instances     watershed of the distance (seed depth 1), at least 20 pixels, holes filled";
    assert!(text.lines().any(|l| l == line), "{text}");
    let d: Value = serde_json::from_str(&f.run(&["inspect", "m.safetensors", "--json"]).stdout).unwrap();
    assert_eq!(d["instances"], json!({ "method": "watershed", "min_area": 20 }));
    // A copy keeps it.
    assert_eq!(f.run(&["convert", "m.safetensors", "copy.safetensors", "--f16"]).code, 0);
    assert!(f.run(&["inspect", "copy.safetensors"]).stdout.contains(line));
    let f = folder(json!({ "min_size": 20 }));
    let e = f.error(&["inspect", "m.safetensors"]);
    let expected = "m.safetensors: metadata `unet`: `instances`: `min_size` is not one of its keys: method, ";
    assert!(e.starts_with(expected), "{e}");
    let f = folder(json!({ "min_confidence": 85 }));
    let e = f.error(&["inspect", "m.safetensors"]);
    assert_eq!(e, "m.safetensors: metadata `unet`: `instances`: `min_confidence`: 85 is not from 0 to 1");
}

/// A network of five planes: foreground, distance, touching border and offsets.
#[test]
fn a_network_that_predicts_geometry_is_decoded_by_it() {
    let f = Folder::new();
    let config = json!({ "width": 2, "depth": 1, "padding": "same", "out_channels": 5 });
    let rules = json!({ "min_area": 0, "min_confidence": 0.0, "fill_holes": false, "min_seed": 0.0 });
    let metadata = json!({ "arch": "unet", "config": config, "target": "multi", "instances": rules });
    f.model("m.safetensors", metadata, ("unet", config), |_| ());
    for folder in ["data/images", "data/labels"] {
        std::fs::create_dir_all(f.path(folder)).unwrap();
    }
    f.image("data/images/a.png");
    let elevation = labels(&f, &[]);
    assert_eq!(
        elevation.by,
        "flood of the predicted elevation (seed depth 0.15, tops of at least 0, border weight 0.5, smoothing 1), \
         probability above 0.5"
    );
    let p = elements(&f, "out/a_prob.npy");
    assert_eq!(p.len(), 480, "the foreground alone");
    let inside = |labels: &[u16]| labels.iter().zip(&p).all(|(l, p)| *l == 0 || *p > 0.5);
    assert!(elevation.count > 0 && inside(&elevation.labels));
    // Every pixel arrives somewhere.
    let each = ["--instances", "offsets", "--votes", "1", "--min-cluster", "0"];
    let offsets = labels(&f, &each);
    assert_eq!(
        offsets.labels.iter().map(|l| *l > 0).collect::<Vec<_>>(),
        p.iter().map(|p| *p > 0.5).collect::<Vec<_>>()
    );
    assert!(offsets.count > 0);
    let components = labels(&f, &["--instances", "components"]);
    assert!(components.by.starts_with("connected components, probability above 0.5"), "{}", components.by);
    assert_eq!(
        components.labels.iter().map(|l| *l > 0).collect::<Vec<_>>(),
        p.iter().map(|p| *p > 0.5).collect::<Vec<_>>()
    );
    // A score of 1 against its own instances.
    for (found, args) in [(elevation, &[][..]), (offsets, &each)] {
        let truth = image::ImageBuffer::<image::Luma<u16>, _>::from_raw(24, 20, found.labels).unwrap();
        truth.save(f.path("data/labels/a.png")).unwrap();
        let r = f.run(&[&["eval", "-m", "m.safetensors", "--data", "data", "--json"][..], &CPU, args].concat());
        assert_eq!(r.code, 0, "{}", r.stderr);
        let d: Value = serde_json::from_str(&r.stdout).unwrap();
        assert_eq!((&d["instances"]["predicted"], &d["instances"]["aji"]), (&json!(found.count), &json!(1.0)));
    }
    let text = f.run(&["inspect", "m.safetensors"]).stdout;
    let target = "target        multi: foreground logit, distance, touching-border logit, offset y, offset x";
    assert!(text.lines().any(|l| l == target) && text.contains("classes       class 0, class 1\n"), "{text}");
    assert!(text.ends_with("outputs       logits, foreground, geometry\n"), "{text}");
    // Of a network without such planes it cannot be asked.
    let plain = folder(Value::Null);
    let all = ["segment", "data/images/a.png", "-m", "m.safetensors", "--save", "labels", "--instances", "elevation"];
    let e = plain.error(&[&all[..], &CPU].concat());
    assert_eq!(
        e,
        "method of instances: `elevation` needs a network that predicts a distance (target multi, distance or border); this \
         one predicts classes alone"
    );
}
