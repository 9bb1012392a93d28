//! `unet segment --shard`: several processes share one folder.

use crate::folder::Folder;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

const PARTS: [&str; 3] = ["1/3", "2/3", "3/3"];

/// Eight images and a small network.
fn folder() -> Folder {
    let f = Folder::new();
    f.unet("m.safetensors", json!({ "width": 2, "depth": 1, "padding": "same" }), |_| ());
    std::fs::create_dir(f.path("in")).unwrap();
    (0..8).for_each(|i| f.image(&format!("in/{i}.png")));
    f
}

fn args<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let own =
        ["segment", "in", "-m", "m.safetensors", "--save", "mask,labels,csv", "--device", "cpu", "--json", "-o", out];
    [&own[..], more].concat()
}

/// The images of a run's lines of JSON that were segmented, or that were skipped.
fn images(stdout: &str, skipped: bool) -> Vec<String> {
    let lines = stdout.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
    let wanted = lines.filter(|l| l.get("skipped").is_some() == skipped);
    wanted.map(|l| l["input"].as_str().unwrap().to_string()).collect()
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap());
    entries.map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap())).collect()
}

#[test]
fn three_processes_share_a_folder() {
    let f = folder();
    let whole = f.run(&args("whole", &[]));
    assert_eq!(whole.code, 0, "{}", whole.stderr);
    let start = |part: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_unet"));
        command.current_dir(f.path(".")).args(args("out", &["--skip-existing", "--shard", part]));
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    };
    let together = || {
        let running = PARTS.map(start);
        running.map(|child| {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success());
            String::from_utf8(output.stdout).unwrap()
        })
    };
    let outputs = together();
    let mut done: Vec<_> = outputs.iter().flat_map(|o| images(o, false)).collect();
    done.sort();
    assert_eq!(done, (0..8).map(|i| format!("in/{i}.png")).collect::<Vec<_>>(), "every image once");
    assert_eq!(images(&outputs[1], false), ["in/1.png", "in/4.png", "in/7.png"]);
    assert_eq!(files(&f.path("out")), files(&f.path("whole")));

    // A part is the same whatever results exist.
    ["0_mask.png", "4_labels.tif", "5_objects.csv"]
        .iter()
        .for_each(|n| std::fs::remove_file(f.path("out").join(n)).unwrap());
    let again = together();
    assert_eq!(again.each_ref().map(|o| images(o, false)), [vec!["in/0.png"], vec!["in/4.png"], vec!["in/5.png"]]);
    assert_eq!(images(&again[0], true), ["in/3.png", "in/6.png"]);
    assert_eq!(files(&f.path("out")), files(&f.path("whole")));
}

#[test]
fn more_parts_than_images() {
    let f = folder();
    let r = f.run(&args("out", &["--shard", "9/9"]));
    assert_eq!((r.code, r.stdout.as_str()), (0, ""), "{}", r.stderr);
    assert!(r.stderr.contains("part 9/9 has 0 of 8 images"), "{}", r.stderr);
    // A clash of names is found by every part, not only where both images are in one.
    std::fs::copy(f.path("in/0.png"), f.path("in/0.bmp")).unwrap();
    let clash = f.error(&args("out", &["--shard", "9/9"]));
    assert!(clash.contains("two images would both be written here"), "{clash}");
}

#[test]
fn parts_that_do_not_exist() {
    let f = folder();
    for (part, reason) in
        [("0/3", "parts are 1 to 3"), ("4/3", "parts are 1 to 3"), ("1/0", "at least one part"), ("x", "1/3")]
    {
        f.usage(&args("out", &["--shard", part]), reason);
    }
}
