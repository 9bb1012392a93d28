//! Writing results to stdout.

use std::io::{ErrorKind, Write};
use std::path::Path;
use unet_wgpu::{Error, Result};

const STDOUT: &str = "standard output";

/// Whether an error is about stdout.
pub(super) fn is_stdout(path: &Path) -> bool {
    path == Path::new(STDOUT)
}

/// Writes a line to stdout and flushes it.
pub(super) fn line(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|e| Error::io(STDOUT, e))
}

/// [`line()`] that ignores a closed pipe, for commands that write files: they continue without a reader.
pub(super) fn line_if_read(text: &str) -> Result<()> {
    match line(text) {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// Writes a line to stderr. Failure is ignored: there is nowhere to report it.
pub(super) fn aside(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Writes an error to stderr, in one line.
pub(super) fn error(text: &str) {
    aside(&format!("error: {}", one_line(text)));
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("; ")
}

/// Writes a JSON document to stdout.
pub(super) fn json(document: &serde_json::Value) -> Result<()> {
    line(&format!("{document:#}"))
}

/// `1.5 GiB`, `128 MiB`, `1000 bytes`.
pub(super) fn bytes(n: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.iter().find(|(_, shift)| n >= 1 << shift) {
        None => format!("{n} bytes"),
        Some((unit, shift)) => {
            let text = format!("{:.1}", n as f64 / (1u64 << shift) as f64);
            format!("{} {unit}", text.strip_suffix(".0").unwrap_or(&text))
        }
    }
}

/// Milliseconds by the host's clock.
pub(super) fn ms(since: std::time::Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_one_line() {
        assert_eq!(one_line("a:\n  b\n\n"), "a:; b");
    }

    #[test]
    fn sizes_are_readable() {
        let all =
            [(0, "0 bytes"), (1023, "1023 bytes"), (32768, "32 KiB"), (3 << 29, "1.5 GiB"), (128 << 20, "128 MiB")];
        for (n, text) in all {
            assert_eq!(bytes(n), text);
        }
    }
}
