//! The metadata of groups and arrays: `zarr.json` of version 3, or `.zgroup`, `.zarray` and `.zattrs` of version 2.

use std::io::{ErrorKind, Read};
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use crate::error::{Error, Result};
use crate::io::fs::{self, File};

/// Longer metadata are refused.
const MAX_DOCUMENT: u64 = 16 << 20;

/// Version of the storage format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Zarr 2, as in OME-Zarr up to 0.4.
    V2,
    /// Zarr 3, as in OME-Zarr 0.5.
    V3,
}

/// A group or an array.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub folder: PathBuf,
    pub format: Format,
    /// Its metadata, if it is an array.
    pub array: Option<Value>,
    pub attributes: Value,
}

/// Whether a folder is a group or an array of Zarr.
pub fn is_zarr(folder: &Path) -> bool {
    ["zarr.json", ".zgroup", ".zarray", ".zattrs"].iter().any(|name| fs::is_file(folder.join(name)))
}

/// A JSON document in a folder; `None` if there is none.
pub(crate) fn document(folder: &Path, name: &str) -> Result<Option<Value>> {
    let path = folder.join(name);
    let wrong = |reason: String| Error::file(folder, format!("{name}: {reason}"));
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(e) => return Err(Error::io(path, e)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes).map_err(|e| Error::io(&path, e))?;
    if bytes.len() as u64 > MAX_DOCUMENT {
        return Err(wrong(format!("is longer than {MAX_DOCUMENT} bytes")));
    }
    let value: Value = serde_json::from_slice(&bytes).map_err(|e| wrong(format!("is no JSON ({e})")))?;
    if value.is_object() { Ok(Some(value)) } else { Err(wrong("is no JSON object".into())) }
}

/// The name and the configuration of an item of version 3, which may be a string.
pub(super) fn named(value: &Value) -> (&str, &Value) {
    match value {
        Value::String(name) => (name, &Value::Null),
        _ => (
            value.get("name").and_then(Value::as_str).unwrap_or_default(),
            value.get("configuration").unwrap_or(&Value::Null),
        ),
    }
}

pub(super) fn numbers(value: Option<&Value>) -> Option<Vec<u64>> {
    value?.as_array()?.iter().map(Value::as_u64).collect()
}

impl Node {
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let node = |format, array, attributes| Self { folder: folder.to_path_buf(), format, array, attributes };
        if let Some(mut value) = document(folder, "zarr.json")? {
            if value.get("zarr_format").and_then(Value::as_u64) != Some(3) {
                return Err(Error::file(folder, "zarr.json: `zarr_format` is not 3"));
            }
            let attributes = value.get_mut("attributes").map(Value::take).unwrap_or_default();
            return match value.get("node_type").and_then(Value::as_str) {
                Some("group") => Ok(node(Format::V3, None, attributes)),
                Some("array") => Ok(node(Format::V3, Some(value), attributes)),
                _ => Err(Error::file(folder, "zarr.json: `node_type` is neither group nor array")),
            };
        }
        let array = document(folder, ".zarray")?;
        let group = document(folder, ".zgroup")?;
        let attributes = document(folder, ".zattrs")?;
        if array.is_none() && group.is_none() && attributes.is_none() {
            return Err(Error::file(
                folder,
                "is no Zarr group or array: it has no zarr.json, .zgroup, .zarray or .zattrs",
            ));
        }
        if let Some(value) = array.as_ref().or(group.as_ref())
            && value.get("zarr_format").and_then(Value::as_u64) != Some(2)
        {
            let name = if array.is_some() { ".zarray" } else { ".zgroup" };
            return Err(Error::file(folder, format!("{name}: `zarr_format` is not 2")));
        }
        Ok(node(Format::V2, array, attributes.unwrap_or_default()))
    }

    /// The file that has the attributes.
    pub(crate) fn file(&self) -> &'static str {
        match self.format {
            Format::V2 => ".zattrs",
            Format::V3 => "zarr.json",
        }
    }

    /// The attributes of OME-Zarr.
    pub(crate) fn ome(&self) -> &Value {
        match (self.format, self.attributes.get("ome")) {
            (Format::V3, Some(ome)) => ome,
            _ => &self.attributes,
        }
    }

    /// An error about its attributes.
    pub(super) fn wrong(&self, reason: impl std::fmt::Display) -> Error {
        Error::file(&self.folder, format!("{}: {reason}", self.file()))
    }

    /// The folder at a path in the metadata, which must lie below this one.
    pub(super) fn below(&self, path: &str) -> Result<PathBuf> {
        let inside = Path::new(path).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        match inside && !path.is_empty() && !path.contains('\\') {
            true => Ok(self.folder.join(path)),
            false => Err(self.wrong(format!("the path `{path}` does not lead below it"))),
        }
    }
}
