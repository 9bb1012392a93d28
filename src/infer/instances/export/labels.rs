//! Numbers of objects as TIFF.

use std::io::{Seek, Write};

use tiff::encoder::colortype::{ColorType, Gray16, Gray32};
use tiff::encoder::{TiffEncoder, TiffKind, TiffValue};

use super::{Failure, Out, Written};
use crate::infer::instances::Instances;
use crate::infer::output::BIG_TIFF;

pub(super) fn write(out: Out, instances: &mut Instances) -> Written {
    let bytes = (instances.width() as u64 * instances.height() as u64).saturating_mul(4);
    if bytes < BIG_TIFF {
        any_size(TiffEncoder::new(out)?, instances)
    } else {
        any_size(TiffEncoder::new_big(out)?, instances)
    }
}

fn any_size<W: Write + Seek, K: TiffKind>(encoder: TiffEncoder<W, K>, instances: &mut Instances) -> Written {
    if instances.count() <= usize::from(u16::MAX) {
        any_depth::<_, _, Gray16>(encoder, instances, |n| n as u16)
    } else {
        any_depth::<_, _, Gray32>(encoder, instances, |n| n)
    }
}

fn any_depth<W: Write + Seek, K: TiffKind, C: ColorType>(
    mut encoder: TiffEncoder<W, K>,
    instances: &mut Instances,
    number: impl Fn(u32) -> C::Inner,
) -> Written
where
    C::Inner: Copy + Default,
    [C::Inner]: TiffValue,
{
    let (width, height) = (instances.width(), instances.height());
    // Sides were checked when the labeller was made.
    let mut image = encoder.new_image::<C>(width as u32, height as u32)?;
    let mut strip: Vec<C::Inner> = Vec::new();
    let mut failure = None;
    let done = instances.rows(|_, row| {
        let first = strip.len();
        strip.resize(first + width, C::Inner::default());
        for run in row {
            if let Some(pixels) = strip.get_mut(first + run.start as usize..first + run.end as usize) {
                pixels.fill(number(run.label));
            }
        }
        if strip.len() as u64 >= image.next_strip_sample_count() {
            if let Err(e) = image.write_strip(&strip) {
                failure = Some(Failure::from(e));
                return Err(crate::error::Error::Cancelled);
            }
            strip.clear();
        }
        Ok(())
    });
    if let Some(e) = failure {
        return Err(e);
    }
    done.map_err(Failure::Other)?;
    Ok(image.finish()?)
}
