//! Documents and package: links resolve, commands parse, every command and option is documented, and models are packed
//! once.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use unet_wgpu::low_level::infer::WRITERS;
use unet_wgpu::low_level::model::ArchitectureId;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// The top-level Markdown files, and all of `docs`.
fn documents() -> Vec<PathBuf> {
    let top = [
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "assets/README.md",
        "assets/fixtures/README.md",
    ];
    let mut documents: Vec<_> = top
        .iter()
        .chain(&["models/README.md", "fuzz/README.md", "capi/README.md"])
        .map(|name| root().join(name))
        .collect();
    for file in std::fs::read_dir(root().join("docs")).unwrap() {
        let path = file.unwrap().path();
        documents.extend(path.extension().is_some_and(|e| e == "md").then_some(path));
    }
    documents
}

fn unet(args: &[String]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_unet")).args(args).output().unwrap()
}

fn help(command: &str) -> String {
    let args: Vec<_> = [command, "--help"].iter().filter(|a| !a.is_empty()).map(ToString::to_string).collect();
    String::from_utf8(unet(&args).stdout).unwrap()
}

/// The words of a shell command, up to a comment, pipe or redirection.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
    for c in line.chars().chain([' ']) {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => match word.take() {
                Some(w) if ["|", ">", ">>", "&&"].contains(&w.as_str()) || w.starts_with('#') => return words,
                w => words.extend(w),
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    words
}

/// GitHub's anchor of a heading.
fn anchor(heading: &str) -> String {
    let name = heading.trim_start_matches('#').trim().to_lowercase();
    name.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn links_resolve() {
    let (mut links, mut broken) = (0, Vec::new());
    for document in documents() {
        for part in read(&document).split("](").skip(1) {
            let link = part.split(')').next().unwrap();
            if link.contains("://") {
                continue;
            }
            links += 1;
            let (file, section) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { document.clone() } else { document.parent().unwrap().join(file) };
            let found = target.exists()
                && (section.is_empty() || read(&target).lines().any(|l| l.starts_with('#') && anchor(l) == section));
            if !found {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(links > 100, "only {links} links were found");
}

/// With a final `--help`, a command is parsed but not run.
#[test]
fn commands_parse() {
    let (mut commands, mut wrong) = (0, Vec::new());
    for document in documents() {
        for line in read(&document).lines().filter_map(|l| l.trim_start().strip_prefix("unet ")) {
            let mut args = words(line);
            args.push("--help".into());
            commands += 1;
            let output = unet(&args);
            if !output.status.success() {
                let reason = String::from_utf8_lossy(&output.stderr).into_owned();
                wrong.push(format!("{}: unet {line}\n{reason}", document.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(commands > 50, "only {commands} commands were found");
    assert!(!unet(&words("segment a.png --no-such-option --help")).status.success());
}

#[test]
fn every_command_and_option_is_documented() {
    let page = read(&root().join("docs/cli.md"));
    let section = |heading: &str| {
        let start = page.find(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no section `{heading}`"));
        let text = &page[start + 4..];
        &text[..text.find("\n## ").unwrap_or(text.len())]
    };
    let options = |text: &str| -> Vec<String> {
        let word =
            |l: &str| l.split_whitespace().find(|w| w.starts_with("--")).map(|w| w.trim_end_matches('.').to_string());
        let lines = text.lines().map(str::trim_start).filter(|l| l.starts_with('-'));
        lines.filter_map(word).collect()
    };
    let common = section("Common options");
    let top = help("");
    let commands: Vec<_> = top.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap().lines().collect();
    let (mut documented, mut missing) = (0, Vec::new());
    for line in commands.iter().filter(|l| l.starts_with("  ") && !l.starts_with("   ")) {
        let command = line.split_whitespace().next().unwrap();
        if command == "help" {
            continue;
        }
        let text = section(&format!("unet {command}"));
        for option in options(&help(command)) {
            documented += 1;
            if ![text, common].iter().any(|t| t.contains(&format!("`{option}")) || t.contains(&format!("{option} "))) {
                missing.push(format!("unet {command} {option}"));
            }
        }
    }
    assert!(missing.is_empty(), "not in docs/cli.md:\n{}", missing.join("\n"));
    assert!(documented > 100, "only {documented} options were found");
}

#[test]
fn every_result_format_and_architecture_is_documented() {
    let [cli, training] = ["docs/cli.md", "docs/training.md"].map(|name| read(&root().join(name)));
    let formats = WRITERS.iter().filter(|w| !cli.contains(&format!("\n| `{}` |", w.name()))).map(|w| w.name());
    let ids: Vec<String> = ArchitectureId::all().map(|id| id.to_string()).collect();
    let listed = training.lines().find(|l| l.starts_with("arch = ")).unwrap();
    let networks = ids.iter().map(String::as_str).filter(|id| !listed.contains(id));
    let missing: Vec<&str> = formats.chain(networks).collect();
    assert!(missing.is_empty(), "neither in the table of docs/cli.md nor at `arch` in docs/training.md: {missing:?}");
}

#[test]
fn the_program_holds_each_model_once() {
    let program = std::fs::read(env!("CARGO_BIN_EXE_unet")).unwrap();
    let mut size = 0;
    for file in std::fs::read_dir(root().join("models/weights")).unwrap() {
        let path = file.unwrap().path();
        let model = std::fs::read(&path).unwrap();
        size += model.len();
        let part = &model[model.len() / 2..][..64];
        let copies = program.windows(part.len()).filter(|w| w[0] == part[0] && *w == part).count();
        assert_eq!(copies, 1, "{}", path.display());
    }
    // crates.io accepts 10 MiB; deflated data does not shrink further.
    assert!((1..10 << 20).contains(&(size + 100_000)), "{size} bytes of models");
}
