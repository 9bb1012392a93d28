//! Label images as TIFF, in deflate-compressed strips.

use crate::error::{Error, Result};
use crate::infer::calibration::Calibration;
use crate::infer::instances::InstanceSource as Source;
use crate::infer::instances::Instances;
use crate::infer::instances::runs::Run;
use crate::infer::output::{SampleKind, StripLayout, StripTiff, calibration_tags};
use crate::infer::writer::{InstanceWriter, ResultSink, WriteFailure, WriteSeek, Writer, Written};
use crate::io::Output;

/// The instance number of every pixel, 0 for none: TIFF with 16 bits, or 32 for more than 65,535 instances, in
/// deflate-compressed strips.
#[derive(Clone, Copy, Debug)]
pub struct Labels;

impl Writer for Labels {
    fn name(&self) -> &'static str {
        "labels"
    }

    fn about(&self) -> &'static str {
        "The number of every pixel's instance: compressed 16-bit TIFF, 32-bit for more than 65,535 instances"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["tif"]
    }

    fn finds_instances(&self) -> bool {
        true
    }

    fn sink(&self, _output: Output, _calibration: &Calibration) -> Result<ResultSink> {
        Ok(ResultSink::Instances(&Self))
    }
}

impl InstanceWriter for Labels {
    fn write(&self, out: &mut dyn WriteSeek, instances: &mut Instances, source: &Source) -> Written {
        write(out, instances, source)
    }
}

fn write(out: &mut dyn WriteSeek, instances: &mut Instances, source: &Source) -> Written {
    // `ConnectedComponents::new` has checked the size.
    let (width, height) = (instances.width() as u32, instances.height() as u32);
    let bytes = if instances.count() <= usize::from(u16::MAX) { 2 } else { 4 };
    let layout = StripLayout { width, height, pages: 1, sample: SampleKind::Uint(bytes) };
    let mut strips = StripTiff::new(out, layout)?.with_tags(calibration_tags(&source.calibration, 1));
    let (mut narrow, mut wide) = (vec![0u16; width as usize], vec![0u32; width as usize]);
    let mut failure = None;
    let done = instances.rows(|_, row| {
        Run::paint(row, &mut wide);
        let written = match bytes {
            2 => {
                narrow.iter_mut().zip(&wide).for_each(|(to, &n)| *to = n as u16);
                strips.rows(0, bytemuck::cast_slice(&narrow))
            }
            _ => strips.rows(0, bytemuck::cast_slice(&wide)),
        };
        written.map_err(|e| {
            failure = Some(WriteFailure::from(e));
            Error::Cancelled
        })
    });
    if let Some(e) = failure {
        return Err(e);
    }
    done.map_err(WriteFailure::Other)?;
    strips.finish()?;
    Ok(())
}
