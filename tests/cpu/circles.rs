//! Files import each other in one direction. A file and the modules below it are one unit: below each module, its
//! children, each with all below it, form no circle. An import counts for the file that declares the name, however many
//! `pub use` lie between.

use crate::sources::{Token, files, test_files, tokens, without_tests, word};
use std::collections::{BTreeMap, BTreeSet};

type Path = Vec<String>;

/// A module as its source file has it.
#[derive(Default)]
struct Module {
    /// Names declared here.
    declared: BTreeSet<String>,
    /// Names imported here, with their paths; for `pub use` also exported.
    imported: BTreeMap<String, Path>,
    /// Paths of `use path::*`.
    globs: Vec<Path>,
    /// Paths that count as imports: all but `pub use` of what lies below.
    used: Vec<Path>,
}

/// The paths of a use tree at `t[0]`, with the names that they get here.
fn use_tree(t: &[Token], prefix: &[String], out: &mut Vec<(Path, String)>) {
    let mut path = prefix.to_vec();
    let mut i = 0;
    while i < t.len() {
        match &t[i] {
            Token::Word(w) if w == "as" => {
                let name = word(t.get(i + 1)).unwrap_or("_").to_string();
                out.push((path, name));
                return;
            }
            Token::Word(w) => path.push(w.clone()),
            Token::Mark('*') => path.push("*".into()),
            Token::Mark('{') => {
                let (mut depth, mut start) = (0, i + 1);
                for (k, token) in t.iter().enumerate().skip(i) {
                    match token {
                        Token::Mark('{') => depth += 1,
                        Token::Mark('}') => depth -= 1,
                        _ => {}
                    }
                    if (depth == 1 && *token == Token::Mark(',')) || depth == 0 {
                        if start < k {
                            use_tree(&t[start..k], &path, out);
                        }
                        start = k + 1;
                    }
                    if depth == 0 {
                        return;
                    }
                }
            }
            _ => {}
        }
        i += 1;
    }
    if path.last().is_some_and(|w| w == "self") {
        path.pop();
    }
    let name = path.last().cloned().unwrap_or_default();
    out.push((path, name));
}

/// A path in module `own` from the crate root; `None` if it leads out of the crate.
fn absolute(own: &[String], path: &[String], modules: &BTreeSet<Path>) -> Option<Path> {
    let ups = path.iter().take_while(|w| *w == "super").count();
    let rest = match path.first()?.as_str() {
        "crate" if path.get(1).is_some_and(|w| w == "low_level") => return Some(path[2..].to_vec()),
        "crate" => return Some(path[1..].to_vec()),
        "self" => &path[1..],
        "super" => &path[ups..],
        child => {
            let below = [own, &[child.to_string()]].concat();
            return modules.contains(&below).then(|| [own, path].concat());
        }
    };
    Some([&own[..own.len().checked_sub(ups)?], rest].concat())
}

fn parse(own: &[String], t: &[Token], modules: &BTreeSet<Path>) -> Module {
    const KINDS: [&str; 8] = ["struct", "enum", "trait", "fn", "const", "static", "type", "union"];
    let mut m = Module::default();
    let mut paths = Vec::new();
    let mut i = 0;
    while i < t.len() {
        if word(t.get(i)) == Some("use") {
            let end = i + t[i..].iter().position(|k| *k == Token::Mark(';')).unwrap_or(t.len() - i);
            let public = i > 0 && (word(t.get(i - 1)) == Some("pub") || t[i - 1] == Token::Mark(')'));
            let mut all = Vec::new();
            use_tree(&t[i + 1..end], &[], &mut all);
            for (path, name) in all {
                let Some(mut path) = absolute(own, &path, modules) else { continue };
                let glob = path.last().is_some_and(|w| w == "*");
                if glob {
                    path.pop();
                    m.globs.push(path.clone());
                } else {
                    m.imported.insert(name, path.clone());
                }
                if !public || !path.starts_with(own) {
                    m.used.push(path);
                }
            }
            i = end;
        } else if word(t.get(i)).is_some_and(|w| KINDS.contains(&w)) {
            m.declared.extend(word(t.get(i + 1)).map(String::from));
        } else if word(t.get(i)) == Some("macro_rules") {
            m.declared.extend(word(t.get(i + 2)).map(String::from));
        } else if t.get(i + 1) == Some(&Token::Path) && (i == 0 || t[i - 1] != Token::Path) {
            let mut path: Path = word(t.get(i)).map(String::from).into_iter().collect();
            while t.get(i + 1) == Some(&Token::Path)
                && let Some(next) = word(t.get(i + 2))
            {
                path.push(next.to_string());
                i += 2;
            }
            paths.push(path);
        }
        i += 1;
    }
    for path in paths.into_iter().filter(|p| !p.is_empty()) {
        let through = m.imported.get(&path[0]).map(|to| [to.as_slice(), &path[1..]].concat());
        m.used.extend(through.or_else(|| absolute(own, &path, modules)));
    }
    m
}

