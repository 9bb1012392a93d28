use std::io::{Cursor, Write};
use std::path::PathBuf;

use super::*;
use crate::weights::{load, load_bytes};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/fixtures/torch").join(name)
}

/// Both readers, that of files and that of bytes in memory, which agree. Errors are those of the latter, and of the former where it
/// has other words.
fn both(bytes: &[u8], name: &str) -> std::result::Result<Checkpoint, [String; 2]> {
    match (load_bytes(bytes, name), read_memory(bytes, Path::new(name), None)) {
        (Ok(disk), Ok(memory)) => {
            assert_eq!(format!("{disk:?}"), format!("{memory:?}"), "{name}");
            Ok(memory)
        }
        (Err(disk), Err(memory)) => Err([memory.to_string(), disk.to_string()]),
        (disk, memory) => panic!("{name}: {:?}, but in memory {:?}", disk.err(), memory.err()),
    }
}

/// Tensor values of `scripts/make_torch_fixtures.py`.
fn values(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i % 17) as f32 / 4.0 - 1.0).collect()
}

fn reasons(c: &Checkpoint) -> Vec<String> {
    c.ignored.iter().map(|i| format!("{}: {}", i.key, i.reason)).collect()
}

#[test]
fn every_element_type_and_both_containers() {
    for name in ["types.pth", "legacy.pt"] {
        let c = load(fixture(name)).unwrap();
        let get = |key: &str| c.weights.get(key).unwrap();
        for (key, dims) in [("f32", &[2, 3, 1, 2][..]), ("f16", &[2, 3]), ("bf16", &[2, 3]), ("f64", &[5])] {
            assert_eq!(get(key).dims(), dims, "{name} {key}");
            assert_eq!(get(key).data(), values(dims.iter().product()), "{name} {key}");
        }
        assert_eq!((get("i64").dims(), get("i64").data()), (&[][..], &[7.0][..]));
        assert_eq!((get("transposed").dims(), get("transposed").data()[1]), (&[2, 3][..], -0.5), "{name}");
        assert_eq!(get("empty").dims(), [0, 4]);
        assert_eq!((c.weights.len(), c.metadata, c.ignored.len()), (7, None, 0));
    }
}

#[test]
fn state_dicts_are_found_inside_training_states() {
    let c = load(fixture("training.ckpt")).unwrap();
    let keys = ["bn.bias", "bn.num_batches_tracked", "bn.running_mean", "bn.running_var", "bn.weight", "conv.weight"];
    assert_eq!(c.weights.keys().collect::<Vec<_>>(), keys);
    assert_eq!(c.weights.get("conv.weight").unwrap().data(), values(18));
    let reasons = reasons(&c);
    assert!(reasons.contains(&"epoch: the number 7, not a tensor".to_string()), "{reasons:?}");
    assert!(reasons.iter().any(|r| r.starts_with("optimizer_state_dict.") && r.ends_with(": state of training")));
    assert!(reasons.contains(&"config.name: the string \"block\", not a tensor".to_string()));
}

/// A pickle of tables that hold one tensor `w` of two floats each, which start at the given element of one storage.
fn tables(names: &[&str], numel: u32) -> Vec<u8> {
    let mut p = b"\x80\x02}(".to_vec();
    for (i, name) in names.iter().enumerate() {
        p.push(b'X');
        p.extend((name.len() as u32).to_le_bytes());
        p.extend(name.bytes());
        let inner = pickle_at(&["w"], numel, 2 * i as u32, &[2], &[1]);
        p.extend(&inner[2..inner.len() - 1]);
    }
    p.extend(b"u.");
    p
}

#[test]
fn one_of_several_state_dicts_is_used_with_a_note() {
    let storage: Vec<u8> = (0..6).flat_map(|i| (i as f32).to_le_bytes()).collect();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.pth");
    let open = |names: &[&str], state: Option<&str>| {
        std::fs::write(&path, archive(&tables(names, 6), &storage)).unwrap();
        crate::weights::open_state(path.to_str().unwrap(), state)
    };
    let w = |c: &Checkpoint| c.weights.get("w").unwrap().data().to_vec();
    for name in ["ema", "model_weights", "state", "state_dict_ema", "model_ema"] {
        let c = open(&[name], None).unwrap();
        assert_eq!((w(&c), c.notes.len()), (vec![0.0, 1.0], 0), "{name}");
    }
    let c = open(&["ema", "optimizer", "model"], None).unwrap();
    assert_eq!(w(&c), [4.0, 5.0]);
    assert_eq!(c.notes, ["it holds `model` and `ema`; `model` is used (state=ema chooses the other)"]);
    assert_eq!(w(&open(&["ema", "optimizer", "model"], Some("ema")).unwrap()), [0.0, 1.0]);
    // An unknown name, but requested.
    assert_eq!(w(&open(&["swa", "model"], Some("swa")).unwrap()), [0.0, 1.0]);
    let e = open(&["ema", "model"], Some("emma")).unwrap_err().to_string();
    assert!(e.ends_with("m.pth: state=emma: no state dict has that name, only `ema`, `model`"), "{e}");
    assert!(crate::weights::open_state("nuclei", Some("ema")).is_err());
}

