//! numpy arrays of any type of number.

use std::io::{BufRead, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use npyz::{DType, NpyHeader, Order};

use super::stored::{Stored, Values, of_samples};
use crate::error::{Error, Result};
use crate::infer::decode::Source;
use crate::infer::decode::npy::check_npy_header;
use crate::io::Reader;

pub(super) fn read(source: &Source, mut reader: Reader) -> Result<Stored> {
    let head = reader.fill_buf().map_err(|e| Error::io(source.path, e))?;
    let instances = |text: &[u8]| text.windows(9).any(|w| w == b"'descr': ") && text.windows(4).any(|w| w == b"'|O'");
    if instances(head.get(..head.len().min(256)).unwrap_or_default()) {
        return Err(source.error(
            "holds Python objects and no array (such as Cellpose's _seg.npy); save the labels as TIFF, PNG or a plain array",
        ));
    }
    check_npy_header(head).map_err(|e| source.error(e))?;
    let header = catch_unwind(AssertUnwindSafe(|| NpyHeader::from_reader(&mut reader)))
        .unwrap_or_else(|_| Err(std::io::Error::other("its header is damaged")))
        .map_err(|e| source.error(format!("damaged NPY file: {e}")))?;
    let DType::Plain(kind) = header.dtype() else { return Err(source.error("records are not supported")) };
    let text = kind.to_string();
    let (order, kind) = text.split_at(text.len().min(1));
    let (letter, each) = kind.split_at(kind.len().min(1));
    let each: usize = each.parse().unwrap_or(0);
    if !matches!((letter, each), ("b", 1) | ("i" | "u", 1 | 2 | 4 | 8) | ("f", 2 | 4 | 8)) {
        return Err(source.error(format!("holds an array of type {text}; labels are integers, bool or whole floats")));
    }
    let shape = header.shape();
    // A single plane may have an axis of its own, in front or behind.
    let [h, w, channels] = match *shape {
        [h, w] | [1, h, w] | [h, w, 1] | [1, 1, h, w] | [1, h, w, 1] => [h, w, 1],
        [h, w, c @ 2..=4] if (letter, each) == ("u", 1) => [h, w, c],
        _ => {
            let reason = format!("holds an array of shape {shape:?}; labels are [rows, columns], or colours of 8 bits");
            return Err(source.error(reason));
        }
    };
    let side = |n: u64| u32::try_from(n).map_err(|_| source.error(format!("{n} pixels are too many for one side")));
    source.check_size(side(w)?, side(h)?)?;
    let (w, h, c) = (w as usize, h as usize, channels as usize);
    let len = w * h * c;
    if (len as u64).saturating_mul(each as u64) > source.bytes {
        return Err(source.error("the NPY file is truncated"));
    }
    let mut bytes = source.zeros::<u8>(len * each)?;
    reader.read_exact(&mut bytes).map_err(|_| source.error("the NPY file is truncated"))?;
    if order == ">" {
        bytes.chunks_exact_mut(each).for_each(<[u8]>::reverse);
    }
    // Where element `i`, row by row, lies.
    let fortran = header.order() == Order::Fortran;
    let place = |i: usize| if fortran { (i % c * w + i / c % w) * h + i / c / w } else { i };
    let element = |i: usize| bytes.get(place(i) * each..).unwrap_or_default();
    fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
        bytes.first_chunk().copied().unwrap_or([0; N])
    }
    if letter == "f" {
        let mut values = source.zeros::<f64>(len)?;
        for (i, v) in values.iter_mut().enumerate() {
            *v = match each {
                2 => half::f16::from_le_bytes(first(element(i))).to_f64(),
                4 => f32::from_le_bytes(first(element(i))).into(),
                _ => f64::from_le_bytes(first(element(i))),
            };
        }
        let exact = [2048.0, 16_777_216.0, 9_007_199_254_740_992.0][each.trailing_zeros() as usize - 1];
        return Ok(Stored { width: w, height: h, pixels: Values::Floats(values, exact) });
    }
    let mut values = source.zeros::<i64>(len)?;
    for (i, v) in values.iter_mut().enumerate() {
        let b = element(i);
        *v = match (letter, each) {
            ("b", _) => i64::from(first::<1>(b)[0] != 0),
            ("i", 1) => i8::from_le_bytes(first(b)).into(),
            ("i", 2) => i16::from_le_bytes(first(b)).into(),
            ("i", 4) => i32::from_le_bytes(first(b)).into(),
            ("i", _) => i64::from_le_bytes(first(b)),
            (_, 1) => first::<1>(b)[0].into(),
            (_, 2) => u16::from_le_bytes(first(b)).into(),
            (_, 4) => u32::from_le_bytes(first(b)).into(),
            _ => {
                let large = u64::from_le_bytes(first(b));
                i64::try_from(large).map_err(|_| {
                    super::at(
                        source.path,
                        w,
                        i,
                        &format!("the value {large}"),
                        &format!("the largest label is {}", u32::MAX),
                    )
                })?
            }
        };
    }
    of_samples(source, [w, h], c, (c > 1).then_some(255), values)
}
