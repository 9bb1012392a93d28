//! Measures both widths: this program runs itself, since a driver reads its environment once, when it is loaded.

use super::width::{NARROW, Times, WIDE};
use super::{CACHE, WIDTH};
use serde_json::Value;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The hidden subcommand that measures one width.
pub(in crate::cli) const COMMAND: &str = "measure-vectors";
/// Measurements of each width, in turn, so that a busy moment falls on both. The fastest counts.
const ROUNDS: usize = 2;
/// How long one may take. The first compiles its kernels.
const LIMIT: Duration = Duration::from_secs(60);

/// Times of both widths. `folder` is for kernels compiled for 512 bits.
pub(super) fn times(folder: &Path) -> Result<Times, String> {
    let mut best = Times { narrow: f64::INFINITY, wide: f64::INFINITY };
    for _ in 0..ROUNDS {
        best.narrow = best.narrow.min(child(NARROW, None)?);
        best.wide = best.wide.min(child(WIDE, Some(folder))?);
    }
    Ok(best)
}

fn child(bits: u32, cache: Option<&Path>) -> Result<f64, String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut command = Command::new(program);
    command.arg(COMMAND).env(WIDTH, bits.to_string()).env_remove("RUST_LOG");
    if let Some(cache) = cache {
        command.env(CACHE, cache);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = command.spawn().map_err(|e| e.to_string())?;
    let start = Instant::now();
    let status = loop {
        match process.try_wait().map_err(|e| e.to_string())? {
            Some(status) => break status,
            None if start.elapsed() > LIMIT => {
                let _ = process.kill();
                let _ = process.wait();
                return Err(format!("{bits} bits took longer than {} s", LIMIT.as_secs()));
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    // The output is shorter than a pipe holds.
    let mut text = String::new();
    let mut out = process.stdout.take().ok_or("no output")?;
    out.read_to_string(&mut text).map_err(|e| e.to_string())?;
    if !status.success() {
        return Err(format!("{bits} bits: {status}"));
    }
    parse(&text, bits)
}

/// What the subcommand prints.
pub(in crate::cli) fn document(lanes: u32, ms: f64) -> Value {
    serde_json::json!({ "lanes": lanes, "ms": ms })
}

/// The milliseconds of its output, if the driver took the width.
fn parse(text: &str, bits: u32) -> Result<f64, String> {
    let document: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    if document["lanes"].as_u64() != Some(u64::from(bits / 32)) {
        return Err(format!("the driver has not taken {bits} bits"));
    }
    document["ms"].as_f64().filter(|&ms| ms > 0.0).ok_or_else(|| "no time".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_of_the_subcommand() {
        let text = document(16, 31.5).to_string();
        assert_eq!(parse(&text, WIDE), Ok(31.5));
        assert!(parse(&text, NARROW).unwrap_err().contains("not taken 256 bits"));
        for bad in ["", "{}", r#"{"lanes": 16}"#, r#"{"lanes": 16, "ms": 0}"#, r#"{"lanes": 16, "ms": null}"#] {
            assert!(parse(bad, WIDE).is_err(), "{bad}");
        }
    }
}
