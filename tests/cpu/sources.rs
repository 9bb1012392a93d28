//! The project's sources as words and marks, for rules that the compiler does not check.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[derive(Debug, PartialEq)]
pub(crate) enum Token {
    Word(String),
    /// `::`
    Path,
    Mark(char),
    /// The content of a string literal.
    Text(String),
}

/// Words, marks and strings of a source text, without comments and character literals.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut out, mut i) = (Vec::new(), 0);
    while i < chars.len() {
        let start = i;
        match (at(i), at(i + 1)) {
            ('/', '/') => {
                while i < chars.len() && at(i) != '\n' {
                    i += 1;
                }
            }
            ('/', '*') => {
                let mut depth = 1;
                i += 2;
                while i < chars.len() && depth > 0 {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                }
            }
            ('"', _) => {
                i += 1;
                while i < chars.len() && at(i) != '"' {
                    i += if at(i) == '\\' { 2 } else { 1 };
                }
                out.push(Token::Text(chars[start + 1..i.min(chars.len())].iter().collect()));
                i += 1;
            }
            // A character literal; a lifetime has no closing quote.
            ('\'', '\\') => {
                i += 3;
                while i < chars.len() && at(i) != '\'' {
                    i += 1;
                }
                i += 1;
            }
            ('\'', _) => i += if at(i + 2) == '\'' { 3 } else { 1 },
            (':', ':') => {
                out.push(Token::Path);
                i += 2;
            }
            (c, _) if is_word(c) => {
                while is_word(at(i)) {
                    i += 1;
                }
                let word: String = chars[start..i].iter().collect();
                let hashes = (i..chars.len()).take_while(|&k| at(k) == '#').count();
                if matches!(word.as_str(), "r" | "br" | "cr") && at(i + hashes) == '"' {
                    // A raw string ends at a quote with as many hashes.
                    i += hashes + 1;
                    let ends = |i: usize| at(i) == '"' && (1..=hashes).all(|k| at(i + k) == '#');
                    let first = i;
                    while i < chars.len() && !ends(i) {
                        i += 1;
                    }
                    out.push(Token::Text(chars[first..i].iter().collect()));
                    i += 1 + hashes;
                } else {
                    out.push(Token::Word(word));
                }
            }
            (c, _) => {
                if !c.is_whitespace() {
                    out.push(Token::Mark(c));
                }
                i += 1;
            }
        }
    }
    out
}

pub(crate) fn word(t: Option<&Token>) -> Option<&str> {
    match t {
        Some(Token::Word(w)) => Some(w),
        _ => None,
    }
}

/// Number of tokens of a bracketed group that starts at `t[0]`.
pub(crate) fn group(t: &[Token]) -> usize {
    let mut depth = 0;
    for (i, token) in t.iter().enumerate() {
        match token {
            Token::Mark('(' | '[' | '{') => depth += 1,
            Token::Mark(')' | ']' | '}') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i + 1;
        }
    }
    t.len()
}

/// Removes `#[cfg(test)] mod name { .. }`; also returns the names of `#[cfg(test)] mod name;`.
pub(crate) fn without_tests(mut t: Vec<Token>) -> (Vec<Token>, Vec<String>) {
    let marker = tokens("#[cfg(test)]");
    let mut names = Vec::new();
    let mut i = 0;
    while i < t.len() {
        if !t[i..].starts_with(&marker) {
            i += 1;
            continue;
        }
        let mut end = i + marker.len();
        while t.get(end) == Some(&Token::Mark('#')) {
            end += 1 + group(&t[end + 1..]);
        }
        while matches!(word(t.get(end)), Some("pub")) {
            end += 1;
            if t.get(end) == Some(&Token::Mark('(')) {
                end += group(&t[end..]);
            }
        }
        match (word(t.get(end)), word(t.get(end + 1)), t.get(end + 2)) {
            (Some("mod"), Some(name), Some(Token::Mark(';'))) => {
                names.push(name.to_string());
                end += 3;
            }
            (Some("mod"), Some(_), Some(Token::Mark('{'))) => end += 2 + group(&t[end + 2..]),
            // Only modules are removed.
            _ => {
                i = end;
                continue;
            }
        }
        t.drain(i..end);
    }
    (t, names)
}

/// The folder of the package.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files under `folder` with `extension`: relative path and text.
pub(crate) fn files(folder: &str, extension: &str) -> Vec<(String, String)> {
    fn walk(dir: &Path, out: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, out) } else { out.push(path) }
        }
    }
    let mut paths = Vec::new();
    walk(&root().join(folder), &mut paths);
    paths.retain(|p| p.extension().is_some_and(|e| e == extension));
    paths.sort();
    assert!(!paths.is_empty(), "{folder}: no .{extension} file was found");
    let name = |p: &Path| p.strip_prefix(root().join(folder)).unwrap().to_str().unwrap().replace('\\', "/");
    paths.iter().map(|p| (name(p), std::fs::read_to_string(p).unwrap())).collect()
}

/// Files declared by `#[cfg(test)] mod name;`: `name.rs` beside or below the declaring file, or its `#[path]` forms.
pub(crate) fn test_files(all: &[(String, String)]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (path, text) in all {
        let dir = path.rsplit_once('/').map_or(String::new(), |(d, _)| format!("{d}/"));
        let stem = path.trim_end_matches(".rs").trim_end_matches("/mod");
        for name in without_tests(tokens(text)).1 {
            found.extend([format!("{stem}/{name}.rs"), format!("{stem}_{name}.rs"), format!("{dir}{name}.rs")]);
        }
    }
    found
}
