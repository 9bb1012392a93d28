//! GIF, of which the first frame is read.

use std::io::Cursor;

use ::image::ImageDecoder;
use ::image::codecs::gif::GifDecoder;

use super::Source;
use crate::error::Result;
use crate::infer::image::Image;

/// What the blocks of a file say before anything is decoded.
#[derive(Debug, PartialEq, Eq)]
struct Frames {
    count: usize,
    /// Whether the first lies inside the image.
    inside: bool,
}

/// Walks the blocks; those of a file that ends early as far as they go.
fn frames(bytes: &[u8]) -> Frames {
    let word = |at: usize| usize::from(u16::from_le_bytes(bytes.get(at..at + 2).map_or([0; 2], |b| [b[0], b[1]])));
    // A table of colours, if its flag is set.
    let table = |flags: u8| if flags & 0x80 != 0 { 3 << ((flags & 7) + 1) } else { 0 };
    let mut found = Frames { count: 0, inside: false };
    let mut at = 13 + table(bytes.get(10).copied().unwrap_or(0));
    loop {
        at = match bytes.get(at) {
            Some(0x21) => at + 2,
            Some(0x2c) => {
                let inside = word(at + 1) + word(at + 5) <= word(6) && word(at + 3) + word(at + 7) <= word(8);
                found = Frames { count: found.count + 1, inside: if found.count == 0 { inside } else { found.inside } };
                // Behind it, its colours and how many bits a code begins with.
                at + 10 + table(bytes.get(at + 9).copied().unwrap_or(0)) + 1
            }
            _ => return found,
        };
        while let Some(&length @ 1..) = bytes.get(at) {
            at += 1 + usize::from(length);
        }
        at += 1;
    }
}

pub(super) fn decode(source: &Source, bytes: &[u8]) -> Result<Image> {
    let frames = frames(bytes);
    // The decoder takes memory for whatever a frame claims.
    if !frames.inside {
        return Err(source.error("damaged GIF file: its first frame does not lie in the image"));
    }
    let mut decoder = GifDecoder::new(Cursor::new(bytes)).map_err(|e| source.image_error("GIF", e))?;
    decoder.set_limits(source.limits()).map_err(|e| source.image_error("GIF", e))?;
    let image = source.decode("GIF", decoder)?;
    if frames.count > 1 {
        let path = source.path.display();
        log::warn!("{path}: an animation of {} frames, of which the first is read", frames.count);
    }
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_and_must_fit() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/fixtures/images/animated.gif");
        let mut bytes = std::fs::read(path).unwrap();
        assert_eq!(frames(&bytes), Frames { count: 2, inside: true });
        let first = frames(&bytes[..bytes.len() / 4]);
        assert_eq!(first.count, 1);
        let at = (13 + (3 << ((bytes[10] & 7) + 1))..).find(|&i| bytes[i] == 0x2c).unwrap();
        bytes[at + 5..at + 7].copy_from_slice(&[0xff, 0x4f]);
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.gif"), &bytes).unwrap();
        let text = Image::open(dir.path().join("a.gif")).unwrap_err().to_string();
        assert!(text.ends_with("its first frame does not lie in the image"), "{text}");
        assert_eq!(frames(b"GIF89a").count, 0);
    }
}
