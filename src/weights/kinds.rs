//! Recognises common files that are not checkpoints, for better errors than "unknown".

pub(crate) use crate::io::image_formats::LFS_POINTER;

use crate::io::ImageFormat;

/// The kind of file that these first bytes belong to, if it is one that users mistake for a checkpoint.
pub(crate) fn looks_like(head: &[u8]) -> Option<&'static str> {
    const STARTS: &[(&[u8], &str)] = &[
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras weights?)"),
        (b"PK\x03\x04", "a zip archive, but not PyTorch's"),
        (b"\x80\x02", "a Python pickle without tensors"),
        (b"\x80\x04", "a Python pickle"),
        (b"GGUF", "a GGUF model"),
        (b"\x1f\x8b", "a gzip file inside another"),
        (LFS_POINTER, "a Git LFS pointer, not the file: run `git lfs pull`"),
        (b"\x7fELF", "a program"),
        (b"MZ", "a program"),
    ];
    if let Some(&(_, what)) = STARTS.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Some(what);
    }
    if head.get(4..8) == Some(b"TFL3") {
        return Some("a TensorFlow Lite model");
    }
    if let Some(format) = ImageFormat::of_head(head) {
        return Some(format.what);
    }
    let text = std::str::from_utf8(head).or_else(|e| std::str::from_utf8(&head[..e.valid_up_to()])).ok()?;
    let text = text.trim_start();
    if text.get(..5).is_some_and(|t| t.eq_ignore_ascii_case("<html") || t.eq_ignore_ascii_case("<!doc")) {
        return Some("a web page (a failed download?)");
    }
    if text.starts_with('{') || text.starts_with('[') {
        return Some("JSON text");
    }
    let readable = text.len() >= 8 && !text.chars().any(|c| c.is_control() && !c.is_whitespace());
    // The head may end inside a UTF-8 character, losing up to three bytes.
    (readable && text.len() + 4 > head.trim_ascii_start().len()).then_some("plain text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_mistakes_are_recognised() {
        for (head, expected) in [
            (&b"\x89PNG\r\n\x1a\n\0\0"[..], Some("PNG")),
            (b"\n<!DOCTYPE html><html>", Some("web page")),
            (b"version https://git-lfs.github.com/spec/v1\n", Some("Git LFS")),
            (b"PK\x03\x04rest", Some("zip archive")),
            (b"{\"a\": 1}", Some("JSON")),
            ("just some \u{e9} text".as_bytes(), Some("plain text")),
            (b"\x08\x00\x00\x00\x00\x00\x00\x00{}", None),
            (b"", None),
            (b"\xff\xfe\0\x01", None),
        ] {
            assert_eq!(looks_like(head).is_some(), expected.is_some(), "{head:?}");
            assert!(looks_like(head).unwrap_or_default().contains(expected.unwrap_or_default()), "{head:?}");
        }
    }
}
