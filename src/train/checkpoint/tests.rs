use super::*;
use crate::model::{UNet, whole_graph};
use crate::{Model, model};
use std::fs::{self, File};
use std::path::Path;

fn metadata() -> ModelMetadata {
    ModelMetadata::parse(r#"{"arch": "unet", "config": {"width": 2, "depth": 1}, "classes": ["a", "b"]}"#).unwrap()
}

fn state() -> TrainState {
    let tensor = |dims: &[usize], data: &[f32]| HostTensor::new(dims, data.to_vec()).unwrap();
    let tensors = [
        ("enc.0.conv1.weight", tensor(&[2, 1, 1, 2], &[f32::MIN_POSITIVE, 1e-45, -0.0, 0.1])),
        ("moment1/enc.0.conv1.weight", tensor(&[2, 1, 1, 2], &[3.0e38, 1.000_000_1, 7.0, -2.5])),
        ("accumulated/head.bias", tensor(&[3], &[0.3, 0.2, 0.1])),
        ("long", tensor(&[40_000], &(0..40_000).map(|i| (i as f32).sin()).collect::<Vec<_>>())),
        ("none", tensor(&[0], &[])),
        ("scalar", tensor(&[], &[0.7])),
    ];
    let extra =
        json!({"plateau": {"best": 0.1 + 0.2, "wait": 3}, "seed": u64::MAX, "tiny": 2.225_073_858_507_201e-308});
    let tensors = tensors.map(|(k, t)| (k.to_string(), t)).into();
    TrainState { step: u64::MAX - 3, best: Some(0.937_118_432_197_654_3), extra, tensors }
}

fn bits(state: &TrainState) -> Vec<u32> {
    state.tensors.values().flat_map(|t| t.data()).map(|v| v.to_bits()).collect()
}

fn error(path: &Path) -> String {
    let text = load_state(path).unwrap_err().to_string();
    let text = text.strip_prefix(&format!("{}: ", path.display())).unwrap_or_else(|| panic!("no path: {text}"));
    text.to_string()
}

#[test]
fn a_state_keeps_every_bit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("last.safetensors");
    let mut expected = state();
    save_state(&path, &expected, &metadata()).unwrap();
    let (got, described) = load_state(&path).unwrap();
    assert_eq!((&got, bits(&got), described), (&expected, bits(&expected), metadata()));
    let first = fs::read(&path).unwrap();
    save_state(&path, &got, &metadata()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), first, "the same bytes again");
    // Also what no comparison of numbers sees.
    let odd = vec![f32::from_bits(0x7fc0_1234), f32::NEG_INFINITY];
    expected.tensors.insert("odd".into(), HostTensor::new([2], odd).unwrap());
    expected.best = None;
    save_state(&path, &expected, &metadata()).unwrap();
    let got = load_state(&path).unwrap().0;
    assert_eq!((bits(&got), got.best), (bits(&expected), None));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn random_numbers_of_the_loop_keep_every_bit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let mut rng = super::super::Rng::new(5, 0);
    let numbers = (0..500)
        .map(|_| f64::from_bits(u64::from(rng.next_u32()) << 32 | u64::from(rng.next_u32())))
        .filter(|v| v.is_finite())
        .collect::<Vec<_>>();
    let state = TrainState { step: 0, best: None, extra: json!(numbers), tensors: BTreeMap::new() };
    save_state(&path, &state, &metadata()).unwrap();
    let read: Vec<f64> = serde_json::from_value(load_state(&path).unwrap().0.extra).unwrap();
    assert!(read.iter().zip(&numbers).all(|(a, b)| a.to_bits() == b.to_bits()));
}

#[test]
fn damage_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("last.safetensors");
    save_state(&path, &state(), &metadata()).unwrap();
    let whole = fs::read(&path).unwrap();
    for keep in [0, 1, 7, 8, 100, 900, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..keep]).unwrap();
        let e = error(&path);
        assert!(e.contains("cut off"), "{keep}: {e}");
    }
    for at in (0..1200).step_by(17).chain((1200..whole.len()).step_by(4999)) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        error(&path);
    }
    let mut bytes = whole.clone();
    *bytes.last_mut().unwrap() ^= 0x10;
    fs::write(&path, &bytes).unwrap();
    assert_eq!(error(&path), "damaged: the checksum does not fit the contents");
}

