//! Project rules that the compiler does not check: module layers, where crates may be used, file length, and that
//! rustfmt sees every file. Reads the sources; needs no GPU.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Modules from the bottom up. A module imports lower layers only.
const LAYERS: &[(&str, u32)] = &[
    ("error", 0),
    ("clock", 0),
    ("parallel", 0),
    ("text", 0),
    ("names", 1),
    ("io", 1),
    ("tensor", 1),
    ("kernel", 2),
    ("ops", 3),
    ("graph", 4),
    ("gpu", 4),
    ("plan", 5),
    ("model", 5),
    ("weights", 5),
    ("session", 6),
    ("infer", 7),
    ("train", 7),
    ("testing", 8),
    ("tune", 8),
    ("selftest", 8),
    ("low_level", 8),
    ("lib", 8),
    ("cli", 9),
    ("main", 9),
];

/// Allowed imports within a layer, with the reason why they form no cycle.
const NEIGHBOURS: &[(&str, &str)] = &[
    // A loaded model is an architecture with its checkpoint; weights do not depend on architectures.
    ("model", "weights"),
    // Training reads and normalises images as segmentation does, and evaluates by segmenting.
    ("train", "infer"),
    // The self-test shares code with the tests.
    ("selftest", "testing"),
    // Tuning checks kernels as the tests do.
    ("tune", "testing"),
    // The program is its command line.
    ("main", "cli"),
];

/// Crates that only some modules may use.
const CRATES: &[(&str, &[&str])] = &[
    ("wgpu", &["gpu", "session", "testing", "lib", "cli/devices"]),
    ("ash", &["gpu/driver"]),
    ("naga", &["kernel"]),
    ("gif", &["infer"]),
    ("image", &["infer", "train", "cli"]),
    ("png", &["infer", "train", "cli"]),
    ("tiff", &["infer", "train", "cli"]),
    ("fax", &["infer/decode"]),
    ("hayro_jpeg2000", &["infer/decode"]),
    ("ruzstd", &["infer/decode"]),
    ("weezl", &["infer/decode"]),
    ("zune_jpeg", &["infer/decode"]),
];

/// Modules that may read the environment: the program, and the tests' device.
const ENVIRONMENT: &[&str] = &["cli", "main", "testing/device"];

/// Modules that may name a driver; all others use `kernel::DriverPolicy`.
const DRIVERS: &[&str] = &["kernel/policy", "gpu/driver", "cli", "testing/device"];

const MAX_FILE_LINES: usize = 600;

#[derive(Debug, PartialEq)]
pub enum Token {
    Word(String),
    /// `::`
    Path,
    Mark(char),
    /// The content of a string literal.
    Text(String),
}

