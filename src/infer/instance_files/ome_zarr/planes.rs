//! A folder of labels that is being written, plane by plane.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::layout::Layout;
use super::pyramid::Pyramid;
use super::{image_of, list, replaceable};
use crate::error::{Error, Result};
use crate::infer::calibration::Calibration;
use crate::infer::decode::zarr::Format;
use crate::io::{PendingFolder, fs};

/// Labels of one plane or of all, row by row. The folder appears when it is finished, and dropping it leaves no trace.
pub(in crate::low_level::infer) struct LabelPlanes {
    folder: PathBuf,
    /// The image that lists them.
    image: Option<PathBuf>,
    size: [usize; 2],
    layout: Layout,
    pyramid: Pyramid,
    pending: PendingFolder,
}

impl LabelPlanes {
    /// Begins labels of columns x rows for every plane, which follow: z planes of the first time, of the second, ..
    pub(in crate::low_level::infer) fn all(
        folder: &Path,
        size: [usize; 2],
        planes_and_times: [usize; 2],
        calibration: &Calibration,
    ) -> Result<Self> {
        // How many instances the last planes have is not known yet.
        Self::create(folder, size, planes_and_times, calibration, true)
    }

    /// Begins labels of columns x rows for a single page of an image, in 32 bits if `wide`, else in 16.
    pub(super) fn one(
        folder: &Path,
        size: [usize; 2],
        calibration: &Calibration,
        wide: bool,
        page: usize,
    ) -> Result<Self> {
        let mut planes = Self::create(folder, size, [1, 1], calibration, wide)?;
        planes.pyramid.begin(planes.layout.planes_of(page as u64, false));
        Ok(planes)
    }

    fn create(
        folder: &Path,
        size: [usize; 2],
        planes_and_times: [usize; 2],
        calibration: &Calibration,
        wide: bool,
    ) -> Result<Self> {
        let image = image_of(folder);
        let layout = match &image {
            Some(image) => Layout::of_image(image, size)?,
            None => Layout::alone(size, planes_and_times, calibration),
        };
        replaceable(folder)?;
        let pending = PendingFolder::create(folder)?;
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let attributes = layout.attributes(&name, image.as_ref().map(|_| "../../"));
        let write = |file: &str, value: &Value| {
            let path = pending.path().join(file);
            fs::write(&path, format!("{value:#}")).map_err(|e| Error::io(folder, e))
        };
        match layout.format {
            Format::V2 => {
                write(".zgroup", &json!({ "zarr_format": 2 }))?;
                write(".zattrs", &attributes)?;
            }
            Format::V3 => {
                write("zarr.json", &json!({ "zarr_format": 3, "node_type": "group", "attributes": attributes }))?
            }
        }
        let pyramid = Pyramid::create(pending.path(), layout.format, wide, &layout.names(), layout.resolutions());
        let pyramid = pyramid.map_err(|e| Error::io(folder, e))?;
        Ok(Self { folder: folder.to_path_buf(), image, size, layout, pyramid, pending })
    }

    /// Columns and rows.
    pub(in crate::low_level::infer) fn size(&self) -> [usize; 2] {
        self.size
    }

    /// Begins a plane.
    pub(in crate::low_level::infer) fn page(&mut self, page: usize) {
        self.pyramid.begin(self.layout.planes_of(page as u64, true));
    }

    /// Takes the plane's next row.
    pub(in crate::low_level::infer) fn row(&mut self, labels: &[u32]) -> Result<()> {
        self.pyramid.row(labels).map_err(|e| Error::io(&self.folder, e))
    }

    /// Gives the folder its name, and lists it in its image.
    pub(in crate::low_level::infer) fn finish(self) -> Result<()> {
        self.pending.finish()?;
        let Some(image) = &self.image else { return Ok(()) };
        list(image, self.layout.format, &self.folder.file_name().unwrap_or_default().to_string_lossy())
    }
}