#[test]
fn files_that_are_no_state() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.safetensors");
    assert!(error(dir.path()).contains("is not a file"));
    assert!(load_state(&path).is_err());
    save_model(&path, &state().tensors, &metadata()).unwrap();
    assert_eq!(error(&path), "holds a model, not the state of a training run");
    weights::save(&path, &Checkpoint::default(), StoredType::F32).unwrap();
    assert_eq!(error(&path), "holds weights, not the state of a training run");
    fs::write(&path, b"\x89PNG\r\n\x1a\n").unwrap();
    error(&path);
    let training = r#"{"format": 2}"#;
    let unet = metadata().to_json().unwrap();
    fs::write(&path, header(&BTreeMap::new(), &unet, training)).unwrap();
    let expected = "metadata `unet_training`: format 2 is not supported, this version reads format 1";
    assert_eq!(error(&path), expected);
    fs::write(&path, header(&BTreeMap::new(), &unet, r#"{"format": 1, "step": -1}"#)).unwrap();
    assert!(error(&path).starts_with("metadata `unet_training`: invalid value: integer `-1`"), "{}", error(&path));
}

#[test]
fn what_cannot_be_written_keeps_the_earlier_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("last.safetensors");
    save_state(&path, &state(), &metadata()).unwrap();
    let earlier = fs::read(&path).unwrap();
    let best = TrainState { best: Some(f64::NAN), ..state() };
    let mut named = state();
    named.tensors.insert("__metadata__".into(), HostTensor::new([1], vec![0.0]).unwrap());
    let mut wrong = metadata();
    wrong.format = 9;
    for (state, metadata) in [(&best, &metadata()), (&named, &metadata()), (&state(), &wrong)] {
        let e = save_state(&path, state, metadata).unwrap_err().to_string();
        assert!(e.starts_with(&path.display().to_string()), "{e}");
    }
    assert_eq!(fs::read(&path).unwrap(), earlier);
    assert!(save_state(dir.path().join("no/folder"), &state(), &metadata()).is_err());
}

/// Takes so many bytes.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(self.0);
        self.0 -= n;
        if n == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(n) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_an_error_wherever_it_strikes() {
    let state = state();
    let header = header(&state.tensors, "{}", "{}");
    let whole = header.len() + 4 * state.tensors.values().map(|t| t.data().len()).sum::<usize>();
    for room in [0, 5, header.len(), header.len() + 3, whole - 1] {
        assert_eq!(write(&mut Full(room), &header, &state.tensors).unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
    write(&mut Full(whole), &header, &state.tensors).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_keeps_the_earlier_state() {
    // A file in a folder that takes none: the nearest to a full disk that needs no rights.
    let path = Path::new("/dev/full/last.safetensors");
    assert!(save_state(path, &state(), &metadata()).is_err());
    let mut full = File::options().write(true).open("/dev/full").unwrap();
    let header = header(&state().tensors, "{}", "{}");
    assert_eq!(write(&mut full, &header, &state().tensors).unwrap_err().kind(), io::ErrorKind::StorageFull);
}

#[test]
fn what_a_killed_process_left_goes_with_the_next_save() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("last.safetensors");
    save_state(&path, &state(), &metadata()).unwrap();
    let left = dir.path().join(".last.safetensors.aB3x.tmp");
    fs::write(&left, &fs::read(&path).unwrap()[..300]).unwrap();
    assert_eq!(load_state(&path).unwrap().0, state());
    save_state(&path, &state(), &metadata()).unwrap();
    assert!(!left.exists());
}

#[test]
fn models_open_without_the_optimiser() {
    let dir = tempfile::tempdir().unwrap();
    let network = UNet { width: 2, depth: 1, ..Default::default() };
    let graph = whole_graph(&network, 1, 64, 64).unwrap();
    let mut tensors = BTreeMap::new();
    for (name, dims) in graph.parameters() {
        let tensor = HostTensor::new(dims, vec![0.25; dims.iter().product()]).unwrap();
        tensors.insert(name.to_string(), tensor.clone());
        tensors.insert(super::super::moment(1, name), tensor);
    }
    let architecture: &dyn model::Architecture = &network;
    let described = ModelMetadata { arch: architecture.id().into(), config: architecture.config(), ..metadata() };
    let path = dir.path().join("best.safetensors");
    save_model(&path, &tensors, &described).unwrap();
    let model = Model::open(path.to_str().unwrap()).unwrap();
    assert_eq!((model.unused_keys().unwrap(), &model.metadata), (vec![], &described));
    assert!(model.weights().iter().all(|(k, t)| tensors[k] == *t));
    // A state is a model with more in it.
    save_state(&path, &TrainState { tensors, ..state() }, &described).unwrap();
    assert!(
        Model::open(path.to_str().unwrap()).unwrap().unused_keys().unwrap().iter().all(|k| k.starts_with("moment1/"))
    );
}
