use std::fs;
use std::path::PathBuf;

use super::*;
use crate::tensor::HostTensor;
use crate::weights::{ModelMetadata, Weights, builtin, open};

fn checkpoint() -> Checkpoint {
    let mut weights = Weights::new();
    let values = (0..24).map(|i| (i as f32 - 11.0) * 0.37).collect();
    weights.insert("enc.0.conv1.weight", HostTensor::new([2, 3, 2, 2], values).unwrap());
    weights.insert("enc.0.bn1.running_var", HostTensor::new([2], vec![1e-7, 3.000_000_2]).unwrap());
    weights.insert("large", HostTensor::new([1, 2], vec![1e6, 1.000_1]).unwrap());
    let metadata = ModelMetadata::parse(r#"{"arch": "unet", "config": {"width": 2}, "classes": ["a", "b"]}"#).unwrap();
    Checkpoint { metadata: Some(metadata), weights, ..Checkpoint::default() }
}

fn folder() -> (tempfile::TempDir, impl Fn(&str, &[u8]) -> PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().to_path_buf();
    (dir, move |name: &str, bytes: &[u8]| {
        let path = base.join(name);
        fs::write(&path, bytes).unwrap();
        path
    })
}

fn error(path: &Path) -> String {
    let text = load(path).unwrap_err().to_string();
    let text = text.strip_prefix(&format!("{}: ", path.display())).unwrap_or_else(|| panic!("no path: {text}"));
    text.to_string()
}

#[test]
fn f32_round_trip_is_exact_and_leaves_one_file() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["m.safetensors", "m.safetensors.gz", "m.SafeTensors"] {
        let path = dir.path().join(name);
        save(&path, &checkpoint(), StoredType::F32).unwrap();
        assert_eq!(load(&path).unwrap(), checkpoint());
        let first = fs::read(&path).unwrap();
        save(&path, &checkpoint(), StoredType::F32).unwrap();
        assert_eq!(fs::read(&path).unwrap(), first, "the same bytes again");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "no temporary file is left");
}

#[test]
fn f16_stores_small_and_large_tensors_exactly() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.safetensors");
    save(&path, &checkpoint(), StoredType::F16).unwrap();
    let (got, expected) = (load(&path).unwrap(), checkpoint());
    assert_eq!(got.metadata, expected.metadata);
    for key in ["enc.0.bn1.running_var", "large"] {
        assert_eq!(got.weights.get(key), expected.weights.get(key));
    }
    let key = "enc.0.conv1.weight";
    let c = got.weights.get(key).unwrap().compare(expected.weights.get(key).unwrap()).unwrap();
    assert!(c.max_error > 0.0 && c.within(4.9e-4), "{c:?}");
}

#[test]
fn files_that_are_not_models() {
    let (dir, write) = folder();
    let missing = dir.path().join("none.safetensors");
    assert!(error(&missing).contains("No such file") || cfg!(not(unix)));
    assert!(load(dir.path()).is_err());
    let known = "known formats: safetensors (.safetensors), PyTorch (.pt, .pth, .ckpt), plain or gzipped (.gz)";
    assert_eq!(error(&write("0.safetensors", b"")), "the file is empty");
    assert_eq!(error(&write("0.gz", &gzip::deflate(b"", Path::new("x")).unwrap())), "the file is empty");
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    let expected = format!("not a model file, it looks like a PNG image; {known}");
    assert_eq!(error(&write("cat.png", png)), expected);
    assert_eq!(error(&write("cat.safetensors", png)), expected);
    assert_eq!(error(&write("cat.gz", &gzip::deflate(png, Path::new("x")).unwrap())), expected);
    assert_eq!(error(&write("noise", &[0xf7; 99])), format!("not a model file; {known}"));
    assert_eq!(error(&write("m.safetensors", &[1, 2])), "cut off: 2 bytes, and the length of the header alone takes 8");
    assert!(error(&write("m.gz", b"\x1f\x8b\x08\0\0")).starts_with("the gzip data is damaged or cut off"));
}

#[test]
fn saving_reports_and_keeps_the_old_file() {
    let (dir, write) = folder();
    let e = save(dir.path().join("m.bin"), &checkpoint(), StoredType::F32).unwrap_err().to_string();
    assert!(e.contains("m.bin: no format has this extension; known: safetensors"), "{e}");
    let e = save(dir.path().join("no/m.safetensors"), &checkpoint(), StoredType::F32).unwrap_err().to_string();
    assert!(e.contains("no/m.safetensors: "), "{e}");
    let path = write("old.safetensors", b"old");
    let mut bad = checkpoint();
    bad.metadata.as_mut().unwrap().format = 9;
    let e = save(&path, &bad, StoredType::F32).unwrap_err().to_string();
    assert!(e.contains("old.safetensors: metadata `unet`: format 9 is not supported"), "{e}");
    assert_eq!(fs::read(&path).unwrap(), b"old");
}

#[cfg(unix)]
#[test]
fn saved_files_are_ordinary_and_links_stay() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, write) = folder();
    let (plain, link) = (write("plain.safetensors", b""), dir.path().join("link.safetensors"));
    std::os::unix::fs::symlink(&plain, &link).unwrap();
    let usual = fs::metadata(&plain).unwrap().permissions().mode();
    save(&link, &checkpoint(), StoredType::F32).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&plain).unwrap().permissions().mode(), usual);
    assert_eq!(load(&plain).unwrap(), checkpoint());
}

#[test]
fn names_open_built_in_models() {
    assert_eq!(open(builtin::DEFAULT).unwrap().metadata.unwrap().arch, "unet");
    let e = open("nucleus").unwrap_err().to_string();
    let names = "nuclei, nuclei-unet++, nuclei-unet3+, nuclei-he";
    assert_eq!(e, format!("model `nucleus`: neither a file nor a built-in model ({names})"));
    assert!(open("none.safetensors").unwrap_err().to_string().starts_with("none.safetensors: "));
}
