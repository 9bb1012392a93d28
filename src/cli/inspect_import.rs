//! The section of `unet inspect` about another program's checkpoint.

use super::hints;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use unet_wgpu::low_level::model::dialect::{Origin, Report, Setting};

/// Ignored names that are listed for each reason without `--keys`.
const LISTED: usize = 4;

pub(super) fn text(r: &Report, all: bool) -> String {
    let mut t = format!("\nunderstood as  {}\n", r.heading());
    if !r.prefix.is_empty() {
        let _ = writeln!(t, "prefix         `{}` before every name", r.prefix);
    }
    let group = |origin: &str, of: fn(&Origin) -> bool| {
        let settings: Vec<String> =
            r.settings.iter().filter(|s| of(&s.origin)).map(|s| format!("{}={}", s.key, s.shown())).collect();
        if settings.is_empty() { String::new() } else { format!("{origin:<15}{}\n", settings.join(", ")) }
    };
    t += &group("from shapes", |o| *o == Origin::Inferred);
    t += &group("set", |o| *o == Origin::Set);
    for (i, assumed) in r.assumed().iter().enumerate() {
        let _ = writeln!(t, "{:<15}{assumed}", if i == 0 { "assumed" } else { "" });
    }
    for note in &r.notes {
        let _ = writeln!(t, "{:<15}{}", "note", hints::text(note));
    }
    if r.matched.is_empty() && r.ignored.is_empty() {
        t.truncate(t.trim_end().len());
        return t;
    }
    let _ = writeln!(
        t,
        "names          {} in the file: {} matched, {} ignored, none missing",
        r.matched.len() + r.ignored.len(),
        r.matched.len(),
        r.ignored.len()
    );
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for i in &r.ignored {
        reasons.entry(&i.reason).or_default().push(&i.key);
    }
    for (reason, keys) in reasons {
        let shown = if all { keys.len() } else { keys.len().min(LISTED) };
        let more = if shown < keys.len() { format!(" and {} more", keys.len() - shown) } else { String::new() };
        let _ = writeln!(t, "ignored        {}{more}: {reason}", keys.get(..shown).unwrap_or_default().join(", "));
    }
    if all {
        let width = r.matched.iter().map(|m| m.key.len()).max().unwrap_or(0);
        for m in &r.matched {
            let _ = writeln!(t, "{:<width$} -> {}", m.key, m.name);
        }
    }
    t.truncate(t.trim_end().len());
    t
}

pub(super) fn document(r: &Report) -> Value {
    let setting = |s: &Setting| {
        let (origin, why) = match &s.origin {
            Origin::Inferred => ("inferred", None),
            Origin::Assumed(why) => ("assumed", Some(why)),
            Origin::Set => ("set", None),
        };
        json!({ "key": s.key, "value": s.value, "origin": origin, "why": why })
    };
    json!({
        "dialect": r.dialect,
        "prefix": r.prefix,
        "settings": r.settings.iter().map(setting).collect::<Vec<_>>(),
        "notes": r.notes.iter().map(hints::text).collect::<Vec<_>>(),
        "matched": r.matched.iter().map(|m| json!({ "key": m.key, "name": m.name })).collect::<Vec<_>>(),
        "ignored": r.ignored.iter().map(|i| json!({ "key": i.key, "reason": i.reason })).collect::<Vec<_>>(),
        "missing": [],
    })
}
