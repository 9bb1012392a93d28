//! The objects of a pickle: each has a number, so that one that is filled after it was remembered is filled everywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use ::safetensors::tensor::Dtype;

use super::content::{Value, size};
use super::shown;

/// Most objects that are kept; checkpoints have some thirty per tensor.
const MOST_OBJECTS: usize = 1 << 21;
/// Most objects that are looked at to find tensors, and to make the tree of values: shared ones count anew.
const MOST_LOOKS: usize = 1 << 21;
/// Deepest nesting.
const DEEPEST: usize = 500;

/// The number of an object.
pub(super) type Id = usize;

/// A piece of the file that holds elements.
#[derive(Clone, Debug)]
pub(super) struct Storage {
    pub(super) key: Rc<str>,
    /// Type of its elements; none if it has bytes only.
    pub(super) dtype: Option<Dtype>,
    /// Its first element and that after the last one, of a part of a piece; in bytes where there is no type.
    pub(super) elements: [usize; 2],
}

/// A tensor: elements of a storage.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) key: Rc<str>,
    pub(super) dtype: Dtype,
    /// Its first element.
    pub(super) start: usize,
    /// The element after its last one.
    pub(super) end: usize,
    pub(super) shape: Vec<usize>,
    /// Elements from one index to the next.
    pub(super) strides: Vec<usize>,
}

impl View {
    /// A tensor within its storage.
    pub(super) fn new(of: &Storage, dtype: Dtype, at: usize, shape: Vec<usize>, strides: Vec<usize>) -> Option<Self> {
        if of.dtype.is_some_and(|own| own != dtype) || shape.len() != strides.len() {
            return None;
        }
        let start = at.checked_add(of.elements[0])?;
        let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
        count.checked_mul(size(dtype))?;
        let last = |end: usize, (&d, &s): (&usize, &usize)| end.checked_add((d - 1).checked_mul(s)?);
        let end = if count == 0 { start } else { shape.iter().zip(&strides).try_fold(start, last)?.checked_add(1)? };
        let unit = if of.dtype.is_some() { 1 } else { size(dtype) };
        let within = end.checked_mul(unit)? <= of.elements[1];
        within.then(|| Self { key: of.key.clone(), dtype, start, end, shape, strides })
    }
}

/// An object.
#[derive(Clone, Debug)]
pub(super) enum Object {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(usize),
    /// A tuple, a list or a set.
    List(Vec<Id>),
    Dict(BTreeMap<String, Id>),
    /// A class or a function: module and name.
    Class(String, String),
    Storage(Storage),
    Tensor(Rc<View>),
    /// What is not interpreted, by the name of its type.
    Other(String),
}

/// All objects.
#[derive(Default)]
pub(super) struct Heap {
    objects: Vec<Object>,
    looks: usize,
}

impl Heap {
    pub(super) fn add(&mut self, object: Object) -> Result<Id, String> {
        if self.objects.len() == MOST_OBJECTS {
            return Err(format!("it has more than {MOST_OBJECTS} objects"));
        }
        self.objects.push(object);
        Ok(self.objects.len() - 1)
    }

    pub(super) fn get(&self, id: Id) -> &Object {
        &self.objects[id]
    }

    pub(super) fn get_mut(&mut self, id: Id) -> &mut Object {
        &mut self.objects[id]
    }

    pub(super) fn text(&self, id: Id) -> Result<&str, String> {
        match self.get(id) {
            Object::Text(text) => Ok(text),
            other => Err(format!("{} where a string is expected", what(other))),
        }
    }

    /// A string, or a number as one: both are keys.
    pub(super) fn key(&self, id: Id) -> Result<String, String> {
        match self.get(id) {
            Object::Int(i) => Ok(i.to_string()),
            _ => self.text(id).map(String::from),
        }
    }

    pub(super) fn list(&self, id: Id) -> Result<&[Id], String> {
        match self.get(id) {
            Object::List(items) => Ok(items),
            other => Err(format!("{} where a list is expected", what(other))),
        }
    }

