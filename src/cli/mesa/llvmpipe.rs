//! The llvmpipe that will be loaded, found as the Vulkan loader finds it: the driver itself reads its environment as soon as it
//! is loaded.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

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

/// A driver's library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Driver {
    /// Mesa's major version, if the file says it.
    pub version: Option<u32>,
    /// What distinguishes the file from any other, also from an older one of its name.
    pub identity: String,
}

/// Every llvmpipe that the Vulkan loader may find.
pub(super) fn drivers() -> Vec<Driver> {
    manifests(|name| std::env::var_os(name)).iter().map(|m| driver(m)).collect()
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

/// A manifest's driver. One that cannot be read has no version.
fn driver(manifest: &Path) -> Driver {
    let unknown = || Driver { version: None, identity: manifest.to_string_lossy().into() };
    let Some(file) = library(manifest) else { return unknown() };
    let (Ok(bytes), Ok(metadata)) = (std::fs::read(&file), file.metadata()) else { return unknown() };
    let modified = metadata.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let identity = format!("{} {} {}", file.to_string_lossy(), metadata.len(), modified.as_nanos());
    Driver { version: major_version(&bytes), identity }
}

/// The file that a manifest names.
fn library(manifest: &Path) -> Option<PathBuf> {
    let text = std::fs::read(manifest).ok()?;
    let json: serde_json::Value = serde_json::from_slice(&text).ok()?;
    let library = Path::new(json.get("ICD")?.get("library_path")?.as_str()?);
    if library.components().count() > 1 {
        Some(manifest.parent()?.join(library))
    } else {
        LIBRARIES.iter().map(|folder| Path::new(folder).join(library)).find(|p| p.is_file())
    }
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

    fn install(folder: &Path, version: &str, library: &str) -> PathBuf {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("libvulkan_lvp.so"), format!("\x7fELF..Mesa Project\0Mesa {version} (LLV\0"))
            .unwrap();
        let manifest = folder.join("lvp_icd.x86_64.json");
        std::fs::write(&manifest, format!(r#"{{"ICD": {{"library_path": "{library}"}}}}"#)).unwrap();
        manifest
    }

    #[test]
    fn version_and_identity_of_a_manifests_driver() {
        let dir = tempfile::tempdir().unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for (version, major) in [("22.3.6", Some(22)), ("25.0.7-2", Some(25)), ("26.2.6", Some(26)), ("git", None)] {
            let manifest = install(dir.path(), version, "./libvulkan_lvp.so");
            let found = driver(&manifest);
            assert_eq!(found.version, major, "{version}");
            assert_eq!(driver(&manifest), found, "the same file");
            assert!(seen.insert(found.identity), "{version}: another file of the same name");
        }
        assert_eq!(driver(&install(dir.path(), "22.3.6", "libvulkan_lvp_none.so")).version, None);
        let bad = dir.path().join("bad.json");
        std::fs::write(&bad, "{").unwrap();
        assert_eq!(driver(&bad), Driver { version: None, identity: bad.to_string_lossy().into() });
    }

    #[test]
    fn manifests_in_the_loaders_folders() {
        let dir = tempfile::tempdir().unwrap();
        let (data, own) = (dir.path().join("data"), dir.path().join("own"));
        let system = install(&data.join("vulkan/icd.d"), "25.0.7", "./libvulkan_lvp.so");
        let chosen = install(&own, "22.3.6", "./libvulkan_lvp.so");
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
