//! Text formatting shared by many messages.

/// A number of bytes, in MiB.
pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1u64 << 20) as f64)
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
        assert_eq!((mib(3 << 19), mib(0)), ("1.5 MiB".into(), "0.0 MiB".into()));
        assert_eq!((excerpt("a\u{1b}b", 3), excerpt("abcd", 3)), ("a\\u{1b}b".into(), "abc...".into()));
    }
}