/// The module whose file declares what a path names.
fn declares(path: &[String], all: &BTreeMap<Path, Module>, depth: usize) -> Option<Path> {
    let own = (1..=path.len()).rev().map(|n| &path[..n]).find(|p| all.contains_key(*p))?;
    let Some(name) = path.get(own.len()).filter(|_| depth < 12) else { return Some(own.to_vec()) };
    let (module, rest) = (&all[own], &path[own.len() + 1..]);
    if !module.declared.contains(name) {
        if let Some(to) = module.imported.get(name) {
            return declares(&[to.as_slice(), rest].concat(), all, depth + 1);
        }
        for glob in &module.globs {
            let to = declares(&[glob.as_slice(), &path[own.len()..]].concat(), all, depth + 1);
            if let Some(to) = to.filter(|to| to != glob) {
                return Some(to);
            }
        }
    }
    Some(own.to_vec())
}

/// Circles among the children of each module: the parent, the members, and an import of each member.
fn circles(sources: &[(String, String)]) -> Vec<(String, BTreeSet<String>, Vec<String>)> {
    let place = |path: &str| -> Path {
        let path = path.trim_end_matches(".rs");
        path.strip_suffix("/mod").unwrap_or(path).split('/').map(String::from).collect()
    };
    let modules: BTreeSet<Path> = sources.iter().map(|f| place(&f.0)).collect();
    let all: BTreeMap<Path, Module> = sources
        .iter()
        .map(|(path, text)| (place(path), parse(&place(path), &without_tests(tokens(text)).0, &modules)))
        .collect();
    // Of each parent: which child imports which, and one import as an example.
    let mut graphs: BTreeMap<Path, BTreeMap<(String, String), String>> = BTreeMap::new();
    for (from, module) in &all {
        for to in module.used.iter().filter_map(|path| declares(path, &all, 0)) {
            let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
            // Imports from one top-level module into another are a matter of layers.
            if let (Some(a), Some(b)) = (from.get(shared), to.get(shared))
                && shared > 0
            {
                let edge = (a.clone(), b.clone());
                let example = || format!("{} imports {}", from.join("/"), to.join("/"));
                graphs.entry(from[..shared].to_vec()).or_default().entry(edge).or_insert_with(example);
            }
        }
    }
    let mut found = Vec::new();
    for (parent, edges) in graphs {
        let reached = |start: &String| {
            let (mut seen, mut open) = (BTreeSet::new(), vec![start]);
            while let Some(at) = open.pop() {
                open.extend(edges.keys().filter(|e| e.0 == *at).map(|e| &e.1).filter(|to| seen.insert((*to).clone())));
            }
            seen
        };
        let nodes: BTreeSet<&String> = edges.keys().map(|e| &e.0).collect();
        let reach: BTreeMap<&String, BTreeSet<String>> = nodes.iter().map(|n| (*n, reached(n))).collect();
        let mut done = BTreeSet::new();
        for (node, to) in reach.iter().filter(|(node, to)| to.contains(**node)) {
            let members: BTreeSet<String> =
                to.iter().filter(|other| reach.get(other).is_some_and(|r| r.contains(*node))).cloned().collect();
            if done.insert(members.clone()) {
                let inside = edges.iter().filter(|(e, _)| members.contains(&e.0) && members.contains(&e.1));
                found.push((parent.join("/"), members.clone(), inside.map(|e| e.1.clone()).collect()));
            }
        }
    }
    found
}

#[test]
fn files_import_in_one_direction() {
    let all = files("src", "rs");
    let tests = test_files(&all);
    let roots = ["lib.rs", "main.rs", "low_level.rs"];
    let sources: Vec<_> = all.into_iter().filter(|f| !tests.contains(&f.0) && !roots.contains(&&f.0[..])).collect();
    let found = circles(&sources);
    let shown: Vec<String> =
        found.iter().map(|c| format!("a circle of imports in {}: {:?}\n  {}", c.0, c.1, c.2.join("\n  "))).collect();
    assert!(shown.is_empty(), "\n{}", shown.join("\n"));
}

#[test]
fn circles_are_found() {
    let found = |all: &[(&str, &str)]| {
        let all: Vec<_> = all.iter().map(|f| (f.0.to_string(), f.1.to_string())).collect();
        circles(&all).into_iter().map(|c| (c.0, c.1.into_iter().collect::<Vec<_>>().join(" "))).collect::<Vec<_>>()
    };
    let expected = vec![("m".to_string(), "a b".to_string())];
    let root = ("m/mod.rs", "mod a; mod b; pub use a::{A, again as other}; pub use b::B; pub trait T {}");
    assert_eq!(
        found(&[root, ("m/a.rs", "use super::B; pub struct A;"), ("m/b.rs", "use crate::m::A; pub struct B;")]),
        expected
    );
    assert_eq!(
        found(&[
            root,
            ("m/a.rs", "fn f() { super::b::g() }"),
            ("m/b/mod.rs", "mod c;"),
            ("m/b/c.rs", "use crate::m::other;")
        ]),
        expected
    );
    assert!(
        found(&[root, ("m/a.rs", "use super::{B, T}; pub struct A;"), ("m/b.rs", "use super::T; pub struct B;")])
            .is_empty()
    );
    let child = ("m/a/c.rs", "use super::A; pub struct C;");
    assert!(found(&[root, ("m/a.rs", "mod c; use c::C; pub struct A;"), child]).is_empty(), "a file and one below it");
    let tested = ("m/b.rs", "pub struct B; #[cfg(test)] mod tests { use crate::m::A; }");
    assert!(found(&[root, ("m/a.rs", "use super::B; pub struct A;"), tested]).is_empty(), "tests do not count");
}
