//! The calls in a pickle that are understood: those that make tensors, modules, dicts and sets. Others are named and left out.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use ::safetensors::tensor::Dtype;

use super::content::size;
use super::heap::{Heap, Id, Object, Storage, View, type_name, what};
use super::shown;

/// The tables of a `torch.nn.Module`.
const TABLES: [&str; 3] = ["_parameters", "_buffers", "_modules"];

/// The element type of a storage class; none of bytes.
fn storage_type(name: &str) -> Result<Option<Dtype>, String> {
    Ok(Some(match name {
        "FloatStorage" => Dtype::F32,
        "DoubleStorage" => Dtype::F64,
        "HalfStorage" => Dtype::F16,
        "BFloat16Storage" => Dtype::BF16,
        "LongStorage" => Dtype::I64,
        "IntStorage" => Dtype::I32,
        "ShortStorage" => Dtype::I16,
        "CharStorage" => Dtype::I8,
        "ByteStorage" => Dtype::U8,
        "BoolStorage" => Dtype::BOOL,
        "UntypedStorage" => return Ok(None),
        name => return Err(format!("elements of torch.{} are not supported", shown(name))),
    }))
}

fn element_type(name: &str) -> Result<Dtype, String> {
    Ok(match name {
        "float32" | "float" => Dtype::F32,
        "float64" | "double" => Dtype::F64,
        "float16" | "half" => Dtype::F16,
        "bfloat16" => Dtype::BF16,
        "int64" | "long" => Dtype::I64,
        "int32" | "int" => Dtype::I32,
        "int16" | "short" => Dtype::I16,
        "int8" => Dtype::I8,
        "uint8" => Dtype::U8,
        "uint16" => Dtype::U16,
        "uint32" => Dtype::U32,
        "uint64" => Dtype::U64,
        "bool" => Dtype::BOOL,
        name => return Err(format!("elements of torch.{} are not supported", shown(name))),
    })
}

/// The storage that a tuple names: `("storage", class, key, device, elements[, view])`. With its size: elements and bytes of each.
pub(super) fn storage(heap: &Heap, id: Id) -> Result<(Storage, [usize; 2]), String> {
    let &[tag, class, key, _, elements, ref view @ ..] = heap.list(id)? else {
        return Err("a storage is named by too few values".into());
    };
    if heap.text(tag)? != "storage" {
        return Err("what it refers to is no storage".into());
    }
    let dtype = storage_type(match heap.get(class) {
        Object::Class(_, name) | Object::Text(name) => name,
        other => return Err(format!("{} where a storage's type is expected", what(other))),
    })?;
    let (key, elements): (Rc<str>, _) = (heap.key(key)?.into(), heap.count(elements)?);
    let each = dtype.map_or(1, size);
    let too_large = || format!("storage `{}` is larger than memory", shown(&key));
    elements.checked_mul(each).ok_or_else(too_large)?;
    let part = match view.first().map(|&view| heap.get(view)) {
        None | Some(Object::None) => [0, elements],
        Some(Object::List(view)) if view.len() == 3 && dtype.is_some() => {
            let (start, length) = (heap.count(view[1])?, heap.count(view[2])?);
            let end = start.checked_add(length).filter(|&end| end <= elements);
            [start, end.ok_or_else(|| format!("a part of storage `{}` lies outside of it", shown(&key)))?]
        }
        Some(other) => return Err(format!("{} where a part of a storage is expected", what(other))),
    };
    Ok((Storage { key, dtype, elements: part }, [elements, each]))
}

/// What a call gives.
pub(super) fn reduce(heap: &mut Heap, call: Id, args: Id) -> Result<Id, String> {
    let Object::Class(module, name) = heap.get(call) else { return unknown(heap, call, &[args]) };
    let args_of = |heap: &Heap| heap.list(args).map(<[Id]>::to_vec);
    match (&**module, &**name) {
        ("collections", "OrderedDict") => {
            let mut entries = BTreeMap::new();
            for pair in sequence(heap, args)? {
                let &[key, value] = heap.list(pair)? else { return Err("a dict has no pairs".into()) };
                entries.insert(heap.key(key)?, value);
            }
            heap.add(Object::Dict(entries))
        }
        ("builtins" | "__builtin__", "set" | "frozenset") => {
            let items = sequence(heap, args)?;
            heap.add(Object::List(items))
        }
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => {
            let args = args_of(heap)?;
            tensor(heap, &args, None)
        }
        ("torch._utils", "_rebuild_tensor_v3") => {
            let args = args_of(heap)?;
            let dtype = match args.get(6).map(|&id| heap.get(id)) {
                Some(Object::Class(_, name)) => element_type(name)?,
                _ => return Err("a tensor has no element type".into()),
            };
            tensor(heap, &args, Some(dtype))
        }
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
            let args = args_of(heap)?;
            let (&data, state) = args.split_first().ok_or("a parameter has no tensor")?;
            without_tensors(heap, state, "a parameter's state")?;
            Ok(data)
        }
        // The tensor of a class of its own: function, class, arguments, state.
        ("torch._tensor", "_rebuild_from_type_v2") => {
            let args = args_of(heap)?;
            let &[call, _, inner, ref state @ ..] = &args[..] else { return Err("a tensor has no arguments".into()) };
            without_tensors(heap, state, "a tensor's state")?;
            // Once: a call within a call within a call is none of PyTorch's.
            match heap.get(call) {
                Object::Class(_, name) if name != "_rebuild_from_type_v2" => reduce(heap, call, inner),
                _ => Err("a tensor is not made by a function".into()),
            }
        }
        _ => unknown(heap, call, &[args]),
    }
}

