//! Numbers of instances as TIFF, in deflate-compressed strips.

use super::{Failure, Out, Source, Written};
use crate::error::Error;
use crate::infer::instances::Instances;
use crate::infer::instances::runs::Run;
use crate::infer::output::{SampleKind, StripLayout, StripTiff, calibration_tags};

pub(super) fn write(out: Out, instances: &mut Instances, source: &Source) -> Written {
    // Sides were checked when the labeller was made.
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
            failure = Some(Failure::from(e));
            Error::Cancelled
        })
    });
    if let Some(e) = failure {
        return Err(e);
    }
    done.map_err(Failure::Other)?;
    strips.finish()?;
    Ok(())
}
