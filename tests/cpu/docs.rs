//! The documents: every link to a file of this repository leads somewhere.

use std::path::Path;

#[test]
fn links_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut documents = vec![root.join("README.md"), root.join("CHANGELOG.md"), root.join("assets/README.md")];
    for file in std::fs::read_dir(root.join("docs")).unwrap() {
        let path = file.unwrap().path();
        documents.extend(path.extension().is_some_and(|e| e == "md").then_some(path));
    }
    let (mut links, mut broken) = (0, Vec::new());
    for document in &documents {
        let text = std::fs::read_to_string(document).unwrap();
        for part in text.split("](").skip(1) {
            let target = part.split([')', '#']).next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            links += 1;
            if !document.parent().unwrap().join(target).exists() {
                broken.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(links > 40, "only {links} links were found");
}
