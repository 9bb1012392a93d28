//! Project rules that the compiler does not check: module layers, where crates may be used, and file length. Reads the
//! sources; needs no GPU.

use crate::sources::{Token, files, group, test_files, tokens, without_tests, word};
use std::collections::BTreeSet;

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
    ("onnx", 2),
    ("ops", 3),
    ("graph", 4),
    ("gpu", 4),
    ("plan", 5),
    ("model", 5),
    ("weights", 5),
    ("session", 6),
    ("infer", 7),
    ("train", 7),
    ("frame", 8),
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
    // Sizes read the same in every message.
    ("error", "text"),
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
    ("wgpu", &["gpu", "session", "frame", "train/encode", "testing", "lib", "cli/devices"]),
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

/// Modules that may ask the system for files; all others use `io::fs`, which has files in a browser too. The reader of PyTorch's files
/// takes a path of the disk.
const DISK: &[&str] = &["io/fs", "cli", "main", "testing/device", "weights/torch"];

/// Names in front of `.is_file()` and `.is_dir()` that are no paths.
const KINDS: &[&str] = &["metadata", "kind"];

const MAX_FILE_LINES: usize = 600;

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
    if !is_in(place, DISK) {
        for what in asks_the_disk(&t) {
            wrong.push(format!("{path}: `{what}` asks the system for files; take `io::fs`"));
        }
    }
    wrong
}

/// Uses of `std::fs`, and of the methods of `Path` that call it.
fn asks_the_disk(t: &[Token]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for i in 0..t.len() {
        let before = |n: usize| i.checked_sub(n).and_then(|b| t.get(b));
        match word(t.get(i)) {
            Some("std") if t.get(i + 1) == Some(&Token::Path) => {
                let list = if t.get(i + 2) == Some(&Token::Mark('{')) { group(&t[i + 2..]) } else { 1 };
                if t[i + 2..].iter().take(list).any(|token| word(Some(token)) == Some("fs")) {
                    found.insert("std::fs".into());
                }
            }
            Some(
                name @ ("exists" | "try_exists" | "is_file" | "is_dir" | "is_symlink" | "canonicalize" | "read_dir"
                | "read_link" | "symlink_metadata"),
            ) => {
                let method =
                    before(1) == Some(&Token::Mark('.')) && !word(before(2)).is_some_and(|w| KINDS.contains(&w));
                let function = before(1) == Some(&Token::Path) && matches!(word(before(2)), Some("Path" | "PathBuf"));
                if method || function {
                    found.insert(name.into());
                }
            }
            _ => {}
        }
    }
    found
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
fn asking_the_disk_is_found() {
    for text in [
        "fn f() { std::fs::read(p); }",
        "use std::fs;",
        "use std::{fmt, fs::File};",
        "fn f(p: &Path) { p.join(x).exists(); }",
        "fn f(p: &Path) { p.is_dir(); }",
        "fn f(p: &Path) { p.canonicalize()?; }",
        "let a = all.filter(Path::is_file);",
    ] {
        assert!(violations("train/run.rs", text).join("").contains("asks the system for files"), "{text}");
        assert!(violations("cli/train.rs", text).is_empty(), "{text}");
    }
    let allowed = "use std::{fmt, io}; use crate::io::fs; fn f() { fs::is_dir(p); fs::exists(p); metadata.is_file(); kind.is_dir(); }";
    assert_eq!(violations("train/run.rs", allowed), Vec::<String>::new());
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
