use super::*;
use crate::infer::{Ids, write_mask};

fn run(report: &mut Report, steps: std::ops::RangeInclusive<u64>) {
    for step in steps {
        let x = step as f64;
        report.train(step, &[("loss", f64::from(1.0 / (x as f32).sqrt())), ("lr", 1e-3 / 3.0 * x)]).unwrap();
        if step % 4 == 0 {
            report.validation(step, &[("dice", (x / 7.0).sin()), ("f1, of \"all\"", f64::NAN)]).unwrap();
            report.curves().unwrap();
        }
    }
}

fn text(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap()
}

fn events(folder: &Path) -> Vec<u8> {
    let files = event_files(folder).unwrap();
    assert_eq!(files.len(), 1);
    fs::read(&files[0]).unwrap()
}

#[test]
fn numbers_are_written_as_they_come() {
    let dir = tempfile::tempdir().unwrap();
    let mut report = Report::create(dir.path().join("new/folder")).unwrap();
    let folder = dir.path().join("new/folder");
    report.train(1, &[("loss", 0.5), ("lr", 1e-5)]).unwrap();
    report.validation(1, &[("dice, all", f64::INFINITY), ("f1", f64::NAN)]).unwrap();
    let csv = "step,split,name,value\n1,train,loss,0.5\n1,train,lr,0.00001\n\
               1,validation,\"dice, all\",inf\n1,validation,f1,nan\n";
    assert_eq!(text(&folder, "metrics.csv"), csv);
    let jsonl = "{\"step\":1,\"split\":\"train\",\"loss\":0.5,\"lr\":0.00001}\n\
                 {\"step\":1,\"split\":\"validation\",\"dice, all\":null,\"f1\":null}\n";
    assert_eq!(text(&folder, "metrics.jsonl"), jsonl);
    Report::create(&folder).unwrap();
    assert_eq!(text(&folder, "metrics.csv"), CSV_HEADER);
    assert_eq!(events(&folder).len(), events::version(0.0).len());
}

#[test]
fn a_continued_run_leaves_the_same_bytes() {
    let whole = tempfile::tempdir().unwrap();
    run(&mut Report::create(whole.path()).unwrap(), 1..=20);
    for (stopped, kept) in [(13, 8), (8, 8), (9, 0), (20, 20), (17, 16)] {
        let dir = tempfile::tempdir().unwrap();
        run(&mut Report::create(dir.path()).unwrap(), 1..=stopped);
        // Killed in the middle of lines.
        for name in ["metrics.csv", "metrics.jsonl"] {
            let mut file = OpenOptions::new().append(true).open(dir.path().join(name)).unwrap();
            file.write_all(b"8,tra").unwrap();
        }
        let mut report = Report::resume(dir.path(), kept).unwrap();
        run(&mut report, kept + 1..=20);
        report.curves().unwrap();
        for name in ["metrics.csv", "metrics.jsonl", "curves.svg"] {
            assert_eq!(text(dir.path(), name), text(whole.path(), name), "{name} after {stopped}, from {kept}");
        }
        assert_eq!(events(dir.path()).len(), events(whole.path()).len());
    }
    assert_eq!(text(whole.path(), "metrics.jsonl").lines().count(), 25);
}

