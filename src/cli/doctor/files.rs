//! The files that make later runs faster: compiled pipelines and tuned choices.

use super::report::{Report, Row};
use crate::cli::{Common, output};
use serde_json::json;
use std::path::Path;
use unet_wgpu::Result;
use unet_wgpu::low_level::gpu::Gpu;

pub(super) fn add(report: &mut Report, gpu: &Gpu, common: &Common) -> Result<()> {
    let Some(folder) = common.cache_dir() else {
        let reason = "none: --no-cache, or UNET_CACHE_DIR is empty, or this user has no folder for it";
        let rows = [Row::new("folder", reason)];
        return report.section("files", "Cache", &rows, json!({ "folder": null }));
    };
    let writable = is_writable(&folder);
    let state = if writable { "" } else { ", not writable" };
    let mut rows = vec![Row::new("folder", format!("{}{state}", folder.display()))];
    if !writable {
        report.advise(format!(
            "{} is not writable, so kernels are compiled again at every start: make it writable, or set UNET_CACHE_DIR to \
             a folder that is",
            folder.display()
        ));
    }
    let size = |path: &Path| path.metadata().ok().map(|m| m.len());
    let (pipelines, tuning) = (gpu.cache_file(&folder, "pipelines", "bin"), gpu.cache_file(&folder, "tuning", "json"));
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    rows.push(Row::new(
        "pipelines",
        match size(&pipelines) {
            Some(bytes) => format!("{}, {}", name(&pipelines), output::bytes(bytes)),
            None => "none yet for this device and driver".into(),
        },
    ));
    let tuned = gpu.target().tuning.is_some();
    rows.push(Row::new(
        "tuning",
        match (tuned, size(&tuning)) {
            (true, _) => format!("{}, in use", name(&tuning)),
            (false, Some(_)) => format!("{}, ignored (--no-tune, or it is damaged)", name(&tuning)),
            (false, None) => "none: `unet tune -m MODEL --size HxW` looks for faster kernels".into(),
        },
    ));
    let drivers = std::env::var("MESA_SHADER_CACHE_DIR").ok();
    if let Some(folder) = &drivers {
        rows.push(Row::new("Mesa's", folder.as_str()));
    }
    let document = json!({
        "folder": folder.to_string_lossy(), "writable": writable,
        "pipelines": { "file": pipelines.to_string_lossy(), "bytes": size(&pipelines) },
        "tuning": { "file": tuning.to_string_lossy(), "bytes": size(&tuning), "used": tuned },
        "mesa": drivers,
    });
    report.section("files", "Cache", &rows, document)
}

/// Whether files can be made in a folder, or in the nearest parent if it does not exist yet.
fn is_writable(folder: &Path) -> bool {
    let existing = folder.ancestors().find(|p| p.exists());
    existing.is_some_and(|folder| tempfile::NamedTempFile::new_in(folder).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writable_folders() {
        let dir = tempfile::tempdir().unwrap();
        assert!(is_writable(dir.path()) && is_writable(&dir.path().join("a/b")));
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(!is_writable(&file) && !is_writable(&file.join("a")));
        assert_eq!(dir.path().read_dir().unwrap().count(), 1, "nothing is left");
    }
}