#[test]
fn whole_modules_and_values_beside_tensors() {
    let c = load(fixture("module.pth")).unwrap();
    assert_eq!((c.weights.len(), c.weights.get("scratch")), (6, None), "a buffer that is not persistent");
    assert_eq!(c.weights.get("conv.weight").unwrap().data(), values(18));
    let c = load(fixture("beside.pth")).unwrap();
    assert_eq!((c.weights.len(), reasons(&c)), (6, vec!["mask_values: a list of 2, not a tensor".to_string()]));
    let e = load(fixture("config.pt")).unwrap_err().to_string();
    assert!(e.ends_with("config.pt: holds no tensors; it holds `layers`, `lr`"), "{e}");
}

#[test]
fn files_in_memory_are_read_too() {
    let bytes = std::fs::read(fixture("types.pth")).unwrap();
    for name in ["beside.pth", "legacy.pt", "module.pth", "training.ckpt", "types.pth"] {
        let read = both(&std::fs::read(fixture(name)).unwrap(), name).unwrap();
        assert_eq!(read, load(fixture(name)).unwrap());
        assert!(read.weights.len() >= 6, "{name}");
    }
    let e = both(&std::fs::read(fixture("config.pt")).unwrap(), "config.pt").unwrap_err();
    assert!(e.iter().all(|e| e == "config.pt: holds no tensors; it holds `layers`, `lr`"), "{e:?}");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.pth.gz");
    std::fs::write(&path, super::super::gzip::deflate(&bytes, &path).unwrap()).unwrap();
    assert_eq!(load(&path).unwrap().weights.len(), 7);
}

#[test]
fn damaged_files_are_errors() {
    for name in ["types.pth", "legacy.pt", "training.ckpt", "module.pth"] {
        let bytes = std::fs::read(fixture(name)).unwrap();
        for cut in (4..bytes.len() - 1).step_by(37) {
            let e = both(&bytes[..cut], name).unwrap_err();
            assert!(e.iter().all(|e| e.starts_with(name) && !e.contains("/tmp")), "cut at {cut}: {e:?}");
        }
        // A changed byte may be accepted, but must not cause a panic or an unbounded read.
        for at in (0..bytes.len()).step_by(11) {
            let mut changed = bytes.clone();
            changed[at] ^= 0xff;
            let _ = load_bytes(&changed, name);
            let _ = read_memory(&changed, Path::new(name), None);
        }
    }
}

/// A zip of stored or deflated entries.
fn zip_of(entries: &[(&str, &[u8])], method: zip::CompressionMethod) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in entries {
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A pickle of `{key: tensor}`s over one storage of `numel` floats, with the given shape and strides.
fn pickle(keys: &[&str], numel: u32, shape: &[u32], strides: &[u32]) -> Vec<u8> {
    pickle_at(keys, numel, 0, shape, strides)
}

/// The same, from an element of the storage on.
fn pickle_at(keys: &[&str], numel: u32, offset: u32, shape: &[u32], strides: &[u32]) -> Vec<u8> {
    let mut p = b"\x80\x02}(".to_vec();
    let int = |p: &mut Vec<u8>, v: u32| {
        p.push(b'J');
        p.extend(v.to_le_bytes());
    };
    let text = |p: &mut Vec<u8>, s: &str| {
        p.push(b'X');
        p.extend((s.len() as u32).to_le_bytes());
        p.extend(s.bytes());
    };
    for key in keys {
        text(&mut p, key);
        p.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut p, "storage");
        p.extend(b"ctorch\nFloatStorage\n");
        text(&mut p, "0");
        text(&mut p, "cpu");
        int(&mut p, numel);
        p.extend(b"tQ");
        int(&mut p, offset);
        for dims in [shape, strides] {
            p.push(b'(');
            dims.iter().for_each(|&d| int(&mut p, d));
            p.push(b't');
        }
        p.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    }
    p.extend(b"u.");
    p
}

fn archive(pickle: &[u8], storage: &[u8]) -> Vec<u8> {
    let entries = [("a/data.pkl", pickle), ("a/version", b"3\n"), ("a/data/0", storage)];
    zip_of(&entries, zip::CompressionMethod::Stored)
}

