//! LZ4 blocks and BloscLZ, whose formats are a few lines each.

/// Decompresses a block of LZ4; `None` if it is damaged or longer than `max` bytes.
pub(super) fn lz4(mut raw: &[u8], max: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    // A length of 15 continues in further bytes, up to one below 255.
    let length = |raw: &mut &[u8], nibble: u8| {
        let mut n = usize::from(nibble);
        if nibble == 15 {
            loop {
                let (&byte, rest) = raw.split_first()?;
                *raw = rest;
                n = n.checked_add(byte.into())?;
                if byte != 255 {
                    break;
                }
            }
        }
        Some(n)
    };
    while let Some((&token, rest)) = raw.split_first() {
        raw = rest;
        let literals = length(&mut raw, token >> 4)?;
        append(&mut out, raw.get(..literals)?, max)?;
        raw = raw.get(literals..)?;
        if raw.is_empty() {
            break;
        }
        let distance = usize::from(u16::from_le_bytes(*raw.first_chunk()?));
        raw = raw.get(2..)?;
        let len = length(&mut raw, token & 15)?.checked_add(4)?;
        repeat(&mut out, distance, len, max)?;
    }
    Some(out)
}

/// Decompresses BloscLZ, the default codec of older Blosc; `None` if it is damaged or longer than `max` bytes.
pub(super) fn blosclz(raw: &[u8], max: usize) -> Option<Vec<u8>> {
    /// Distances from here on have two bytes more.
    const FAR: usize = 8191;
    let mut out = Vec::new();
    let mut rest = raw;
    let next = |rest: &mut &[u8]| {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        Some(usize::from(byte))
    };
    let mut control = next(&mut rest)? & 31;
    loop {
        if control >= 32 {
            let mut len = (control >> 5) - 1;
            let high = (control & 31) << 8;
            if len == 6 {
                loop {
                    let byte = next(&mut rest)?;
                    len = len.checked_add(byte)?;
                    if byte != 255 {
                        break;
                    }
                }
            }
            let distance = match (next(&mut rest)?, high) {
                (255, 0x1f00) => FAR + (next(&mut rest)? << 8) + next(&mut rest)?,
                (low, _) => high + low,
            };
            repeat(&mut out, distance + 1, len + 3, max)?;
        } else {
            append(&mut out, rest.get(..=control)?, max)?;
            rest = rest.get(control + 1..)?;
        }
        match next(&mut rest) {
            Some(byte) => control = byte,
            None => return Some(out),
        }
    }
}

fn append(out: &mut Vec<u8>, bytes: &[u8], max: usize) -> Option<()> {
    (bytes.len() <= max.saturating_sub(out.len())).then(|| out.extend_from_slice(bytes))
}

/// Appends `len` bytes from `distance` bytes back, which may overlap with what is appended.
fn repeat(out: &mut Vec<u8>, distance: usize, len: usize, max: usize) -> Option<()> {
    let start = out.len().checked_sub(distance).filter(|_| distance > 0)?;
    if len > max.saturating_sub(out.len()) {
        return None;
    }
    let mut left = len;
    while left > 0 {
        // Twice as much is there after every step.
        let part = left.min(out.len() - start);
        out.extend_from_within(start..start + part);
        left -= part;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_undone() {
        // Three literals, then twelve bytes from three back, then two literals.
        let block = [0x38, b'a', b'b', b'c', 3, 0, 0x20, b'x', b'y'];
        assert_eq!(lz4(&block, 17).unwrap(), b"abcabcabcabcabcxy");
        assert_eq!(lz4(&block, 16), None);
        assert_eq!(blosclz(&[2, b'a', b'b', b'c', 0xe0, 3, 2, 0, b'x'], 99).unwrap(), b"abcabcabcabcabcx");
    }

    #[test]
    fn damage_is_found() {
        for block in [&[0x38, b'a'][..], &[0x10, b'a', 9, 0], &[0x10, b'a', 0, 0], &[0xf0, 255, 255], &[0x10, b'a', 1]]
        {
            assert_eq!(lz4(block, 1000), None, "{block:?}");
        }
        for block in [&[][..], &[5, 1], &[0, 1, 0x20], &[0, 1, 0x20, 9], &[0, 1, 0xe0, 255]] {
            assert_eq!(blosclz(block, 1000), None, "{block:?}");
        }
        // One byte may stand for 255, never for more than there is room.
        assert_eq!(lz4(&[0x1f, 7, 1, 0, 255, 255, 255, 255, 0], 1 << 10), None);
    }
}
