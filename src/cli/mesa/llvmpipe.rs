//! The version of the llvmpipe that will be loaded, read from the driver's file: the driver itself reads its environment as
//! soon as it is loaded.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The newest Mesa whose llvmpipe is faster with vectors of 512 bits than with 256.
const LAST_WITH_FAST_512: u32 = 22;
/// Part of the name of the driver's manifest.
const DRIVER: &str = "lvp";
/// Folders to search for libraries named without a path.
const LIBRARIES: [&str; 7] = [
    "/usr/local/lib/x86_64-linux-gnu",
    "/usr/local/lib64",
    "/usr/local/lib",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/lib/x86_64-linux-gnu",
];

/// Whether every llvmpipe that the Vulkan loader may find is faster with 512-bit vectors.
pub(super) fn gains_from_512_bits() -> bool {
    let versions: Vec<_> = manifests(|name| std::env::var_os(name)).iter().map(|m| version_of(m)).collect();
    gains(&versions)
}

fn gains(versions: &[Option<u32>]) -> bool {
    !versions.is_empty() && versions.iter().all(|v| v.is_some_and(|v| v <= LAST_WITH_FAST_512))
}

/// The manifests of llvmpipe, found as the Vulkan loader finds them.
fn manifests(variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let paths = |name: &str| variable(name).filter(|v| !v.is_empty()).map(|v| std::env::split_paths(&v).collect());
    let listed: Option<Vec<PathBuf>> = paths("VK_DRIVER_FILES").or_else(|| paths("VK_ICD_FILENAMES"));
    let places = listed.unwrap_or_else(|| {
        let home = |rest: &str| paths("HOME").unwrap_or_default().into_iter().map(|h: PathBuf| h.join(rest)).collect();
        let or = |name: &str, default: &str| -> Vec<PathBuf> {
            paths(name).unwrap_or_else(|| std::env::split_paths(default).collect())
        };
        let mut roots: Vec<PathBuf> = paths("XDG_CONFIG_HOME").unwrap_or_else(|| home(".config"));
        roots.extend(or("XDG_CONFIG_DIRS", "/etc/xdg"));
        roots.push("/etc".into());
        roots.extend(paths("XDG_DATA_HOME").unwrap_or_else(|| home(".local/share")));
        roots.extend(or("XDG_DATA_DIRS", "/usr/local/share:/usr/share"));
        let mut places: Vec<PathBuf> = roots.iter().map(|r| r.join("vulkan/icd.d")).collect();
        places.extend(paths("VK_ADD_DRIVER_FILES").unwrap_or_default());
        places
    });
    let mut found = Vec::new();
    for place in places {
        match place.read_dir() {
            Ok(entries) => found.extend(entries.flatten().map(|e| e.path())),
            Err(_) => found.push(place),
        }
    }
    let manifest = |p: &PathBuf| p.is_file() && p.extension().is_some_and(|e| e == "json");
    found.retain(|p| manifest(p) && p.file_name().is_some_and(|n| n.to_string_lossy().contains(DRIVER)));
    found
}

/// Mesa's major version of a manifest's driver, if it can be found.
fn version_of(manifest: &Path) -> Option<u32> {
    let text = std::fs::read(manifest).ok()?;
    let json: serde_json::Value = serde_json::from_slice(&text).ok()?;
    let library = Path::new(json.get("ICD")?.get("library_path")?.as_str()?);
    let file = if library.components().count() > 1 {
        manifest.parent()?.join(library)
    } else {
        LIBRARIES.iter().map(|folder| Path::new(folder).join(library)).find(|p| p.is_file())?
    };
    major_version(&std::fs::read(file).ok()?)
}

/// The number after `Mesa ` in a library, which is in the driver's name for itself.
fn major_version(library: &[u8]) -> Option<u32> {
    const NAME: &[u8] = b"Mesa ";
    library.windows(NAME.len() + 3).filter(|w| w.starts_with(NAME)).find_map(|w| match w[NAME.len()..] {
        [a @ b'0'..=b'9', b @ b'0'..=b'9', b'.'] => Some(u32::from(a - b'0') * 10 + u32::from(b - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn driver(folder: &Path, version: &str, library: &str) -> PathBuf {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("libvulkan_lvp.so"), format!("\x7fELF..Mesa Project\0Mesa {version} (LLV\0"))
            .unwrap();
        let manifest = folder.join("lvp_icd.x86_64.json");
        std::fs::write(&manifest, format!(r#"{{"ICD": {{"library_path": "{library}"}}}}"#)).unwrap();
        manifest
    }

    #[test]
    fn version_of_a_manifests_driver() {
        let dir = tempfile::tempdir().unwrap();
        for (version, major) in [("22.3.6", Some(22)), ("25.0.7-2", Some(25)), ("26.2.6", Some(26)), ("git", None)] {
            assert_eq!(version_of(&driver(dir.path(), version, "./libvulkan_lvp.so")), major, "{version}");
        }
        assert_eq!(version_of(&driver(dir.path(), "22.3.6", "libvulkan_lvp_none.so")), None);
        std::fs::write(dir.path().join("bad.json"), "{").unwrap();
        assert_eq!(version_of(&dir.path().join("bad.json")), None);
    }

    #[test]
    fn gain_only_of_known_versions() {
        assert!(gains(&[Some(22)]) && gains(&[Some(22), Some(20)]));
        for versions in [&[][..], &[None], &[Some(23)], &[Some(22), Some(26)], &[Some(22), None]] {
            assert!(!gains(versions), "{versions:?}");
        }
    }

    #[test]
    fn manifests_in_the_loaders_folders() {
        let dir = tempfile::tempdir().unwrap();
        let (data, own) = (dir.path().join("data"), dir.path().join("own"));
        let system = driver(&data.join("vulkan/icd.d"), "25.0.7", "./libvulkan_lvp.so");
        let chosen = driver(&own, "22.3.6", "./libvulkan_lvp.so");
        std::fs::write(data.join("vulkan/icd.d/radeon_icd.x86_64.json"), "{}").unwrap();
        let environment = |files: Option<&Path>| {
            let (data, files) = (data.clone(), files.map(Path::to_path_buf));
            let config = dir.path().join("none");
            move |name: &str| match name {
                "XDG_DATA_DIRS" => Some(data.clone().into_os_string()),
                "VK_DRIVER_FILES" => files.clone().map(PathBuf::into_os_string),
                "XDG_CONFIG_HOME" | "XDG_CONFIG_DIRS" | "XDG_DATA_HOME" => Some(config.clone().into_os_string()),
                _ => None,
            }
        };
        let found = manifests(environment(None));
        assert!(found.contains(&system) && !found.contains(&chosen));
        assert_eq!(manifests(environment(Some(&chosen))), std::slice::from_ref(&chosen));
        assert_eq!(manifests(environment(Some(&own))), [chosen]);
    }
}
