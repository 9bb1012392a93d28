//! Images of a folder overlap: while one is in the network the next are opened and the last are written. What is written and
//! printed must be as if each had its own run.

use crate::folder::Folder;
use image::{GrayImage, Luma};
use serde_json::{Value, json};

const KINDS: &str = "mask,overlay,prob-npy,labels,csv";
const SUFFIXES: [&str; 5] = ["mask.png", "overlay.png", "prob.npy", "labels.tif", "objects.csv"];

fn args<'a>(inputs: &[&'a str], out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let fixed = ["-m", "m.safetensors", "-o", out, "--save", KINDS, "--device", "cpu", "--json", "-q"];
    [&["segment"], inputs, &fixed[..], more].concat()
}

/// Images `00.png` and so on: of many sizes, one of which is too large to be opened ahead with a small memory.
fn images(f: &Folder) -> Vec<String> {
    (0..24u32)
        .map(|i| {
            let side = if i == 17 { 400 } else { 20 + i % 5 };
            let name = format!("{i:02}.png");
            let value = |x: u32, y: u32| {
                if (x / 6 + y / 5 + i).is_multiple_of(3) { 220 } else { (x * 7 + y * 3 + i) as u8 % 60 }
            };
            GrayImage::from_fn(side, side + i % 3, |x, y| Luma([value(x, y)])).save(f.path(&name)).unwrap();
            name
        })
        .collect()
}

#[test]
fn a_folder_gives_what_each_image_gives() {
    let f = Folder::new();
    f.unet("m.safetensors", json!({ "width": 2, "depth": 1, "padding": "same" }), |_| ());
    let mut names = images(&f);
    for name in &names {
        let r = f.run(&args(&[name], "alone/", &[]));
        assert_eq!(r.code, 0, "{}", r.stderr);
    }
    std::fs::write(f.path("05.png"), b"\x89PNG\r\n\x1a\nno image").unwrap();
    names.insert(11, "missing.tif".into());
    std::fs::write(f.path("missing.tif"), b"II*\0 nothing").unwrap();
    // 64M leaves 4M for what is open ahead, which the large image exceeds with its decoder.
    for (out, more) in [("together/", vec![]), ("little/", vec!["--memory", "64M"]), ("batch/", vec!["--batch", "3"])] {
        std::fs::create_dir(f.path(out)).unwrap();
        // One image is done already.
        for suffix in SUFFIXES {
            std::fs::copy(f.path(&format!("alone/03_{suffix}")), f.path(&format!("{out}03_{suffix}"))).unwrap();
        }
        let inputs: Vec<&str> = names.iter().map(String::as_str).collect();
        let r = f.run(&args(&inputs, out, &[&["--skip-existing"], &more[..]].concat()));
        assert_eq!(r.code, 1, "two images are broken: {}", r.stderr);
        let lines: Vec<Value> = r.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let printed: Vec<&str> = lines.iter().map(|line| line["input"].as_str().unwrap()).collect();
        assert_eq!(printed, inputs, "{out}: lines are in the order of the images");
        for (line, name) in lines.iter().zip(&names) {
            match name.as_str() {
                "05.png" | "missing.tif" => assert!(line["error"].as_str().unwrap().contains(name), "{line}"),
                "03.png" => assert_eq!(line["skipped"], true),
                _ => {
                    assert!(line["instances"].as_u64().unwrap() > 0, "{line}");
                    for suffix in SUFFIXES {
                        let file = format!("{}_{suffix}", name.trim_end_matches(".png"));
                        let [alone, together] =
                            ["alone/", out].map(|dir| std::fs::read(f.path(&format!("{dir}{file}"))));
                        assert!(alone.unwrap() == together.unwrap(), "{out}{file}");
                    }
                }
            }
        }
        let left = std::fs::read_dir(f.path(out))
            .unwrap()
            .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().ends_with(".tmp"));
        assert_eq!(left.count(), 0, "temporary files are gone");
    }
}

/// What cannot be written fails its own image, on whichever thread, and no other. A limit on the size of files is as a full disk.
#[cfg(unix)]
#[test]
fn a_result_that_cannot_be_written_fails_its_image() {
    let f = Folder::new();
    f.unet("m.safetensors", json!({ "width": 2, "depth": 1, "padding": "same" }), |_| ());
    let names = images(&f);
    let inputs: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 200; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_unet")]);
    command.args(args(&inputs, "out/", &["--no-cache"])).current_dir(f.path("")).env_remove("UNET_DEVICE");
    let output = command.output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let lines: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let failed: Vec<&Value> = lines.iter().filter(|line| line["error"].is_string()).collect();
    assert_eq!((lines.len(), failed.len()), (names.len(), 1), "{stderr}");
    assert_eq!(failed[0]["input"], "17.png", "the large one");
    assert!(failed[0]["error"].as_str().unwrap().contains("out/17_prob.npy"), "{}", failed[0]);
    for name in &names {
        let written = f.path(&format!("out/{}", name.replace(".png", "_prob.npy"))).is_file();
        assert_eq!(written, name != "17.png", "{name}");
    }
}
