//! rustfmt sees every file: plain `mod` lines lead to each.

use crate::sources::{Token, files, group, root, tokens, word};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Modules of a file that rustfmt sees: plain `mod name;` outside macros and blocks, with `#[path]`.
fn plain_modules(text: &str) -> Vec<(String, Option<String>)> {
    let paths: BTreeMap<&str, &str> = text
        .split("#[path = \"")
        .skip(1)
        .filter_map(|rest| {
            let (path, rest) = rest.split_once('"')?;
            Some((rest.split_once("mod ")?.1.split_once(';')?.0, path))
        })
        .collect();
    let t = tokens(text);
    let (mut found, mut i) = (Vec::new(), 0);
    while i < t.len() {
        match (&t[i], word(t.get(i + 1)), t.get(i + 2)) {
            (Token::Mark('(' | '[' | '{'), ..) => i += group(&t[i..]),
            (Token::Word(w), Some(name), Some(Token::Mark(';'))) if w == "mod" => {
                found.push((name.to_string(), paths.get(name).map(|p| (*p).to_string())));
                i += 3;
            }
            _ => i += 1,
        }
    }
    found
}

/// The files that rustfmt visits from the root of a crate.
fn visit(file: PathBuf, is_root: bool, seen: &mut BTreeSet<PathBuf>) {
    let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let beside = file.parent().unwrap().to_path_buf();
    let below = if is_root || file.ends_with("mod.rs") { beside.clone() } else { file.with_extension("") };
    for (name, path) in plain_modules(&text) {
        let flat = below.join(format!("{name}.rs"));
        let next = match &path {
            Some(path) => beside.join(path).canonicalize().unwrap(),
            None if flat.is_file() => flat,
            None => below.join(name).join("mod.rs"),
        };
        // With `#[path]` children lie beside the file, as for the root of a crate.
        visit(next, path.is_some(), seen);
    }
    seen.insert(file);
}

#[test]
fn rustfmt_sees_every_file() {
    let root = root().canonicalize().unwrap();
    let mut seen = BTreeSet::new();
    for crate_root in [
        "src/lib.rs",
        "src/main.rs",
        "tests/cpu/main.rs",
        "tests/frame/main.rs",
        "tests/gpu/main.rs",
        "capi/src/lib.rs",
        "examples/egui/src/main.rs",
        "fuzz/src/lib.rs",
        "tests/web/src/lib.rs",
        "tests/web/bindgen/src/main.rs",
    ] {
        visit(root.join(crate_root), true, &mut seen);
    }
    for folder in ["benches", "examples", "fuzz/fuzz_targets"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "rs") {
                visit(path, true, &mut seen);
            }
        }
    }
    let mut hidden = Vec::new();
    for folder in ["src", "tests", "benches", "examples", "fuzz/src", "fuzz/fuzz_targets", "capi/src"] {
        let paths = files(folder, "rs").into_iter().map(|f| format!("{folder}/{}", f.0));
        hidden.extend(paths.filter(|p| !seen.contains(&root.join(p))));
    }
    assert!(hidden.is_empty(), "no plain `mod` line leads rustfmt to {}", hidden.join(", "));
}

#[test]
fn modules_that_rustfmt_does_not_see_are_found() {
    let seen = |text: &str| plain_modules(text).into_iter().map(|m| m.0).collect::<Vec<_>>();
    assert_eq!(seen("mod a;\npub mod b;\n#[cfg(test)]\nmod c;\nmod d { mod e; }"), ["a", "b", "c"]);
    assert!(seen("registry! { a: A; }\nmacro_rules! m { ($n:ident) => { mod $n; } }\nm!(mod b;);").is_empty());
    assert_eq!(plain_modules("#[path = \"x/y.rs\"]\nmod a;"), [("a".into(), Some("x/y.rs".into()))]);
}
