//! Composes the WGSL of a [`KernelKey`]: its constants, then the shader with `#import` and `#ifdef` resolved.

use super::conditions::{F16, is_active};
use super::{KernelKey, TEXTURES, generate, part, sources, textures};
use crate::error::{Error, Result};
use std::fmt::Write;

/// Constant of kernels for drivers that need hidden trip counts: see `shaders/lib/loops.wgsl`.
pub const HIDE_TRIP_COUNTS: &str = "HIDE_TRIP_COUNTS";

/// The complete WGSL of a kernel.
///
/// Directives, each on its own line: `#import "lib/x"` (each file once), `#ifdef NAME`, `#ifndef NAME`, `#else`,
/// `#endif`, `#generate name` (unrolled code, see `kernel/generate`). A name is defined if the key has a constant of
/// that name. Subgroup operations need no `enable`: naga has none for them.
pub fn compose(key: &KernelKey) -> Result<String> {
    let mut out = String::with_capacity(8192);
    let _ = writeln!(out, "// {key}");
    if key.value(F16).is_some() {
        // `enable` must come first.
        out.push_str("enable f16;\n");
    }
    if key.value("MATRIX").is_some() {
        out.push_str("enable wgpu_cooperative_matrix;\n");
    }
    for (name, value) in &key.consts {
        let _ = writeln!(out, "const {name}: u32 = {value}u;");
    }
    let mut imported = Vec::new();
    append(&mut out, key, key.shader, &mut imported)?;
    let fail = |what| Error::op(format!("kernel {key}"), what);
    if key.is_part() {
        out = part::rewrite(&out).map_err(fail)?;
    }
    match key.value(TEXTURES) {
        Some(bindings) => textures::rewrite(&out, bindings).map_err(fail),
        None => Ok(out),
    }
}

fn append(out: &mut String, key: &KernelKey, file: &str, imported: &mut Vec<String>) -> Result<()> {
    let fail = |line: usize, what: String| Error::op(sources::path(file), format!("line {line}: {what}"));
    let text = sources::source(file).ok_or_else(|| Error::op(sources::path(file), "no such shader"))?;
    // One entry per open condition: whether its branch is taken.
    let mut open: Vec<bool> = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let mut words = line.split_whitespace();
        let directive = words.next().filter(|w| w.starts_with('#'));
        if let (Some(d @ ("#else" | "#endif")), true) = (directive, open.is_empty()) {
            return Err(fail(i + 1, format!("{d} without #ifdef")));
        }
        let active = is_active(line, key, &mut open);
        match (directive, words.next()) {
            (Some("#ifdef" | "#ifndef"), Some(_)) | (Some("#else" | "#endif"), None) => {}
            (Some("#import"), Some(name)) => {
                let name = name.trim_matches('"');
                if active && !imported.iter().any(|f| f == name) {
                    imported.push(name.to_string());
                    append(out, key, name, imported)?;
                }
            }
            (Some("#generate"), Some(name)) => {
                if active {
                    out.push_str(&generate::generate(name, key).map_err(|what| fail(i + 1, what))?);
                }
            }
            (Some(other), _) => return Err(fail(i + 1, format!("unknown directive {other}"))),
            (None, _) if active => {
                out.push_str(line);
                out.push('\n');
            }
            (None, _) => {}
        }
    }
    if open.is_empty() { Ok(()) } else { Err(fail(text.lines().count(), "#ifdef without #endif".into())) }
}
