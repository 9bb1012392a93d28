//! Text formatting shared by many messages.

/// A number of bytes, in MiB; in KiB or bytes where those would be 0.0.
pub(crate) fn mib(bytes: u64) -> String {
    match bytes {
        ..1024 => format!("{bytes} bytes"),
        // A tenth of a MiB.
        1024..104_858 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / (1u64 << 20) as f64),
    }
}

/// The first `max` characters of a text from a file, with control characters escaped for terminals.
pub(crate) fn excerpt(text: &str, max: usize) -> String {
    let mut out: String = text.chars().take(max).flat_map(char::escape_debug).collect();
    if text.chars().nth(max).is_some() {
        out.push_str("...");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_excerpts() {
        let sizes = [0, 16, 1536, 104_857, 104_858, 3 << 19].map(mib);
        assert_eq!(sizes, ["0 bytes", "16 bytes", "1.5 KiB", "102.4 KiB", "0.1 MiB", "1.5 MiB"]);
        assert_eq!((excerpt("a\u{1b}b", 3), excerpt("abcd", 3)), ("a\\u{1b}b".into(), "abc...".into()));
    }
}
