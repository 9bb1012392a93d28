//! Reads `manifest.json` of a fixture folder and the files it lists, with their checksums.

use crate::error::{Error, Result};
use crate::io::fs;
use crate::tensor::HostTensor;
use crate::weights::{Weights, load_bytes};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The supported format.
const FORMAT: &str = "unet-golden-1";

/// A fixture folder.
#[derive(Debug, Deserialize)]
pub struct Manifest {
    format: String,
    /// The folder.
    #[serde(skip)]
    pub dir: PathBuf,
    /// The cases, in order.
    pub cases: Vec<Entry>,
}

/// One case.
#[derive(Debug, Deserialize)]
pub struct Entry {
    /// Unique name.
    pub name: String,
    /// Kind of test: `ops`, `model`, `losses`, ...
    pub kind: String,
    /// Its files.
    pub files: BTreeMap<String, FileSum>,
    /// The description it was generated from.
    pub case: Value,
    /// The network of a checkpoint: its id as `arch`, and its options.
    #[serde(default)]
    pub config: Value,
    /// Number of tensors of a checkpoint.
    #[serde(default)]
    pub keys: Option<usize>,
    /// Groups of tensors, by prefix of their names.
    #[serde(default)]
    pub groups: BTreeMap<String, Group>,
    /// Parameters whose exact gradient is zero.
    #[serde(default)]
    pub zero_grad_params: Vec<String>,
}

/// Facts about a group of tensors.
#[derive(Debug, Deserialize)]
pub struct Group {
    /// Error of PyTorch's own `f32`.
    pub f32_err: f32,
}

/// Size and checksum of a file.
#[derive(Debug, Deserialize)]
pub struct FileSum {
    bytes: u64,
    sha256: String,
}

/// A file of a case, with its checksum verified.
#[derive(Debug)]
pub struct CaseFile {
    /// Path.
    pub path: PathBuf,
    /// File name.
    pub name: String,
    /// Contents.
    pub bytes: Vec<u8>,
}

impl Manifest {
    /// Reads `dir/manifest.json`.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join("manifest.json");
        let text = fs::read(&path).map_err(|e| Error::io(&path, e))?;
        let mut manifest: Self = serde_json::from_slice(&text)
            .map_err(|e| Error::file(&path, format!("not a manifest of format {FORMAT}: {e}")))?;
        if manifest.format != FORMAT {
            return Err(Error::file(&path, format!("format `{}`, this version reads {FORMAT}", manifest.format)));
        }
        if manifest.cases.is_empty() {
            return Err(Error::file(&path, "no cases"));
        }
        manifest.dir = dir.to_path_buf();
        Ok(manifest)
    }
}

impl Entry {
    /// Reads the case's files. Errors if one is missing, or if its size or checksum is wrong.
    pub fn read_files(&self, dir: &Path) -> Result<Vec<CaseFile>> {
        self.files
            .iter()
            .map(|(name, sum)| {
                let path = dir.join(name);
                if name.is_empty() || name.contains(['/', '\\', ':']) || name.starts_with('.') {
                    return Err(Error::file(dir.join("manifest.json"), format!("`{name}` is not a plain file name")));
                }
                let size = fs::metadata(&path).map_err(|e| Error::io(&path, e))?.len();
                if size != sum.bytes {
                    return Err(Error::file(&path, format!("corrupt: {size} bytes, should be {}", sum.bytes)));
                }
                let bytes = fs::read(&path).map_err(|e| Error::io(&path, e))?;
                let found: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
                if !found.eq_ignore_ascii_case(&sum.sha256) {
                    return Err(Error::file(&path, format!("corrupt: sha256 {found}, should be {}", sum.sha256)));
                }
                Ok(CaseFile { path, name: name.clone(), bytes })
            })
            .collect()
    }

    /// Whether a case of kind `model` also trains the network.
    pub(super) fn is_training(&self) -> bool {
        self.mode() == "train"
    }

    /// Mode of a case of kind `model`: `eval` or `train`.
    pub(super) fn mode(&self) -> &str {
        self.case.get("mode").and_then(Value::as_str).unwrap_or("eval")
    }

    /// The tensors of the case, from the file with its name.
    pub(super) fn tensors(&self, files: &[CaseFile]) -> Result<Weights> {
        let name = format!("{}.safetensors", self.name);
        let file = files.iter().find(|f| f.name == name);
        let file = file.ok_or_else(|| Error::invalid(&self.name, format!("the manifest lists no file `{name}`")))?;
        Ok(load_bytes(&file.bytes, &file.path)?.weights)
    }
}

/// The tensors whose names start with `prefix`, which is removed.
pub(super) fn under(tensors: &Weights, prefix: &str) -> BTreeMap<String, HostTensor> {
    tensors.iter().filter_map(|(k, t)| Some((k.strip_prefix(prefix)?.to_string(), t.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(file: &str, bytes: u64, sha256: &str) -> Entry {
        let files = BTreeMap::from([(file.to_string(), FileSum { bytes, sha256: sha256.into() })]);
        let (groups, zero_grad_params) = (BTreeMap::new(), vec![]);
        let (case, config, keys) = (Value::Null, Value::Null, None);
        Entry { name: "a".into(), kind: "ops".into(), files, case, config, keys, groups, zero_grad_params }
    }

    #[test]
    fn files_must_match_the_manifest() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.safetensors"), "abc").unwrap();
        let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(entry("a.safetensors", 3, sum).read_files(dir.path()).unwrap()[0].bytes, b"abc");
        let error = |name, bytes, sum| entry(name, bytes, sum).read_files(dir.path()).unwrap_err().to_string();
        assert!(error("a.safetensors", 4, sum).ends_with("a.safetensors: corrupt: 3 bytes, should be 4"));
        assert!(error("a.safetensors", 3, "00").ends_with("ad, should be 00"));
        assert!(error("b.safetensors", 3, sum).contains("b.safetensors: "));
        assert!(error("../a", 3, sum).contains("`../a` is not a plain file name"));
    }

    #[test]
    fn manifests_of_other_formats_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let error = |text: &str| {
            std::fs::write(dir.path().join("manifest.json"), text).unwrap();
            Manifest::read(dir.path()).unwrap_err().to_string()
        };
        assert!(error("[").contains("not a manifest of format unet-golden-1"));
        assert!(error(r#"{"format": "unet-golden-9", "cases": []}"#).contains("this version reads unet-golden-1"));
        assert!(error(r#"{"format": "unet-golden-1", "cases": []}"#).contains("no cases"));
    }
}
