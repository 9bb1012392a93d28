//! Tuned choices on disk: a JSON file per adapter, driver, backend and crate version.

#[cfg(feature = "std-fs")]
use crate::error::{Error, Result};
#[cfg(feature = "std-fs")]
use crate::gpu::Gpu;
#[cfg(feature = "std-fs")]
use crate::io::fs;
use crate::kernel::{ConvClass, ConvFamily, Tuning};
use serde::{Deserialize, Serialize};
#[cfg(feature = "std-fs")]
use std::path::{Path, PathBuf};

const FORMAT: u32 = 1;
/// Maximum file size, bytes: far more than all U-Nets together need.
#[cfg(feature = "std-fs")]
const MAX_FILE_BYTES: u64 = 16 << 20;

#[derive(Serialize, Deserialize)]
struct Document {
    format: u32,
    /// The device that the choices are for.
    device: String,
    convolutions: Vec<Entry>,
    /// Tensor storage, if it is not the default. Under its old key it fails to parse, and the file is reported and ignored.
    #[serde(default, alias = "images", skip_serializing_if = "Option::is_none")]
    storage: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    class: ConvClass,
    family: ConvFamily,
}

/// The choices cached in `folder` for this device. `None` if there is no file, or if it is damaged or of another
/// adapter, driver or version.
#[cfg(feature = "std-fs")]
pub fn load(gpu: &Gpu, folder: &Path) -> Option<Tuning> {
    let path = gpu.cache_file(folder, "tuning", "json");
    if fs::metadata(&path).ok()?.len() > MAX_FILE_BYTES {
        return None;
    }
    let text = fs::read_to_string(&path).ok()?;
    let tuning = parse(&text, &gpu.identity());
    if tuning.is_none() {
        log::info!("{}: damaged, or of another adapter, driver or version; ignored", path.display());
    }
    tuning
}

/// Parses the choices of a text written by [`write()`]. `None` if it is invalid or of another device.
pub fn parse(text: &str, device: &str) -> Option<Tuning> {
    let document: Document = serde_json::from_str(text).ok()?;
    if document.format != FORMAT || document.device != device {
        return None;
    }
    let mut tuning = Tuning::default();
    for e in document.convolutions {
        tuning.set(e.class, e.family);
    }
    tuning.set_storage(document.storage.map(|i| i.parse()).transpose().ok()?);
    Some(tuning)
}

/// Choices of `device` as JSON.
pub fn write(tuning: &Tuning, device: String) -> String {
    let entry = |(class, family): (&ConvClass, ConvFamily)| Entry { class: *class, family };
    let storage = tuning.storage().map(|i| i.name().into());
    let document = Document { format: FORMAT, device, convolutions: tuning.iter().map(entry).collect(), storage };
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

/// Writes choices to `folder`, replacing earlier ones; returns the file's path.
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
        let class =
            ConvClass { kernel: [3; 2], stride: [1; 2], dilation: [1; 2], inputs: 64, outputs: 32, pixels: 65536 };
        tuning.set(class, ConvFamily::Winograd);
        tuning.set(ConvClass { kernel: [1; 2], outputs: 2, pixels: 4096, ..class }.rounded(), ConvFamily::Tile);
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
            ("\"storage\": \"textures", "\"images\": \"images"),
            ("3,", "-3,"),
        ] {
            assert!(text.contains(from));
            assert_eq!(parse(&text.replace(from, to), "this"), None, "{from} -> {to}");
        }
    }
}
