//! Tuned choices on disk: a JSON file for each adapter, driver, backend and version of this crate.

#[cfg(feature = "std-fs")]
use crate::error::{Error, Result};
#[cfg(feature = "std-fs")]
use crate::gpu::Gpu;
use crate::kernel::{ConvClass, ConvFamily, Tuning};
use serde::{Deserialize, Serialize};
#[cfg(feature = "std-fs")]
use std::path::{Path, PathBuf};

const FORMAT: u32 = 1;
/// Far more than all networks of the family together.
#[cfg(feature = "std-fs")]
const LARGEST: u64 = 16 << 20;

#[derive(Serialize, Deserialize)]
struct Document {
    format: u32,
    /// What the choices are for; of another device they mean nothing.
    device: String,
    convolutions: Vec<Entry>,
    /// What tensors lie in, where that is not the usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    storage: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    class: ConvClass,
    family: String,
}

/// The choices kept in `folder` for this device. A file that is damaged, or of another adapter, driver or version, is
/// not there.
#[cfg(feature = "std-fs")]
pub fn load(gpu: &Gpu, folder: &Path) -> Option<Tuning> {
    let path = gpu.cache_file(folder, "tuning", "json");
    if std::fs::metadata(&path).ok()?.len() > LARGEST {
        return None;
    }
    let text = std::fs::read_to_string(&path).ok()?;
    let tuning = parse(&text, &gpu.identity());
    if tuning.is_none() {
        log::info!("{}: not a file of this adapter, driver and version, or damaged; ignored", path.display());
    }
    tuning
}

/// The choices that a text made by [`write()`] holds, if it is of `device`.
pub fn parse(text: &str, device: &str) -> Option<Tuning> {
    let document: Document = serde_json::from_str(text).ok()?;
    if document.format != FORMAT || document.device != device {
        return None;
    }
    let mut tuning = Tuning::default();
    for e in document.convolutions {
        tuning.set(e.class, e.family.parse::<ConvFamily>().ok()?);
    }
    tuning.set_storage(document.storage.map(|i| i.parse()).transpose().ok()?);
    Some(tuning)
}

/// Choices as a text, marked as those of `device`.
pub fn write(tuning: &Tuning, device: String) -> String {
    let entry = |(class, family): (&ConvClass, ConvFamily)| Entry { class: *class, family: family.name().into() };
    let storage = tuning.storage().map(|i| i.name().into());
    let document = Document { format: FORMAT, device, convolutions: tuning.iter().map(entry).collect(), storage };
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

/// Keeps choices in `folder`, in place of what was there; gives the file.
#[cfg(feature = "std-fs")]
pub fn save(gpu: &Gpu, folder: &Path, tuning: &Tuning) -> Result<PathBuf> {
    let path = gpu.cache_file(folder, "tuning", "json");
    crate::gpu::write_whole(&path, &[write(tuning, gpu.identity()).as_bytes()]).map_err(|e| Error::io(&path, e))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::TensorStorage;

    #[test]
    fn only_an_intact_file_of_the_same_device_is_read() {
        let mut tuning = Tuning::default();
        tuning.set(ConvClass::new([[3; 2], [1; 2], [1; 2]], [64, 32], 65536), ConvFamily::Winograd);
        tuning.set(ConvClass::new([[1; 2], [1; 2], [1; 2]], [64, 2], 4096), ConvFamily::Tile);
        tuning.set_storage(Some(TensorStorage::Textures));
        let text = write(&tuning, "this".into());
        assert_eq!(parse(&text, "this"), Some(tuning));
        assert_eq!(parse(&text, "other"), None);
        for end in 0..text.len() {
            assert_eq!(parse(&text[..end], "this"), None, "cut off at {end}");
        }
        for (from, to) in [
            ("\"format\": 1", "\"format\": 2"),
            ("winograd", "magic"),
            (": \"textures", ": \"mirages"),
            ("\"kernel\"", "\"colonel\""),
            ("3,", "-3,"),
        ] {
            assert!(text.contains(from));
            assert_eq!(parse(&text.replace(from, to), "this"), None, "{from} -> {to}");
        }
    }
}
