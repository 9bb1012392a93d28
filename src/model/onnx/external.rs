//! External data: tensors that an ONNX file stores in other files, in its own folder or supplied in memory.

use super::proto::TensorProto;
use super::tensor::count;
use super::{HEAD, Reason};
use crate::error::Error;
use crate::io::Input;
#[cfg(feature = "std-fs")]
use crate::io::fs;
use crate::weights;
use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Reader of tensors in other files.
pub(super) struct ExternalData<'a> {
    files: Files<'a>,
    /// Size in bytes of every file used.
    sizes: HashMap<PathBuf, u64>,
    bytes_read: u64,
}

/// Location of the other files.
enum Files<'a> {
    /// In a folder.
    #[cfg(feature = "std-fs")]
    Folder(PathBuf),
    /// In memory, by name.
    Memory(&'a BTreeMap<String, Arc<[u8]>>),
}

impl Files<'_> {
    /// A file by its name in the model; it must lie inside the model's folder.
    fn get(&self, location: &str) -> Result<Input, Reason> {
        match self {
            #[cfg(feature = "std-fs")]
            Self::Folder(folder) => {
                let failed = |e: std::io::Error| Reason::from(format!("its file `{location}`: {e}"));
                let path = fs::canonicalize(folder.join(location)).map_err(failed)?;
                // A symbolic link may lead out of the folder.
                if !path.starts_with(fs::canonicalize(folder).map_err(failed)?) {
                    return Err(format!("lies in `{location}`, which leads out of the model's folder: refused").into());
                }
                let metadata = fs::metadata(&path).map_err(failed)?;
                if !metadata.is_file() {
                    return Err(format!("lies in `{location}`, which is not a file").into());
                }
                Ok(path.into())
            }
            Self::Memory(files) => {
                let plain = location.trim_start_matches("./");
                let bytes =
                    files.get(plain).ok_or_else(|| Reason::from(format!("its file `{location}` does not exist")))?;
                Ok(Input::bytes(plain, bytes.clone()))
            }
        }
    }
}

impl<'a> ExternalData<'a> {
    /// Reads from the folder of the model's file.
    #[cfg(feature = "std-fs")]
    pub(super) fn in_folder(path: &Path) -> Self {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Self { files: Files::Folder(folder.to_path_buf()), sizes: HashMap::new(), bytes_read: 0 }
    }

    /// Reads from `files`, by name.
    pub(super) fn in_memory(files: &'a BTreeMap<String, Arc<[u8]>>) -> Self {
        Self { files: Files::Memory(files), sizes: HashMap::new(), bytes_read: 0 }
    }

    /// The bytes of a tensor if it is stored in another file.
    pub(super) fn read(&mut self, proto: &TensorProto) -> Result<Option<Vec<u8>>, Reason> {
        if proto.data_location != 1 {
            return Ok(None);
        }
        let entry = |key: &str| proto.external_data.iter().find(|e| e.key == key).map(|e| e.value.trim());
        let number = |key: &str| match entry(key) {
            None => Ok(None),
            Some(text) => text.parse::<u64>().map(Some).map_err(|_| Reason::from(format!("its {key} is `{text}`"))),
        };
        let location = entry("location").ok_or("lies in another file, which is not named")?;
        let inside = Path::new(location).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        if !inside || location.contains('\\') || location.is_empty() {
            return Err(format!("lies in `{location}`, outside of the model's folder: refused").into());
        }
        let failed = |e: std::io::Error| Reason::from(format!("its file `{location}`: {e}"));
        let input = self.files.get(location)?;
        let (mut file, size) = input.open().map_err(|e| match e {
            Error::Io { source, .. } => failed(source),
            e => Reason::from(e),
        })?;
        let mut head = Vec::new();
        Read::by_ref(&mut file).take(HEAD as u64).read_to_end(&mut head).map_err(failed)?;
        if head.starts_with(weights::LFS_POINTER) {
            return Err(format!("its file `{location}` is {}", weights::looks_like(&head).unwrap_or_default()).into());
        }
        let offset = number("offset")?.unwrap_or(0);
        let length = number("length")?.unwrap_or(size.saturating_sub(offset));
        if offset.checked_add(length).is_none_or(|end| end > size) {
            return Err(
                format!("bytes {offset} to {offset} + {length} are not in `{location}`, which has {size}").into()
            );
        }
        // No type has more than 8 bytes: bounds the memory before reading.
        let dims: Option<Vec<usize>> = proto.dims.iter().map(|&d| usize::try_from(d).ok()).collect();
        let max = count(&dims.ok_or("negative dimensions")?)? as u64 * 8;
        if length > max {
            return Err(format!("{length} bytes in `{location}` for dimensions {:?}", proto.dims).into());
        }
        self.sizes.insert(input.name().to_path_buf(), size);
        self.bytes_read = self.bytes_read.saturating_add(length);
        // Tensors may share bytes, but not to the extent of a decompression bomb.
        if self.bytes_read > self.sizes.values().sum::<u64>().saturating_mul(4) {
            return Err("the same bytes of other files are used too often: refused".into());
        }
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length as usize).map_err(|e| Reason::from(format!("does not fit into memory: {e}")))?;
        file.take(length).read_to_end(&mut bytes).map_err(failed)?;
        Ok(Some(bytes))
    }
}
