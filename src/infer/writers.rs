//! The kinds of result files. To add one, write a file with its [`Writer`] (and [`InstanceWriter`] if it is made of
//! instances) and a line in [`WRITERS`].

use super::calibration::Calibration;
#[cfg(feature = "ome-zarr")]
use super::instance_files::OmeZarr;
#[cfg(feature = "bioimage")]
use super::instance_files::Rois;
use super::instance_files::{Coco, GeoJson, Labels, Table};
use super::output::{MaskWriter, OverlayWriter, ProbabilityFormat, ProbabilityWriter};
use super::writer::{InstanceWriter, ResultSink, Writer};
use crate::io::Output;

/// Every kind of result file, in the order of help texts.
pub static WRITERS: &[&dyn Writer] = &[
    &MaskWriter,
    &OverlayWriter,
    &ProbabilityWriter { name: "prob", format: ProbabilityFormat::Tiff },
    &ProbabilityWriter { name: "prob-npy", format: ProbabilityFormat::Npy },
    &Labels,
    #[cfg(feature = "ome-zarr")]
    &OmeZarr,
    &GeoJson,
    &Coco,
    #[cfg(feature = "bioimage")]
    &Rois,
    &Table,
];

/// Every format of instances that is a file.
pub fn instance_writers() -> Vec<&'static dyn InstanceWriter> {
    let sink = |w: &&dyn Writer| w.sink(Output::memory(w.name()).0, &Calibration::default());
    let instances = |w: &&dyn Writer| match sink(w) {
        Ok(ResultSink::Instances(writer)) if !writer.is_folder() => Some(writer),
        _ => None,
    };
    WRITERS.iter().filter_map(instances).collect()
}

impl dyn Writer {
    /// The kind with option name `name`.
    pub fn named(name: &str) -> Option<&'static dyn Writer> {
        WRITERS.iter().copied().find(|w| w.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::calibration::Calibration;
    use crate::infer::writer::ResultSink;
    use crate::io::Output;
    use std::path::Path;

    #[test]
    fn names_and_files_differ() {
        let mut names: Vec<&str> = WRITERS.iter().map(|w| w.name()).collect();
        let mut files: Vec<_> = WRITERS.iter().map(|w| (w.suffix(), w.extension(None))).collect();
        names.sort_unstable();
        files.sort_unstable();
        names.dedup();
        files.dedup();
        assert_eq!((names.len(), files.len()), (WRITERS.len(), WRITERS.len()));
        for w in WRITERS {
            assert!(<dyn Writer>::named(w.name()).is_some_and(|found| found == *w), "{w:?}");
            let file = format!("a.{}", w.extension(None));
            let sink = w.sink(Output::memory(file).0, &Calibration::default()).unwrap();
            assert_eq!(w.finds_instances(), matches!(sink, ResultSink::Instances(_)), "{w:?}");
            assert!(!matches!(sink, ResultSink::Instances(i) if i.is_folder() != w.is_folder()), "{w:?}");
        }
        assert!(<dyn Writer>::named("jpeg").is_none());
    }

    #[test]
    fn extensions_follow_the_output_if_possible() {
        let of = |name: &str, out: &str| <dyn Writer>::named(name).unwrap().extension(Some(Path::new(out)));
        assert_eq!((of("mask", "a.TIF"), of("mask", "a.tiff"), of("mask", "results")), ("tif", "tiff", "png"));
        assert_eq!((of("overlay", "a.tif"), of("prob", "a.tiff"), of("csv", "a.tif")), ("png", "tif", "csv"));
    }
}
