//! What a file that is no checkpoint looks like, so that the error can say more than "unknown".

/// What a Git LFS pointer begins with.
pub(crate) const LFS_POINTER: &[u8] = b"version https://git-lfs";

/// What the first bytes of a file look like, if that is a kind of file people mistake for a checkpoint.
pub(crate) fn looks_like(head: &[u8]) -> Option<&'static str> {
    const STARTS: &[(&[u8], &str)] = &[
        (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
        (b"\xff\xd8\xff", "a JPEG picture"),
        (b"II*\0", "a TIFF picture"),
        (b"MM\0*", "a TIFF picture"),
        (b"II+\0", "a TIFF picture"),
        (b"GIF8", "a GIF picture"),
        (b"BM", "a BMP picture"),
        (b"%PDF-", "a PDF document"),
        (b"\x93NUMPY", "a NumPy array (.npy)"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras weights?)"),
        (b"PK\x03\x04", "a zip archive, not of PyTorch"),
        (b"\x80\x02", "a Python pickle without tensors"),
        (b"\x80\x04", "a Python pickle"),
        (b"GGUF", "a GGUF model"),
        (b"\x1f\x8b", "a gzip file inside another"),
        (b"BZh", "a bzip2 file"),
        (b"\xfd7zXZ\0", "an xz file"),
        (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
        (LFS_POINTER, "a Git LFS pointer, not the file: run `git lfs pull`"),
        (b"\x7fELF", "a program"),
        (b"MZ", "a program"),
    ];
    if let Some(&(_, what)) = STARTS.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Some(what);
    }
    if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP") {
        return Some("a WebP picture");
    }
    if head.get(4..8) == Some(b"TFL3") {
        return Some("a TensorFlow Lite model");
    }
    let text = std::str::from_utf8(head).or_else(|e| std::str::from_utf8(&head[..e.valid_up_to()])).ok()?;
    let text = text.trim_start();
    if text.get(..5).is_some_and(|t| t.eq_ignore_ascii_case("<html") || t.eq_ignore_ascii_case("<!doc")) {
        return Some("a web page: was the download answered with one?");
    }
    if text.starts_with('{') || text.starts_with('[') {
        return Some("JSON text");
    }
    let readable = text.len() >= 8 && !text.chars().any(|c| c.is_control() && !c.is_whitespace());
    // A head may be cut inside a character: up to three bytes of it are lost.
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
