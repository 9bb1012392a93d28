//! PGM: grey values as written; image decoders would scale them to 8 or 16 bits.

use std::io::Read;

use super::stored::{Shown, Stored, Values};
use crate::error::{Error, Result};
use crate::infer::decode::Source;

/// Whether a PNM file is a PGM file, by its first bytes.
pub(super) fn is_grey(head: &[u8]) -> bool {
    matches!(head, [b'P', b'2' | b'5', ..])
}

pub(super) fn read(source: &Source, mut reader: impl Read) -> Result<Stored> {
    let mut bytes = source.zeros::<u8>(0)?;
    reader.read_to_end(&mut bytes).map_err(|e| Error::io(source.path, e))?;
    let cut = || source.error("the PGM file is truncated");
    let mut rest = bytes.get(2..).unwrap_or_default();
    let mut next = || number(&mut rest).ok_or_else(cut);
    let (width, height, top) = (next()?, next()?, next()?);
    source.check_size(width, height)?;
    let top = u16::try_from(top)
        .ok()
        .filter(|&t| t > 0)
        .ok_or_else(|| source.error(format!("damaged PGM file: its largest value is {top}")))?;
    let size = width as usize * height as usize;
    let mut values = source.zeros::<i64>(size)?;
    if bytes.get(1) == Some(&b'2') {
        for v in &mut values {
            *v = number(&mut rest).ok_or_else(cut)?.into();
        }
    } else {
        // One whitespace byte ends the header.
        let data = rest.get(1..).unwrap_or_default();
        let each = if top > 255 { 2 } else { 1 };
        if data.len() < size.saturating_mul(each) {
            return Err(cut());
        }
        for (v, b) in values.iter_mut().zip(data.chunks_exact(each)) {
            *v = b.iter().fold(0, |sum, &b| sum << 8 | i64::from(b));
        }
    }
    let shown = if matches!(top, 1 | 3 | 15 | 255 | u16::MAX) { Shown::Grey(top) } else { Shown::Nothing };
    Ok(Stored { width: width as usize, height: height as usize, pixels: Values::Integers(values, shown) })
}

/// The next number, after whitespace and comments.
fn number(rest: &mut &[u8]) -> Option<u32> {
    loop {
        match rest.first()? {
            b'#' => *rest = rest.get(rest.iter().position(|&b| b == b'\n')?..)?,
            b if b.is_ascii_whitespace() => *rest = rest.get(1..)?,
            _ => break,
        }
    }
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let (number, after) = rest.split_at(digits);
    *rest = after;
    std::str::from_utf8(number).ok()?.parse().ok()
}
