//! PyTorch's files in memory. A browser has no others, and the crate for files on a disk takes a path.
//!
//! Containers: zip archives (PyTorch 1.6 and later) and streams of pickles (before); not the tar files of 0.1.9 and earlier.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};
use std::rc::Rc;

use zip::ZipArchive;
use zip::read::ZipReadOptions;

use super::super::zip_file::open_zip_with;
use super::content::{Content, Stored, size};
use super::heap::{Object, View};
use super::pickle::{self, Declared, Pickle};
use super::{LEGACY, LEGACY_WITHIN, MAX_PICKLE, PICKLE, TAR, contains, damaged};

/// The only version of streams of pickles.
const LEGACY_VERSION: &str = "the number 1001";
/// Longest text beside the description.
const MAX_TEXT: u64 = 4096;

/// Reads what a file holds. Its tensors are read later.
pub(super) fn read(bytes: &[u8]) -> Result<Content<'_>, String> {
    if bytes.starts_with(b"PK\x03\x04") {
        return archive(bytes);
    }
    if bytes.get(TAR.0..).is_some_and(|b| b.starts_with(TAR.1)) {
        return Err("is of PyTorch before 0.1.10, whose files are read from a disk only".into());
    }
    if contains(bytes.get(..LEGACY_WITHIN).unwrap_or(bytes), &LEGACY) {
        return stream(bytes);
    }
    let mut pickle = described(bytes)?;
    let (root, tensors) = pickle.heap.tree(pickle.root).map_err(unreadable)?;
    if tensors.is_empty() { Ok(Content { root, tensors: BTreeMap::new() }) } else { Err("has no elements".into()) }
}

fn unreadable(reason: String) -> String {
    format!("cannot be read: {reason}")
}

fn described(bytes: &[u8]) -> Result<Pickle, String> {
    pickle::read(bytes).map_err(unreadable)
}

/// Reads bytes of a storage, from one on.
type Piece<'a> = dyn Fn(&str, usize, usize) -> Result<Vec<u8>, String> + 'a;

fn content<'a>(
    mut pickle: Pickle,
    piece: impl Fn(&str, usize, usize) -> Result<Vec<u8>, String> + 'a,
) -> Result<Content<'a>, String> {
    let (root, views) = pickle.heap.tree(pickle.root).map_err(unreadable)?;
    let piece: Rc<Piece<'a>> = Rc::new(piece);
    let stored = |(name, view): (String, Rc<View>)| {
        let (piece, dtype, shape) = (piece.clone(), view.dtype, view.shape.clone());
        (name, Stored { dtype, shape, read: Box::new(move || elements(&view, &*piece)) })
    };
    Ok(Content { root, tensors: views.into_iter().map(stored).collect() })
}

/// The elements of a tensor, row by row.
fn elements(view: &View, piece: &Piece) -> Result<Vec<u8>, String> {
    let each = size(view.dtype);
    let length = (view.end - view.start) * each;
    let bytes = piece(&view.key, view.start * each, length)?;
    if bytes.len() != length {
        return Err(format!("storage `{}` is cut off", view.key));
    }
    if bytes.is_empty() {
        return Ok(bytes);
    }
    let mut expected = 1;
    let whole = view.shape.iter().zip(&view.strides).rev().all(|(&dim, &stride)| {
        let fits = dim == 1 || stride == expected;
        expected *= dim;
        fits
    });
    if whole {
        return Ok(bytes);
    }
    let mut out = Vec::new();
    let mut index = vec![0; view.shape.len()];
    loop {
        let at = index.iter().zip(&view.strides).map(|(i, stride)| i * stride).sum::<usize>() * each;
        out.extend_from_slice(&bytes[at..at + each]);
        // The next index: the last axis first.
        let Some(axis) = (0..index.len()).rev().find(|&axis| index[axis] + 1 < view.shape[axis]) else {
            return Ok(out);
        };
        index[axis] += 1;
        index[axis + 1..].fill(0);
    }
}

type Archive<'a> = ZipArchive<Cursor<&'a [u8]>>;

