//! TensorBoard event files: checksummed records, each a protocol buffer `Event`.

use super::rows::Row;

/// Bytes of a record around its data: length, checksum of the length, checksum of the data.
const FRAME: usize = 8 + 4 + 4;

/// The first record of a file.
pub(super) fn version(wall: f64) -> Vec<u8> {
    record(&event(wall, 0, |e| field_bytes(e, 3, b"brain.Event:2")))
}

/// A record of scalars named `<split>/<name>`.
pub(super) fn scalars(wall: f64, row: &Row) -> Vec<u8> {
    let mut summary = Vec::new();
    for (name, value) in &row.values {
        let mut one = Vec::new();
        field_bytes(&mut one, 1, format!("{}/{name}", row.split.name()).as_bytes());
        field_fixed(&mut one, 2, &(*value as f32).to_le_bytes());
        field_bytes(&mut summary, 1, &one);
    }
    record(&event(wall, row.step, |e| field_bytes(e, 5, &summary)))
}

/// A record of an RGB image as PNG.
pub(super) fn image(wall: f64, step: u64, tag: &str, [width, height]: [usize; 2], png: &[u8]) -> Vec<u8> {
    let mut image = Vec::new();
    field_number(&mut image, 1, height as u64);
    field_number(&mut image, 2, width as u64);
    // Colour space 3: RGB.
    field_number(&mut image, 3, 3);
    field_bytes(&mut image, 4, png);
    let (mut one, mut summary) = (Vec::new(), Vec::new());
    field_bytes(&mut one, 1, tag.as_bytes());
    field_bytes(&mut one, 4, &image);
    field_bytes(&mut summary, 1, &one);
    record(&event(wall, step, |e| field_bytes(e, 5, &summary)))
}

/// The records of steps up to `step`, until the first damaged or truncated one.
pub(super) fn until(bytes: &[u8], step: u64) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), bytes);
    while let Some(data) = data(rest) {
        let (one, more) = rest.split_at(data.len() + FRAME);
        match step_of(data) {
            Some(s) if s <= step => out.extend(one),
            Some(_) => {}
            None => break,
        }
        rest = more;
    }
    out
}

/// The data of the first record of `bytes`, if it is intact.
fn data(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (length_crc, rest) = rest.split_first_chunk::<4>()?;
    let (data, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let data_crc = rest.first_chunk::<4>()?;
    let fits = |crc: &[u8; 4], of: &[u8]| u32::from_le_bytes(*crc) == masked_crc(of);
    (fits(length_crc, length) && fits(data_crc, data)).then_some(data)
}

/// The step of an event; 0 if it has none.
fn step_of(mut event: &[u8]) -> Option<u64> {
    while !event.is_empty() {
        let (key, rest) = varint(event)?;
        event = match key & 7 {
            0 => {
                let (value, rest) = varint(rest)?;
                if key >> 3 == 2 {
                    return Some(value);
                }
                rest
            }
            1 => rest.get(8..)?,
            2 => {
                let (length, rest) = varint(rest)?;
                rest.get(usize::try_from(length).ok()?..)?
            }
            5 => rest.get(4..)?,
            _ => return None,
        };
    }
    Some(0)
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (i, &b) in bytes.iter().take(10).enumerate() {
        value |= u64::from(b & 0x7f) << (7 * i);
        if b < 0x80 {
            return Some((value, &bytes[i + 1..]));
        }
    }
    None
}

fn event(wall: f64, step: u64, what: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    // A double: eight bytes, wire type 1.
    out.push(1 << 3 | 1);
    out.extend(wall.to_le_bytes());
    field_number(&mut out, 2, step);
    what(&mut out);
    out
}

fn field_number(out: &mut Vec<u8>, field: u8, value: u64) {
    out.push(field << 3);
    number(out, value);
}

fn field_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    number(out, bytes.len() as u64);
    out.extend(bytes);
}

fn field_fixed(out: &mut Vec<u8>, field: u8, bytes: &[u8; 4]) {
    out.push(field << 3 | 5);
    out.extend(bytes);
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut out = length.to_vec();
    out.extend(masked_crc(&length).to_le_bytes());
    out.extend(data);
    out.extend(masked_crc(data).to_le_bytes());
    out
}

/// The format's masked checksum: rotated and offset, so that a checksum of data with checksums is safe.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli).
fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut i = 0;
        while i < 256 {
            let (mut c, mut bit) = (i as u32, 0);
            while bit < 8 {
                c = if c & 1 == 1 { c >> 1 ^ 0x82f6_3b78 } else { c >> 1 };
                bit += 1;
            }
            table[i] = c;
            i += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |c: u32, &b| c >> 8 ^ TABLE[usize::from(c as u8 ^ b)])
}

#[cfg(test)]
mod tests {
    use super::super::rows::Split;
    use super::*;

    fn row(step: u64) -> Row {
        Row { step, split: Split::Train, values: vec![("loss".into(), 0.5), ("lr".into(), 1e-3)] }
    }

    #[test]
    fn checksums_are_the_published_ones() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        // RFC 3720, B.4.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn an_event_byte_by_byte() {
        let got = scalars(1.5, &Row { values: vec![("a".into(), 1.0)], ..row(300) });
        let data = &got[12..got.len() - 4];
        let expected = b"\x09\0\0\0\0\0\0\xf8\x3f\x10\xac\x02\x2a\x10\x0a\x0e\x0a\x07train/a\x15\0\0\x80\x3f";
        assert_eq!(data, expected, "{data:x?}");
        assert_eq!(got[..8], (expected.len() as u64).to_le_bytes());
    }

    #[test]
    fn records_of_later_steps_are_dropped() {
        let png = vec![7; 300];
        let parts: Vec<Vec<u8>> = vec![
            version(9.0),
            scalars(9.0, &row(1)),
            image(9.0, 200, "p", [3, 4], &png),
            scalars(9.0, &row(201)),
            scalars(9.0, &row(u64::MAX)),
        ];
        let all = parts.concat();
        assert_eq!(until(&all, u64::MAX), all);
        assert_eq!(until(&all, 200), parts[..3].concat());
        assert_eq!(until(&all, 0), parts[0]);
        let before = parts[..3].concat();
        for cut in 1..parts[3].len() {
            assert_eq!(until(&all[..before.len() + cut], u64::MAX), before);
        }
        let mut damaged = all.clone();
        damaged[before.len() + 20] ^= 1;
        assert_eq!(until(&damaged, u64::MAX), before);
        assert_eq!(until(&[0xff; 40], 1), b"");
    }
}
