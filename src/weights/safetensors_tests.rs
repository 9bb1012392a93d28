use proptest::prelude::*;

use super::*;
use crate::weights::load_bytes;

/// A file from its header and data.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header.as_bytes());
    out.extend(data);
    out
}

fn error(bytes: &[u8]) -> String {
    let e = load_bytes(bytes, "m.safetensors").unwrap_err().to_string();
    e.strip_prefix("m.safetensors: ").unwrap_or_else(|| panic!("no path: {e}")).to_string()
}

fn one(dtype: &str, shape: &str, bytes: &[u8]) -> Vec<u8> {
    let n = bytes.len();
    file(&format!(r#"{{"k":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{n}]}}}}"#), bytes)
}

fn valid() -> Vec<u8> {
    let mut weights = Weights::new();
    weights.insert("a", HostTensor::new([2, 2], vec![1.0, -2.0, 0.5, 4.0]).unwrap());
    weights.insert("b", HostTensor::new([3], vec![0.1, 0.2, 0.3]).unwrap());
    let metadata = Some(ModelMetadata::parse(r#"{"arch": "unet", "config": {}}"#).unwrap());
    SafetensorsFormat
        .write(&Checkpoint { metadata, weights, ..Checkpoint::default() }, StoredType::F16, Path::new("m"))
        .unwrap()
}

#[test]
fn every_element_type_becomes_f32() {
    let bytes = |values: [f32; 2], f: &dyn Fn(f32) -> Vec<u8>| values.map(f).concat();
    let check = |dtype: &str, data: Vec<u8>, expected: [f32; 2]| {
        let c = load_bytes(&one(dtype, "[2]", &data), "m").unwrap();
        assert_eq!(c.metadata, None);
        assert_eq!(c.weights.require("k", &[2]).unwrap().data(), expected, "{dtype}");
    };
    let v = [-1.5, 2.0];
    check("F32", bytes(v, &|x| x.to_le_bytes().to_vec()), v);
    check("F64", bytes(v, &|x| f64::from(x).to_le_bytes().to_vec()), v);
    check("F16", bytes(v, &|x| f16::from_f32(x).to_le_bytes().to_vec()), v);
    check("BF16", bytes(v, &|x| bf16::from_f32(x).to_le_bytes().to_vec()), v);
    let v = [-3.0, 7.0];
    check("I8", bytes(v, &|x| (x as i8).to_le_bytes().to_vec()), v);
    check("I16", bytes(v, &|x| (x as i16).to_le_bytes().to_vec()), v);
    check("I32", bytes(v, &|x| (x as i32).to_le_bytes().to_vec()), v);
    check("I64", bytes(v, &|x| (x as i64).to_le_bytes().to_vec()), v);
    let v = [200.0, 7.0];
    check("U8", bytes(v, &|x| (x as u8).to_le_bytes().to_vec()), v);
    check("U16", bytes(v, &|x| (x as u16).to_le_bytes().to_vec()), v);
    check("U32", bytes(v, &|x| (x as u32).to_le_bytes().to_vec()), v);
    check("U64", bytes(v, &|x| (x as u64).to_le_bytes().to_vec()), v);
    check("BOOL", vec![0, 1], [0.0, 1.0]);
}

#[test]
fn scalars_and_empty_tensors_are_tensors() {
    let c = load_bytes(&one("F32", "[]", &1f32.to_le_bytes()), "m").unwrap();
    assert_eq!(c.weights.require("k", &[]).unwrap().data(), [1.0]);
    let c = load_bytes(&one("F32", "[0,4]", &[]), "m").unwrap();
    assert_eq!(c.weights.parameters(), 0);
    assert!(load_bytes(&file("{}", &[]), "m").unwrap().weights.is_empty());
}

#[test]
fn lying_headers_are_explained() {
    assert_eq!(
        error(&one("F8_E4M3", "[1]", &[0])),
        "parameter `k`: element type F8_E4M3 is not supported (F64, F32, F16, BF16 and integers are)"
    );
    assert_eq!(error(&one("Q4", "[1]", &[0])), "parameter `k`: unknown element type `Q4`");
    assert_eq!(
        error(&one("F32", "[3]", &[0; 8])),
        "parameter `k`: shape [3] of F32 needs 12 bytes, the file gives it 8"
    );
    assert_eq!(
        error(&one("F32", "[4294967296,4294967296]", &[0; 8])),
        "parameter `k`: shape [4294967296, 4294967296] is impossibly large"
    );
    assert_eq!(error(&one("F32", "[-1]", &[0; 4])), "parameter `k`: `shape` is not a list of sizes");
    let backwards = r#"{"k":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#;
    assert_eq!(error(&file(backwards, &[0; 4])), "parameter `k`: `data_offsets` 4 to 0 run backwards");
    let overlap = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}"#;
    assert!(error(&file(overlap, &[0; 6])).contains("`b`"));
    let mut extra = one("F32", "[1]", &[0; 4]);
    extra.push(0);
    assert_eq!(error(&extra), "1 bytes of data belong to no parameter");
    assert!(error(&file("{nonsense", &[])).starts_with("the header is not JSON: "));
    assert_eq!(error(&file("{}", &[])[..8]), "cut off inside the header: 8 of 10 bytes are there");
    let metadata = r#"{"__metadata__":{"unet":{"format":1}}}"#;
    assert_eq!(error(&file(metadata, &[])), "`__metadata__` in the header is not a table of texts");
    let mut huge = u64::MAX.to_le_bytes().to_vec();
    huge.extend(b"{\"");
    assert_eq!(error(&huge), format!("not safetensors: the header is said to have {} bytes", u64::MAX));
}

#[test]
fn a_cut_file_says_how_much_is_missing() {
    let whole = one("F32", "[2,2]", &[0; 16]);
    assert_eq!(error(&whole[..whole.len() - 5]), "cut off: the header announces 16 bytes of data, 11 are there");
}

#[test]
fn metadata_is_optional_but_must_be_right() {
    let with = |unet: &str| file(&format!(r#"{{"__metadata__":{{"format":"pt",{unet}}}}}"#), &[]);
    assert_eq!(load_bytes(&with(r#""other":"x""#), "m").unwrap().metadata, None);
    assert!(error(&with(r#""unet":"oops""#)).starts_with("metadata `unet`: not JSON: "));
    let future = with(r#""unet":"{\"format\": 7}""#);
    assert_eq!(error(&future), "metadata `unet`: format 7 is not supported, this version reads format 1");
}

#[test]
fn hostile_names_do_not_flood_the_error() {
    let key = format!("{}\\u0007", "x".repeat(100_000));
    let e = error(&file(&format!(r#"{{"{key}":{{"dtype":"Q4","shape":[],"data_offsets":[0,0]}}}}"#), &[]));
    assert!(e.len() < 200 && e.contains("xxx...`: unknown element type"), "{e}");
    assert_eq!(shown("a\u{7}\n"), "a\\u{7}\\n");
}

#[test]
fn the_reserved_name_cannot_be_written() {
    let mut c = Checkpoint::default();
    c.weights.insert("__metadata__", HostTensor::new([1], vec![0.0]).unwrap());
    assert!(SafetensorsFormat.write(&c, StoredType::F32, Path::new("m")).is_err());
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), header in ".{0,60}") {
        let _ = load_bytes(&bytes, "m.safetensors");
        let _ = load_bytes(&file(&header, &bytes), "m.safetensors");
        let _ = load_bytes(&[&[0x1f, 0x8b, 8, 0], &bytes[..]].concat(), "m.gz");
        let _ = SafetensorsFormat.read(&bytes, Path::new("m"), None);
    }

    #[test]
    fn every_cut_is_an_error(cut in 0usize..10_000) {
        let whole = valid();
        let e = load_bytes(&whole[..cut % whole.len()], "m.safetensors").unwrap_err().to_string();
        prop_assert!(e.starts_with("m.safetensors: cut off") || e.ends_with("the file is empty"), "{}", e);
    }

    #[test]
    fn changed_bytes_never_panic(changes in proptest::collection::vec((0usize..10_000, any::<u8>()), 1..6)) {
        let mut bytes = valid();
        for (at, value) in changes {
            let n = bytes.len();
            bytes[at % n] = value;
        }
        let _ = load_bytes(&bytes, "m.safetensors");
    }

    #[test]
    fn whatever_is_written_is_read(dims in proptest::collection::vec(0usize..4, 0..4), seed: u32, key in "\\PC{0,20}") {
        let n: usize = dims.iter().product();
        let data = (0..n as u32).map(|i| (seed.wrapping_mul(i + 1) >> 8) as f32 - 8e6).collect();
        let mut c = Checkpoint::default();
        c.weights.insert(key, HostTensor::new(dims, data).unwrap());
        let bytes = SafetensorsFormat.write(&c, StoredType::F32, Path::new("m")).unwrap();
        prop_assert_eq!(load_bytes(&bytes, "m").unwrap(), c);
    }
}