#[test]
fn damaged_and_missing_files_do_not_stop_a_run() {
    let dir = tempfile::tempdir().unwrap();
    run(&mut Report::create(dir.path()).unwrap(), 1..=6);
    let path = dir.path().join("metrics.jsonl");
    let lines = text(dir.path(), "metrics.jsonl");
    fs::write(&path, [lines.lines().next().unwrap(), "\n\0\0\0\n", &lines].concat()).unwrap();
    fs::remove_file(dir.path().join("metrics.csv")).unwrap();
    fs::write(&event_files(dir.path()).unwrap()[0], b"nonsense").unwrap();
    let report = Report::resume(dir.path(), 6).unwrap();
    assert_eq!((report.rows.len(), text(dir.path(), "metrics.jsonl").lines().count()), (1, 1));
    assert_eq!(text(dir.path(), "metrics.csv"), CSV_HEADER);
    assert_eq!(events(dir.path()).len(), events::version(0.0).len());
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let e = Report::create(file.join("run")).unwrap_err().to_string();
    assert!(e.starts_with(&file.display().to_string()), "{e}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named() {
    let path = PathBuf::from("/dev/full");
    let file = OpenOptions::new().append(true).open(&path).unwrap();
    let mut full = Appended { path, file, len: 0 };
    let e = full.append(b"1,train,loss,0.5\n").unwrap_err().to_string();
    assert!(e.starts_with("/dev/full: No space left"), "{e}");
    assert_eq!(full.len, 0);
}

#[test]
fn predictions_are_shown_beside_the_truth() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (w, h) = (160, 90);
    let disc = |x: usize, y: usize, at: usize| (x.abs_diff(at).pow(2) + y.abs_diff(45).pow(2) < 700) as u8;
    for (folder, id) in [("images", 1u8), ("masks", 1)] {
        fs::create_dir_all(data.join(folder)).unwrap();
        let ids = (0..w * h).map(|i| id * disc(i % w, i / w, 60)).collect();
        let mask = Mask::new(w, h, 2, Ids::U8(ids)).unwrap();
        write_mask(data.join(folder).join("a.png"), &mask).unwrap();
    }
    let data = Dataset::open(&data).unwrap();
    let ids = (0..w * h).map(|i| disc(i % w, i / w, 70)).collect();
    let mask = Mask::new(w, h, 2, Ids::U8(ids)).unwrap();
    let mut report = Report::create(dir.path().join("run")).unwrap();
    report.images(3, &data, &Default::default(), &Default::default(), &[]).unwrap();
    assert!(!dir.path().join("run/predictions_3.png").exists());
    report.images(40, &data, &Default::default(), &Default::default(), &[(0, mask.clone())]).unwrap();
    let path = dir.path().join("run/predictions_40.png");
    let grid = crate::Image::open(&path).unwrap();
    assert_eq!([grid.width(), grid.height(), grid.channels()], [6 + 3 * 326, 6 + 186, 3]);
    let at = |x: usize, y: usize| grid.window(6 + x, 6 + y, 1, 1).unwrap();
    // The middle of the disc is white; there the class's colour tints it.
    assert_eq!(at(120, 90), [255.0; 3]);
    assert_eq!(at(326 + 120, 90), at(2 * 326 + 140, 90));
    assert_ne!(at(326 + 120, 90), [255.0; 3]);
    assert_eq!([at(326 + 4, 4), at(2 * 326 + 4, 4)], [[0.0; 3]; 2], "background is as it was");
    // In the event file too, after the version.
    assert!(events(&dir.path().join("run")).windows(8).any(|w| w == b"\x89PNG\r\n\x1a\n"));
    let small = Mask::new(2, 1, 2, Ids::U8(vec![0, 1])).unwrap();
    let e = report.images(41, &data, &Default::default(), &Default::default(), &[(0, small)]).unwrap_err().to_string();
    assert!(e.contains("a.png: has 160x90 pixels, the prediction has 2x1"), "{e}");
    let e = report
        .images(41, &data, &Default::default(), &Default::default(), &[(7, mask.clone())])
        .unwrap_err()
        .to_string();
    assert_eq!(e, "prediction: of image 7, which does not exist");
    fs::write(data.pairs()[0].mask.as_ref().unwrap(), b"no image").unwrap();
    assert!(report.images(42, &data, &Default::default(), &Default::default(), &[(0, mask)]).is_err());
}

/// Writes reports for a look, with images of the data set in `UNET_LOOK_DATA` if there is one:
/// `UNET_LOOK=folder cargo test --lib look_at_reports -- --ignored`.
#[test]
#[ignore = "for eyes"]
fn look_at_reports() {
    let folder = std::env::var("UNET_LOOK").unwrap();
    let mut report = Report::create(&folder).unwrap();
    let mut rng = super::super::Rng::new(1, 1);
    for step in 1..=1200u64 {
        let x = step as f64;
        let loss = 0.9 * (-x / 200.0).exp() + 0.08 + 0.04 * rng.uniform();
        report.train(step, &[("loss", loss), ("lr", 1e-3 * (1.0 - x / 1300.0))]).unwrap();
        if step % 100 == 0 {
            let dice = 0.95 - 0.6 * (-x / 250.0).exp();
            let values = [("dice", dice), ("f1", dice - 0.1), ("val_loss", 0.1 + 0.5 * (-x / 180.0).exp())];
            report.validation(step, &values).unwrap();
        }
    }
    report.curves().unwrap();
    let Ok(data) = std::env::var("UNET_LOOK_DATA") else { return };
    let data = Dataset::open(data).unwrap();
    let shown = data.pairs().iter().take(3).enumerate().map(|(i, pair)| {
        let image = crate::Image::open(&pair.image).unwrap();
        let ground_truth = super::super::GroundTruth::read_for(&image, pair, 2, &Default::default()).unwrap().classes;
        let (w, h) = (image.width(), image.height());
        // As if predicted three pixels too far to the right.
        let ids = (0..w * h).map(|i| if i % w < 3 { 0 } else { ground_truth.labels()[i - 3] as u8 }).collect();
        (i, Mask::new(w, h, 2, Ids::U8(ids)).unwrap())
    });
    report.images(1200, &data, &Default::default(), &Default::default(), &shown.collect::<Vec<_>>()).unwrap();
}