fn archive(bytes: &[u8]) -> Result<Content<'_>, String> {
    let mut zip = open_zip_with(|| Ok(Cursor::new(bytes))).map_err(|e| damaged(&e))?;
    let names = (0..zip.len()).filter_map(|i| Some(zip.name_for_index(i)?.ok()?.into_owned()));
    let roots = names.filter_map(|name| Some(name.strip_suffix(PICKLE)?.to_string()));
    let root = roots.filter(|root| root.is_empty() || root.ends_with('/')).min_by_key(String::len);
    let root = root.ok_or_else(|| format!("has no `{PICKLE}`"))?;
    if let Some(order) = entry(&mut zip, &format!("{root}byteorder"), 0, MAX_TEXT as usize)?
        && order.trim_ascii() != b"little"
    {
        return Err("was written on a machine whose bytes are in another order".into());
    }
    let description = entry(&mut zip, &format!("{root}{PICKLE}"), 0, MAX_PICKLE as usize)?;
    let pickle = described(&description.unwrap_or_default())?;
    let zip = RefCell::new(zip);
    content(pickle, move |key, start, length| {
        let found = entry(&mut zip.borrow_mut(), &format!("{root}data/{key}"), start, length)?;
        found.ok_or_else(|| format!("storage `{key}` is not there"))
    })
}

/// Bytes of an entry; none if there is no such entry. Fewer than asked for where it ends.
fn entry(zip: &mut Archive, name: &str, start: usize, length: usize) -> Result<Option<Vec<u8>>, String> {
    let Some(index) = zip.index_for_name(name) else { return Ok(None) };
    let crc = zip.by_index_raw(index).map_err(|e| damaged(&e))?.crc32();
    // Without a checksum PyTorch writes 0.
    let options = ZipReadOptions::new().ignore_crc32(crc == 0);
    let mut entry = zip.by_index_with_options(index, options).map_err(|e| damaged(&e))?;
    let bytes = (|| {
        io::copy(&mut (&mut entry).take(start as u64), &mut io::sink())?;
        let mut bytes = Vec::new();
        (&mut entry).take(length as u64).read_to_end(&mut bytes)?;
        // The checksum is compared at the end, if that is here.
        if start as u64 + bytes.len() as u64 == entry.size() {
            entry.read_to_end(&mut Vec::new())?;
        }
        Ok(bytes)
    })();
    bytes.map(Some).map_err(|e: io::Error| damaged(&e))
}

/// Five pickles: a magic number, the version, facts of the machine, the description, the keys of storages; then these.
fn stream(bytes: &[u8]) -> Result<Content<'_>, String> {
    let mut at = 0;
    let mut next = || {
        let pickle = described(&bytes[at..])?;
        at += pickle.length;
        Ok::<_, String>(pickle)
    };
    let value = |pickle: &mut Pickle| pickle.heap.tree(pickle.root).map(|tree| tree.0.what()).map_err(unreadable);
    next()?;
    let version = value(&mut next()?)?;
    if version != LEGACY_VERSION {
        return Err(format!("is of version {version}"));
    }
    let machine = next()?;
    let little = machine.heap.entry(machine.root, "little_endian").is_some_and(|v| matches!(v, Object::Bool(true)));
    if !little {
        return Err("was written on a machine whose bytes are in another order".into());
    }
    let description = next()?;
    let keys = next()?;
    let keys = keys.heap.list(keys.root).and_then(|keys_of| keys_of.iter().map(|&k| keys.heap.key(k)).collect());
    let places = places(bytes, at, keys.map_err(unreadable)?, &description.storages)?;
    content(description, move |key, start, length| {
        let &[first, end] = places.get(key).ok_or_else(|| format!("storage `{key}` is not there"))?;
        let from = first.saturating_add(start).min(end);
        Ok(bytes[from..from.saturating_add(length).min(end)].to_vec())
    })
}

/// Where the storages of a stream are: each has its number of elements before it.
fn places(
    bytes: &[u8],
    mut at: usize,
    keys: Vec<String>,
    sizes: &Declared,
) -> Result<BTreeMap<String, [usize; 2]>, String> {
    let mut places = BTreeMap::new();
    for key in keys {
        let cut = || format!("damaged or cut off: storage `{}` ends early", super::shown(&key));
        let &[elements, each] =
            sizes.get(&key).ok_or_else(|| format!("storage `{}` is of unknown size", super::shown(&key)))?;
        let count: [u8; 8] = bytes.get(at..).and_then(|b| b.first_chunk().copied()).ok_or_else(cut)?;
        if usize::try_from(u64::from_le_bytes(count)).ok() != Some(elements) {
            return Err(format!("damaged: storage `{}` has another size than is said", super::shown(&key)));
        }
        let first = at + count.len();
        let end = first.checked_add(elements * each).filter(|&end| end <= bytes.len()).ok_or_else(cut)?;
        places.insert(key, [first, end]);
        at = end;
    }
    Ok(places)
}
