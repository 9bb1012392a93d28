//! What changed in the tree, for whoever stores it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::content::stamp;
use super::entries::{FileType, Metadata};
use super::tree::{Folder, Node, Tree};

/// A change of the tree. Paths begin with `/`. What was renamed is written under its new name, then removed under the old.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A folder is there that was not.
    Folder(PathBuf),
    /// A file is new or has other bytes.
    Written(PathBuf),
    /// A file or a folder, with all in it, is not there any more.
    Removed(PathBuf),
}

/// Calls `each` with the path of every entry and the stamp of its last change, each folder before what is in it.
fn walk<'a>(folder: &'a Folder, path: &Path, above: u64, each: &mut impl FnMut(PathBuf, &'a Node, u64)) {
    for (name, entry) in folder {
        let path = path.join(name);
        // A folder of another name is another path for all in it.
        let named = above.max(entry.named);
        match &entry.node {
            Node::File(content) => each(path, &entry.node, named.max(content.written())),
            Node::Folder(inner) => {
                each(path.clone(), &entry.node, named);
                walk(inner, &path, named, each);
            }
        }
    }
}

impl Tree {
    pub(super) fn list(&self) -> Vec<(PathBuf, Metadata)> {
        let mut all = Vec::new();
        walk(&self.root, Path::new("/"), 0, &mut |path, node, _| all.push((path, node.metadata())));
        all
    }

    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        let (mut found, mut now) = (Vec::new(), BTreeMap::new());
        walk(&self.root, Path::new("/"), 0, &mut |path, node, at| {
            let kind = node.metadata().kind;
            match kind {
                // A folder that was replaced by another of its name is still there.
                FileType::Folder if self.told.get(&path) != Some(&kind) => {
                    found.push((at, Change::Folder(path.clone())))
                }
                FileType::File if at > self.taken => found.push((at, Change::Written(path.clone()))),
                _ => {}
            }
            now.insert(path, kind);
        });
        // Where a folder is gone, all in it is.
        let gone = |path: &Path| self.told.get(path).is_some_and(|kind| now.get(path) != Some(kind));
        for path in self.told.keys().filter(|path| gone(path) && !path.parent().is_some_and(gone)) {
            let at = path.ancestors().filter_map(|path| self.removed.get(path)).max();
            found.push((at.copied().unwrap_or_default(), Change::Removed(path.clone())));
        }
        // A stable sort: what came to its place in one step stays in the order of the walk.
        found.sort_by_key(|(at, _)| *at);
        (self.told, self.taken) = (now, stamp());
        self.removed.clear();
        found.into_iter().map(|(_, change)| change).collect()
    }
}