    /// What a dict has under a key.
    pub(super) fn entry(&self, id: Id, key: &str) -> Option<&Object> {
        match self.get(id) {
            Object::Dict(entries) => entries.get(key).map(|&id| self.get(id)),
            _ => None,
        }
    }

    /// A number that counts something.
    pub(super) fn count(&self, id: Id) -> Result<usize, String> {
        match self.get(id) {
            Object::Int(i) => usize::try_from(*i).map_err(|_| format!("{i} where a count is expected")),
            other => Err(format!("{} where a count is expected", what(other))),
        }
    }

    fn look(&mut self) -> Result<(), String> {
        self.looks += 1;
        if self.looks > MOST_LOOKS { Err("its objects are shared too often".into()) } else { Ok(()) }
    }

    /// Whether any of these objects is a tensor or a storage, or has one in it.
    pub(super) fn any_tensor(&mut self, of: &[Id]) -> Result<bool, String> {
        let (mut seen, mut left) = (BTreeSet::new(), of.to_vec());
        while let Some(id) = left.pop() {
            self.look()?;
            if !seen.insert(id) {
                continue;
            }
            match self.get(id) {
                Object::Tensor(_) | Object::Storage(_) => return Ok(true),
                Object::List(items) => left.extend(items),
                Object::Dict(entries) => left.extend(entries.values()),
                _ => {}
            }
        }
        Ok(false)
    }

    /// An object as a value, with the tensors in it by their place.
    pub(super) fn tree(&mut self, root: Id) -> Result<(Value, BTreeMap<String, Rc<View>>), String> {
        let (mut tensors, mut path) = (BTreeMap::new(), Vec::new());
        self.looks = 0;
        Ok((self.value(root, &mut path, &mut tensors)?, tensors))
    }

    fn value(
        &mut self,
        id: Id,
        path: &mut Vec<String>,
        tensors: &mut BTreeMap<String, Rc<View>>,
    ) -> Result<Value, String> {
        self.look()?;
        if path.len() > DEEPEST {
            return Err(format!("it is nested more than {DEEPEST} deep"));
        }
        let entries: Vec<(String, Id)> = match self.get(id) {
            Object::Dict(entries) => entries.iter().map(|(key, &id)| (key.clone(), id)).collect(),
            Object::List(items) => items.iter().enumerate().map(|(i, &id)| (i.to_string(), id)).collect(),
            Object::Tensor(view) => {
                tensors.insert(path.join("."), view.clone());
                return Ok(Value::Tensor);
            }
            other => return Ok(Value::Other(what(other))),
        };
        let mut values = BTreeMap::new();
        for (key, id) in entries {
            path.push(key.clone());
            values.insert(key, self.value(id, path, tensors)?);
            path.pop();
        }
        // Lists are not searched for state dicts, only for tensors.
        Ok(if let Object::List(_) = self.get(id) { Value::Other(what(self.get(id))) } else { Value::Dict(values) })
    }
}

/// An object in the words of a message.
pub(super) fn what(object: &Object) -> String {
    match object {
        Object::None => "None".into(),
        Object::Bool(b) => format!("the boolean {b}"),
        Object::Int(i) => format!("the number {i}"),
        Object::Float(f) => format!("the number {f}"),
        Object::Text(s) => format!("the string \"{}\"", shown(s)),
        Object::Bytes(n) => format!("{n} bytes"),
        Object::List(l) => format!("a list of {}", l.len()),
        Object::Dict(d) => format!("a dict of {}", d.len()),
        other => format!("a `{}`", shown(&type_name(other))),
    }
}

/// The name of the Python type.
pub(super) fn type_name(object: &Object) -> String {
    match object {
        Object::Class(module, name) => format!("{module}.{name}"),
        Object::Storage(Storage { dtype: Some(_), .. }) => "torch.TypedStorage".into(),
        Object::Storage(_) => "torch.UntypedStorage".into(),
        Object::Tensor(_) => "torch.Tensor".into(),
        Object::Other(name) => name.clone(),
        other => what(other),
    }
}
