//! Outlines as ImageJ's ROI archive: a zip of `.roi` records, which ImageJ's ROI Manager opens.
//!
//! The record is as ImageJ's `RoiDecoder` reads it, big-endian: a header of 64 bytes, coordinates, and a second header
//! followed by the name. An instance without holes is a traced ROI, as the wand tool creates: pixel corners relative to
//! the bounding box, in 16 bits. One with holes, with several pieces, or beyond 16 bits is a composite ROI: a path of
//! 32-bit floats, filled by the even-odd rule.

use std::io::Write;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::for_each;
use crate::error::Result;
use crate::infer::calibration::Calibration;
use crate::infer::instances::InstanceSource as Source;
use crate::infer::instances::{Instance, Instances, Polygon, Ring};
use crate::infer::origin::SOFTWARE;
use crate::infer::writer::{InstanceWriter, ResultSink, WriteSeek, Writer, Written};
use crate::io::Output;

const HEADER: usize = 64;
const SECOND_HEADER: usize = 64;
const VERSION: u16 = 228;
const RECTANGLE: u8 = 1;
const TRACED: u8 = 8;
/// Path segment types.
const MOVE: f32 = 0.0;
const LINE: f32 = 1.0;
const CLOSE: f32 = 4.0;

/// ImageJ's ROI archive: traced outlines, composite ones for instances with holes.
#[derive(Clone, Copy, Debug)]
pub struct Rois;

impl Writer for Rois {
    fn name(&self) -> &'static str {
        "rois"
    }

    fn about(&self) -> &'static str {
        "Outlines of instances as ImageJ's ROI archive"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["zip"]
    }

    fn finds_instances(&self) -> bool {
        true
    }

    fn sink(&self, _output: Output, _calibration: &Calibration) -> Result<ResultSink> {
        Ok(ResultSink::Instances(&Self))
    }
}

impl InstanceWriter for Rois {
    fn write(&self, out: &mut dyn WriteSeek, instances: &mut Instances, _source: &Source) -> Written {
        write(out, instances)
    }
}

fn write(out: &mut dyn WriteSeek, instances: &mut Instances) -> Written {
    let mut zip = ZipWriter::new(out);
    zip.set_comment(SOFTWARE)?;
    // No time stamp: the same instances give the same file.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default());
    for_each(instances, |instance| {
        let name = format!("{:06}", instance.number());
        zip.start_file(format!("{name}.roi"), options)?;
        Ok(zip.write_all(&record(&instance, &name))?)
    })?;
    zip.finish()?.flush()?;
    Ok(())
}

/// The contents of a `.roi` file.
pub(super) fn record(instance: &Instance, name: &str) -> Vec<u8> {
    let polygons = instance.contours();
    let [x, y, width, height] = instance.bounds();
    let (right, bottom) = (x + width, y + height);
    let small = right.max(bottom) <= i16::MAX as u32;
    let (kind, count, shape, body) = match &polygons[..] {
        [Polygon { outer, holes }] if holes.is_empty() && small && outer.len() <= usize::from(u16::MAX) => {
            (TRACED, outer.len() as u16, 0, corners(outer, [x, y]))
        }
        _ => {
            let path = path(&polygons);
            (RECTANGLE, 0, path.len() as u32, path.iter().flat_map(|v| v.to_be_bytes()).collect())
        }
    };
    let mut out = vec![0u8; HEADER];
    let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"Iout");
    put(4, &VERSION.to_be_bytes());
    put(6, &[kind]);
    // Top, left, bottom, right; values beyond 16 bits are in the path.
    for (at, v) in [(8, y), (10, x), (12, bottom), (14, right)] {
        put(at, &(v as u16).to_be_bytes());
    }
    put(16, &count.to_be_bytes());
    put(36, &shape.to_be_bytes());
    put(60, &((HEADER + body.len()) as u32).to_be_bytes());
    out.extend(body);
    let second = out.len();
    out.resize(second + SECOND_HEADER, 0);
    let name: Vec<u16> = name.encode_utf16().collect();
    let mut put = |at: usize, v: u32| out[second + at..second + at + 4].copy_from_slice(&v.to_be_bytes());
    put(16, (second + SECOND_HEADER) as u32);
    put(20, name.len() as u32);
    out.extend(name.iter().flat_map(|c| c.to_be_bytes()));
    out
}

/// All columns, then all rows, relative to the bounding box's first pixel.
fn corners(ring: &Ring, first: [u32; 2]) -> Vec<u8> {
    [0, 1].iter().flat_map(|&i| ring.iter().flat_map(move |p| ((p[i] - first[i]) as u16).to_be_bytes())).collect()
}

fn path(polygons: &[Polygon]) -> Vec<f32> {
    let mut path = Vec::new();
    for ring in polygons.iter().flat_map(|p| std::iter::once(&p.outer).chain(&p.holes)) {
        for (i, [x, y]) in ring.iter().enumerate() {
            // Integers up to 2^24 are exact in f32.
            path.extend([if i == 0 { MOVE } else { LINE }, *x as f32, *y as f32]);
        }
        path.push(CLOSE);
    }
    path
}
