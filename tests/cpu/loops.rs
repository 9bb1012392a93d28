//! lavapipe compiles a kernel anew in every dispatch, and never forgets it, where a uniform alone decides how often a loop
//! runs: a millisecond and a third of a megabyte each. `trip_count` of lib/loops.wgsl prevents it; this reads all shaders for
//! loops without it. Needs no GPU.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

fn shaders(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            shaders(&path, found);
        } else if path.extension().is_some_and(|e| e == "wgsl") {
            found.push(path);
        }
    }
}

/// The words of an expression; a member is a word with what it is a member of.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let outside = |c: char| !(c.is_alphanumeric() || c == '_' || c == '.');
    text.split(outside).filter(|w| w.starts_with(|c: char| c.is_ascii_lowercase()))
}

/// Whether an expression is made of constants and members of the uniform `p`, of at least one of these; `lets` are the
/// file's, `variable` is the loop's own.
fn uniform_alone(text: &str, variable: &str, lets: &HashMap<&str, &str>) -> bool {
    const PLAIN: [&str; 8] = ["u32", "i32", "f32", "min", "max", "vec2", "vec2u", "vec4"];
    let (mut waiting, mut uniform, mut steps) = (vec![text], false, 0);
    while let Some(text) = waiting.pop() {
        for word in words(text) {
            let base = word.split('.').next().unwrap_or_default();
            match (base, lets.get(base)) {
                ("p", _) if word.len() > 1 => uniform = true,
                (_, _) if base == variable || PLAIN.contains(&base) => {}
                (_, Some(meaning)) if steps < 100 => waiting.push(meaning),
                _ => return false,
            }
            steps += 1;
        }
    }
    uniform
}

fn offenders(source: &str) -> Vec<String> {
    let text: String = source.lines().map(|l| l.split("//").next().unwrap_or_default().to_string() + "\n").collect();
    let lets = text.split("let ").skip(1).filter_map(|rest| rest.split_once(';')?.0.split_once(" = ")).collect();
    let loops = text.split("for (var ").skip(1).filter_map(|rest| {
        let mut parts = rest.splitn(3, ';');
        let (variable, first) = parts.next()?.split_once(" = ")?;
        let condition = parts.next()?;
        let both = format!("{first} {condition}");
        uniform_alone(&both, variable, &lets).then(|| format!("for (var {variable} = {first};{condition};"))
    });
    loops.collect()
}

#[test]
fn no_uniform_alone_decides_how_often_a_loop_runs() {
    let mut files = Vec::new();
    shaders(&Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders"), &mut files);
    assert!(files.len() > 50);
    for file in files {
        let found = offenders(&std::fs::read_to_string(&file).unwrap());
        assert!(found.is_empty(), "{}: {found:?}: take the bound from `turns` (lib/loops.wgsl)", file.display());
    }
}

#[test]
fn what_it_looks_for_is_found() {
    let source = "let blocks = (p.size.z + 3u) / 4u;
        for (var b = 0u; b < blocks; b++) {} // for (var x = 0; x < p.x; x++)
        for (var b = lane; b < blocks; b += 64u) {}
        let turns_of = turns(p.size.z, group.x);
        for (var i = 0u; i < turns_of; i++) {}
        for (var i = 0u; i < 4u; i++) {}
        for (var k = -p.radius; k <= p.radius; k++) {}";
    assert_eq!(offenders(source), ["for (var b = 0u; b < blocks;", "for (var k = -p.radius; k <= p.radius;"]);
}