#[test]
fn hand_made_pickles_are_read() {
    let bytes: Vec<u8> = [0.5f32, 1.5].iter().flat_map(|v| v.to_le_bytes()).collect();
    let c = both(&archive(&pickle(&["w"], 2, &[2], &[1]), &bytes), "m.pth").unwrap();
    assert_eq!(c.weights.get("w").unwrap().data(), [0.5, 1.5]);
    // Views: of a part, across, of one element again and again, of none.
    let six: Vec<u8> = (0..6).flat_map(|i| (i as f32).to_le_bytes()).collect();
    for (offset, shape, strides, expected) in [
        (1, &[2, 2][..], &[3, 1][..], &[1.0, 2.0, 4.0, 5.0][..]),
        (0, &[3, 2], &[1, 3], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0]),
        (5, &[1, 3], &[7, 0], &[5.0; 3]),
        (6, &[0, 4], &[4, 1], &[]),
        (4, &[], &[], &[4.0]),
    ] {
        let c = both(&archive(&pickle_at(&["w"], 6, offset, shape, strides), &six), "m.pth").unwrap();
        assert_eq!(
            (c.weights.get("w").unwrap().dims().len(), c.weights.get("w").unwrap().data()),
            (shape.len(), expected)
        );
    }
    for (offset, shape, strides) in
        [(5, &[2][..], &[1][..]), (0, &[2, 2], &[5, 1]), (7, &[0], &[1]), (0, &[2], &[1, 1])]
    {
        both(&archive(&pickle_at(&["w"], 6, offset, shape, strides), &six), "m.pth").unwrap_err();
    }
    // Python keeps the last of equal keys, and so does the reader.
    let c = both(&archive(&pickle(&["w", "w"], 2, &[2], &[1]), &bytes), "m.pth").unwrap();
    assert_eq!(c.weights.len(), 1);
    let nan: Vec<u8> = [f32::NAN, f32::INFINITY].iter().flat_map(|v| v.to_le_bytes()).collect();
    let c = both(&archive(&pickle(&["w"], 2, &[2], &[1]), &nan), "m.pth").unwrap();
    assert_eq!(c.weights.non_finite(), [("w".to_string(), 2)]);
}

#[test]
fn claims_beyond_the_file_are_errors() {
    let error = |bytes: &[u8], words: &str| {
        let e = both(bytes, "m.pth").unwrap_err();
        assert!(e.iter().all(|e| e.starts_with("m.pth: ") && e.contains(words)), "{e:?}");
    };
    // A view that repeats one element 2^28 times: 1 GiB.
    let claim = "parameter `w`: shape [16384, 16384] claims far more than the";
    error(&archive(&pickle(&["w"], 1, &[1 << 14, 1 << 14], &[0, 0]), &[0; 4]), claim);
    error(&archive(&pickle(&["w"], 1, &[1 << 30, 1 << 30, 1 << 30], &[0, 0, 0]), &[0; 4]), "");
    error(&archive(&pickle(&["w"], 1 << 20, &[1 << 20], &[1]), &[0; 4]), "");
    // A description that inflates to far more than its file.
    let bomb = zip_of(&[("a/data.pkl", &vec![b']'; 20 << 20])], zip::CompressionMethod::Deflated);
    error(&bomb, "is too long for a file of");
    // Nested a million deep, as a list and within itself.
    let deep = [&b"\x80\x02"[..], &vec![b']'; 1 << 19], &vec![b'a'; (1 << 19) - 1], b"."].concat();
    error(&archive(&deep, &[]), "");
    let within = b"\x80\x02}q\0X\x01\0\0\0ah\0s.";
    assert!(read_memory(&archive(within, &[]), Path::new("m.pth"), None).unwrap_err().to_string().contains("500 deep"));
    // Each list holds the one before twice.
    let doubled = [&b"\x80\x02}X\x01\0\0\0a]"[..], &b"q\x000]h\0ah\0a".repeat(64), b"s."].concat();
    assert!(
        read_memory(&archive(&doubled, &[]), Path::new("m.pth"), None).unwrap_err().to_string().contains("too often")
    );
}

/// What tells tensors and is not understood is an error, not a model without them.
#[test]
fn tensors_in_unknown_objects_are_errors() {
    let tensor = pickle(&["w"], 1, &[1], &[1]);
    // The dict of the tensor as the argument of a call.
    let inner = &tensor[2..tensor.len() - 1];
    let called = [&b"\x80\x02}X\x01\0\0\0xcmine\nThing\n"[..], inner, b"\x85Rs."].concat();
    let e = both(&archive(&called, &[0; 4]), "m.pth").unwrap_err();
    assert!(e[0].contains("a `mine.Thing` holds tensors"), "{e:?}");
    let state = [&b"\x80\x02}X\x01\0\0\0xcmine\nThing\n)\x81"[..], inner, b"bs."].concat();
    both(&archive(&state, &[0; 4]), "m.pth").unwrap_err();
    // Without tensors it is left out.
    let plain = [&b"\x80\x02}(X\x01\0\0\0xcmine\nThing\n)\x81X\x01\0\0\0y"[..], inner, b"u."].concat();
    let c = both(&archive(&plain, &[0; 4]), "m.pth").unwrap();
    assert_eq!(reasons(&c), ["x: a `mine.Thing`, not a tensor"]);
}

#[test]
fn other_zips_say_what_they_are() {
    let error = |entries: &[(&str, &[u8])]| {
        load_bytes(&zip_of(entries, zip::CompressionMethod::Stored), "m.pt").unwrap_err().to_string()
    };
    let script =
        error(&[("net/data.pkl", b"\x80\x02}."), ("net/constants.pkl", b"\x80\x02)."), ("net/code/a.py", b"")]);
    assert!(script.contains("is a TorchScript program") && script.contains("torch.jit.load"), "{script}");
    let e = error(&[("word/document.xml", b"<a/>")]);
    assert_eq!(e, "m.pt: a zip archive without PyTorch's `data.pkl`; it holds word/document.xml");
}