/// The items of a call that takes one sequence or nothing.
fn sequence(heap: &Heap, args: Id) -> Result<Vec<Id>, String> {
    match heap.list(args)? {
        [] => Ok(Vec::new()),
        &[items] => heap.list(items).map(<[Id]>::to_vec),
        _ => Err("a set or a dict of several sequences".into()),
    }
}

/// A tensor from storage, offset, shape and strides.
fn tensor(heap: &mut Heap, args: &[Id], dtype: Option<Dtype>) -> Result<Id, String> {
    let &[storage, at, shape, strides, ..] = args else { return Err("a tensor has too few arguments".into()) };
    let Object::Storage(of) = heap.get(storage) else { return Err("a tensor has no storage".into()) };
    let dims = |id: Id| heap.list(id)?.iter().map(|&n| heap.count(n)).collect::<Result<Vec<_>, _>>();
    let (shape, strides, at) = (dims(shape)?, dims(strides)?, heap.count(at)?);
    let dtype = dtype.or(of.dtype).ok_or("a tensor has no element type")?;
    let outside = format!("a tensor of shape {shape:?} does not lie in storage `{}`", shown(&of.key));
    let view = View::new(of, dtype, at, shape, strides).ok_or(outside)?;
    heap.add(Object::Tensor(Rc::new(view)))
}

/// What is not understood. A tensor within it would be missing, so that is an error.
pub(super) fn unknown(heap: &mut Heap, call: Id, args: &[Id]) -> Result<Id, String> {
    let name = type_name(heap.get(call));
    without_tensors(heap, args, &format!("a `{}`", shown(&name)))?;
    without_tensors(heap, &[call], "a call")?;
    heap.add(Object::Other(name))
}

fn without_tensors(heap: &mut Heap, of: &[Id], what: &str) -> Result<(), String> {
    if heap.any_tensor(of)? { Err(format!("{what} holds tensors, which cannot be read")) } else { Ok(()) }
}

/// Gives an object its state.
pub(super) fn build(heap: &mut Heap, object: Id, state: Id) -> Result<(), String> {
    match (heap.get(object), heap.get(state)) {
        (Object::Dict(_), Object::Dict(more)) => {
            let more = more.clone();
            if let Object::Dict(entries) = heap.get_mut(object) {
                entries.extend(more);
            }
            Ok(())
        }
        (Object::Other(_), Object::Dict(own)) if TABLES.iter().all(|t| is_dict(heap, own.get(*t))) => {
            *heap.get_mut(object) = Object::Dict(module(heap, own)?);
            Ok(())
        }
        (other, _) => {
            let name = format!("a `{}`", shown(&type_name(other)));
            without_tensors(heap, &[state], &name)
        }
    }
}

fn is_dict(heap: &Heap, id: Option<&Id>) -> bool {
    id.is_some_and(|&id| matches!(heap.get(id), Object::Dict(_)))
}

/// What `state_dict()` of a module gives, without what it computes.
fn module(heap: &Heap, own: &BTreeMap<String, Id>) -> Result<BTreeMap<String, Id>, String> {
    let left_out: BTreeSet<&str> = match own.get("_non_persistent_buffers_set") {
        None => BTreeSet::new(),
        Some(&names) => heap.list(names)?.iter().map(|&name| heap.text(name)).collect::<Result<_, _>>()?,
    };
    let mut found = BTreeMap::new();
    for table in TABLES {
        let Some(Object::Dict(entries)) = own.get(table).map(|&id| heap.get(id)) else { continue };
        for (name, &id) in entries {
            let persistent = table != "_buffers" || !left_out.contains(&**name);
            if matches!(heap.get(id), Object::None) || !persistent {
                continue;
            }
            if found.insert(name.clone(), id).is_some() {
                return Err(format!("a module has `{}` twice", shown(name)));
            }
        }
    }
    Ok(found)
}