/// Words, marks and strings of a source text, without comments and character literals.
pub fn tokens(text: &str) -> Vec<Token> {
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

pub fn word(t: Option<&Token>) -> Option<&str> {
    match t {
        Some(Token::Word(w)) => Some(w),
        _ => None,
    }
}

/// Number of tokens of a bracketed group that starts at `t[0]`.
fn group(t: &[Token]) -> usize {
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
pub fn without_tests(mut t: Vec<Token>) -> (Vec<Token>, Vec<String>) {
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

/// Top-level modules that a file `depth` modules deep names by `crate::..` or by enough `super::`.
fn imports(t: &[Token], depth: usize) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for i in 0..t.len() {
        let mut at = i;
        if i > 0 && t[i - 1] == Token::Path {
            continue;
        }
        match word(t.get(i)) {
            Some("crate") if t.get(i + 1) == Some(&Token::Path) => {
                at += 2;
                // `low_level` holds all the modules; as a path it says nothing of layers.
                if word(t.get(at)) == Some("low_level") && t.get(at + 1) == Some(&Token::Path) {
                    at += 2;
                }
            }
            Some("super") => {
                let mut ups = 0;
                while word(t.get(at)) == Some("super") && t.get(at + 1) == Some(&Token::Path) {
                    (ups, at) = (ups + 1, at + 2);
                }
                if ups < depth {
                    continue;
                }
            }
            _ => continue,
        }
        if let Some(name) = word(t.get(at)) {
            found.insert(name.to_string());
        } else if t.get(at) == Some(&Token::Mark('{')) {
            // The first word of each part of the list.
            let list = &t[at..at + group(&t[at..])];
            let mut level = 0;
            for pair in list.windows(2) {
                match pair[0] {
                    Token::Mark('{') => level += 1,
                    Token::Mark('}') => level -= 1,
                    _ => {}
                }
                if level == 1
                    && matches!(pair[0], Token::Mark('{' | ','))
                    && let Some(name) = word(Some(&pair[1]))
                {
                    found.insert(name.to_string());
                }
            }
        }
    }
    found
}

/// Crates of [`CRATES`] that are used, as `name::..` or `use name;`.
fn crates(t: &[Token]) -> BTreeSet<String> {
    let named = |i: usize, name: &str| {
        let before = i.checked_sub(1).map(|b| &t[b]);
        // `::image::..` is the crate, `infer::image::..` is not.
        let absolute =
            before == Some(&Token::Path) && i.checked_sub(2).is_none_or(|b| word(t.get(b)).is_none_or(|w| w == "use"));
        word(t.get(i)) == Some(name)
            && (before != Some(&Token::Path) || absolute)
            && (t.get(i + 1) == Some(&Token::Path) || before.is_some_and(|b| word(Some(b)) == Some("use")))
    };
    let all = CRATES.iter().map(|c| c.0);
    all.filter(|name| (0..t.len()).any(|i| named(i, name))).map(String::from).collect()
}

/// Command line options (`--name`) in string literals.
fn options(t: &[Token]) -> BTreeSet<String> {
    let texts = t.iter().filter_map(|token| match token {
        // A new line is still as it is spelt in the source.
        Token::Text(text) => Some(text.replace("\\n", " ")),
        _ => None,
    });
    let texts: Vec<String> = texts.collect();
    let words = texts.iter().flat_map(|text| text.split(|c: char| c.is_whitespace() || "`'\"([{,;".contains(c)));
    let named = words.filter(|w| w.strip_prefix("--").is_some_and(|w| w.starts_with(|c: char| c.is_ascii_lowercase())));
    named.map(String::from).collect()
}

/// Modules that may name options: the program's, or those of other programs they run.
const OPTION_USERS: [&str; 3] = ["cli", "main", "testing"];

fn layer(module: &str) -> Option<u32> {
    LAYERS.iter().find(|l| l.0 == module).map(|l| l.1)
}

/// The violations in a file. `path` is relative to `src/`, such as `ops/conv2d.rs`.
fn violations(path: &str, text: &str) -> Vec<String> {
    let place = path.trim_end_matches(".rs");
    let place = place.strip_suffix("/mod").unwrap_or(place);
    let module = place.split('/').next().unwrap_or(place);
    let mut wrong = Vec::new();
    let Some(own) = layer(module) else {
        return vec![format!("{path}: module `{module}` has no layer; give it one in tests/cpu/layering.rs")];
    };
    let (t, _) = without_tests(tokens(text));
    for used in imports(&t, if module == "lib" || module == "main" { 0 } else { place.split('/').count() }) {
        // Macros and items of the crate root are not modules.
        let Some(theirs) = layer(&used) else {
            wrong.push(format!("{path}: imports `{used}`, which has no layer; give it one in tests/cpu/layering.rs"));
            continue;
        };
        let neighbour = theirs == own && NEIGHBOURS.contains(&(module, &used));
        if used != module && theirs >= own && !neighbour {
            wrong.push(format!("{path}: layer {own} imports `{used}` of layer {theirs}"));
        }
    }
    if !OPTION_USERS.contains(&module) {
        for option in options(&t) {
            wrong.push(format!("{path}: names the program's option `{option}`; a library gives an `error::Hint`"));
        }
    }
    for name in crates(&t) {
        let allowed = CRATES.iter().find(|c| c.0 == name).map_or(&[][..], |c| c.1);
        if !is_in(place, allowed) {
            wrong.push(format!("{path}: names the crate `{name}`, which belongs to {}", allowed.join(", ")));
        }
    }
    if !is_in(place, ENVIRONMENT) && reads_environment(&t) {
        wrong.push(format!("{path}: reads the environment, which belongs to {}", ENVIRONMENT.join(", ")));
    }
    wrong
}

/// Whether a module is one of `places` or inside one.
fn is_in(module: &str, places: &[&str]) -> bool {
    places.iter().any(|p| module == *p || module.starts_with(&format!("{p}/")))
}

/// Whether environment variables are read: `env::var` and the like, or an import of it.
fn reads_environment(t: &[Token]) -> bool {
    let is_variable = |i: usize| word(t.get(i)).is_some_and(|w| w.contains("var"));
    (0..t.len()).any(|i| {
        word(t.get(i)) == Some("env")
            && t.get(i + 1) == Some(&Token::Path)
            && match t.get(i + 2) {
                Some(Token::Mark('{')) => (i + 2..i + 2 + group(&t[i + 2..])).any(is_variable),
                _ => is_variable(i + 2),
            }
    })
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files under `folder` with `extension`: relative path and text.
pub fn files(folder: &str, extension: &str) -> Vec<(String, String)> {
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
pub fn test_files(all: &[(String, String)]) -> BTreeSet<String> {
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

#[test]
fn modules_import_lower_layers_only() {
    let all = files("src", "rs");
    let tests = test_files(&all);
    let wrong: Vec<_> = all.iter().filter(|f| !tests.contains(&f.0)).flat_map(|(p, t)| violations(p, t)).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Comments count too: the core knows hardware GPUs only.
#[test]
fn only_the_policy_knows_drivers_by_name() {
    let mut all = files("src", "rs");
    all.extend(files("shaders", "wgsl"));
    let named = |text: &str| ["lavapipe", "llvmpipe"].iter().any(|name| text.to_lowercase().contains(name));
    let place = |path: &str| path.trim_end_matches(".rs").trim_end_matches("/mod").to_string();
    let (known, wrong): (Vec<_>, Vec<_>) =
        all.iter().filter(|f| named(&f.1)).map(|f| f.0.as_str()).partition(|path| is_in(&place(path), DRIVERS));
    assert!(wrong.is_empty(), "a driver is named in {}", wrong.join(", "));
    assert!(known.contains(&"kernel/policy.rs"), "{known:?}");
}

#[test]
fn files_are_short() {
    let all = files("src", "rs").into_iter().chain(files("shaders", "wgsl"));
    let long: Vec<_> = all
        .map(|(p, t)| (p, t.lines().count()))
        .filter(|(_, n)| *n > MAX_FILE_LINES)
        .map(|f| format!("{f:?}"))
        .collect();
    assert!(long.is_empty(), "longer than {MAX_FILE_LINES} lines: {}", long.join(", "));
}

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
        "tests/gpu/main.rs",
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
    for folder in ["src", "tests", "benches", "examples", "fuzz/src", "fuzz/fuzz_targets"] {
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

#[test]
fn upward_imports_are_found() {
    let wrong = |path: &str, text: &str| violations(path, text).join("\n");
    assert_eq!(
        wrong("ops/conv2d.rs", "use crate::session::Session;"),
        "ops/conv2d.rs: layer 3 imports `session` of layer 6"
    );
    assert!(wrong("ops/mod.rs", "fn f(g: &crate::graph::Graph) {}").contains("imports `graph`"));
    assert!(wrong("ops/conv2d.rs", "use crate::low_level::session::Session;").contains("imports `session`"));
    assert!(wrong("ops/a/b.rs", "use super::super::super::graph::Graph;").contains("imports `graph`"));
    assert!(
        wrong("plan/lower.rs", "use crate::{error::Error, ops::{Op, X}, session as s};").contains("imports `session`")
    );
    assert!(wrong("gpu/mod.rs", "use crate::graph::Graph;").contains("layer 4 imports `graph` of layer 4"));
    assert!(wrong("novel.rs", "").contains("module `novel` has no layer"));
    assert!(wrong("ops/mod.rs", "use crate::novel::X;").contains("`novel`, which has no layer"));
    assert!(wrong("ops/mod.rs", "#[cfg(test)] use crate::session::X;").contains("imports `session`"));
    assert!(wrong("weights/format.rs", "use crate::model::Model;").contains("imports `model`"));
}

#[test]
fn crates_in_the_wrong_place_are_found() {
    let wrong = |path: &str, text: &str| violations(path, text).join("\n");
    assert!(wrong("ops/conv2d.rs", "let b: wgpu::Buffer;").contains("names the crate `wgpu`"));
    assert!(wrong("plan/mod.rs", "use wgpu;").contains("names the crate `wgpu`"));
    assert!(wrong("gpu/mod.rs", "use naga::Module;").contains("names the crate `naga`"));
    assert!(wrong("weights/mod.rs", "use ::image::open;").contains("names the crate `image`"));
    assert!(wrong("cli/run.rs", "wgpu::Limits::default()").contains("names the crate `wgpu`"));
    assert_eq!(wrong("cli/devices.rs", "use unet_wgpu::low_level::gpu::adapters; let l: wgpu::Limits;"), "");
    assert_eq!(wrong("infer/output/overlay.rs", "use image::RgbImage;"), "");
}

#[test]
fn reading_the_environment_is_found() {
    for text in [
        "fn f() { std::env::var(\"A\"); }",
        "use std::env; fn f() { env::var_os(\"A\"); }",
        "use std::env::{temp_dir, vars};",
        "use std::env::var as read;",
    ] {
        assert!(violations("gpu/mod.rs", text).join("").contains("reads the environment"), "{text}");
        assert!(violations("cli/environment.rs", text).is_empty(), "{text}");
    }
    let allowed_code = "use std::env::temp_dir; const V: &str = env!(\"CARGO_PKG_VERSION\"); #[cfg(test)] mod t { fn f() { std::env::var(\"A\"); } }";
    assert!(violations("gpu/mod.rs", allowed_code).is_empty());
}

#[test]
fn options_in_the_library_are_found() {
    let wrong = |path: &str, text: &str| violations(path, text).join("\n");
    for text in ["f(\"give `--set size=1`\")", "format!(r#\"{x} (--page N)\"#)", "\"--set\"", "\"a;\\n--set {k}\""] {
        assert!(wrong("infer/fit.rs", text).contains("names the program's option `--"), "{text}");
        assert_eq!(wrong("cli/run.rs", text), "");
    }
    assert_eq!(wrong("infer/fit.rs", "// --set\nlet s = \"a -- b, a--b, --, -1\";"), "");
}

#[test]
fn allowed_code_is_not_reported() {
    let allowed = |path: &str, text: &str| assert_eq!(violations(path, text), Vec::<String>::new(), "{path}: {text}");
    allowed("ops/conv2d.rs", "use super::{Op, spatial}; use crate::{error::{Error, Result}, tensor::Shape};");
    allowed("ops/conv2d/tiled.rs", "use super::super::Op;");
    allowed("ops/conv2d.rs", "pub(in crate::low_level::ops) struct X;");
    allowed(
        "ops/conv2d.rs",
        "// use crate::session::X;\n/* wgpu::Buffer /* */ naga:: */ const A: &str = \"crate::gpu\";",
    );
    allowed("ops/conv2d.rs", "const A: &str = r#\"a \" crate::gpu\"#; const Q: char = '\"'; fn f<'a>(x: &'a str) {}");
    allowed("ops/conv2d.rs", "#[cfg(test)]\nmod tests { use crate::session::Session; fn f() { wgpu::x() } }");
    allowed("ops/conv2d.rs", "#[cfg(test)]\n#[path = \"conv2d_tests.rs\"]\nmod tests;");
    allowed("model/loaded.rs", "use crate::weights::Weights;");
    allowed("infer/segment.rs", "use super::image::Image; use crate::session::Session; let p = infer::image::X;");
    allowed("weights/mod.rs", "use crate::error::Error; let image = 3; struct S { png: u8 }");
    let tests = test_files(&[("a/b.rs".into(), "#[cfg(test)] mod tests;".into())]);
    assert!(tests.contains("a/b/tests.rs") && tests.contains("a/b_tests.rs"), "{tests:?}");
}
