//! Weights that sessions of one model share on a device.

use super::memory::{Arena, Place, Weights};
use crate::graph::{Derived, Formula, ParamSource, ValueId};
use crate::plan::{Plan, PlannedParameter, PlannedWeights};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Packed weights of one model on one device. Sessions made with [`Session::new_sharing`](super::Session::new_sharing) take
/// from here what an earlier one has uploaded, and add the rest, whatever their sizes and outputs. It lives as long as its
/// sessions, or longer.
#[derive(Debug, Default)]
pub struct WeightPool {
    content: Mutex<Content>,
}

#[derive(Debug, Default)]
struct Content {
    weights: Vec<(Key, Place)>,
    bytes: u64,
}

/// Packed weights, whatever numbers a plan gives to values.
#[derive(Debug, PartialEq)]
struct Key {
    from: Vec<Arc<Origin>>,
    /// Without the numbers of its values.
    planned: PlannedWeights,
}

/// Where the elements of a parameter come from.
#[derive(Debug, PartialEq)]
enum Origin {
    /// The checkpoint, by name and dimensions.
    Stored(String, Vec<usize>),
    Computed(Formula, Vec<Arc<Origin>>),
}

/// The keys of a plan's weights; `None` for those that are packed from anything but parameters.
fn keys(plan: &Plan) -> Vec<Option<Key>> {
    let mut origins: HashMap<ValueId, Arc<Origin>> = HashMap::new();
    let of = |origins: &HashMap<ValueId, Arc<Origin>>, values: &[ValueId]| {
        values.iter().map(|v| origins.get(v).cloned()).collect::<Option<Vec<_>>>()
    };
    for PlannedParameter { value, name, parameter } in &plan.parameters {
        let origin = match &parameter.source {
            ParamSource::Stored => Some(Origin::Stored(name.clone(), parameter.dims.clone())),
            ParamSource::Derived(Derived { from, formula }) => {
                of(&origins, from).map(|from| Origin::Computed(formula.clone(), from))
            }
        };
        origins.extend(origin.map(|o| (*value, Arc::new(o))));
    }
    let key = |w: &PlannedWeights| {
        let planned = PlannedWeights { from: Vec::new(), packing: w.packing.clone(), ..*w };
        Some(Key { from: of(&origins, &w.from)?, planned })
    };
    plan.weights.iter().map(key).collect()
}

impl Content {
    fn find(&self, key: &Key) -> Option<&Place> {
        self.weights.iter().find(|known| known.0 == *key).map(|known| &known.1)
    }

    /// The arena of each weight that has one.
    fn arenas(&self) -> impl Iterator<Item = &Arc<Arena>> {
        self.weights.iter().filter_map(|(_, place)| match place {
            Place::Region(arena, _) => Some(arena),
            Place::Texture(_) => None,
        })
    }
}

impl WeightPool {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The places of a plan's weights that are uploaded.
    pub(super) fn find(&self, plan: &Plan) -> Vec<Option<Place>> {
        let content = self.content();
        keys(plan).iter().map(|key| content.find(key.as_ref()?).cloned()).collect()
    }

    /// Bytes of the weights of plans of one model that are not uploaded.
    pub fn missing<'a>(&self, plans: impl IntoIterator<Item = &'a Plan>) -> u64 {
        let content = self.content();
        let (mut counted, mut bytes): (Vec<Key>, u64) = (Vec::new(), 0);
        for plan in plans {
            for (weights, key) in plan.weights.iter().zip(keys(plan)) {
                match key {
                    Some(key) if content.find(&key).is_some() || counted.contains(&key) => continue,
                    Some(key) => counted.push(key),
                    None => {}
                }
                bytes += weights.bytes();
            }
        }
        bytes
    }

    /// Adds what `find` did not have.
    pub(super) fn add(&self, plan: &Plan, weights: &Weights) {
        let mut content = self.content();
        content.bytes += weights.new_bytes();
        for (key, place) in keys(plan).into_iter().zip(weights.places()) {
            if let Some(key) = key.filter(|key| content.find(key).is_none()) {
                content.weights.push((key, place.clone()));
            }
        }
    }

    /// Frees the weights that no session uses.
    pub fn release(&self) {
        let mut content = self.content();
        // The pool refers to an arena once for each of its regions.
        let mut own: HashMap<*const Arena, usize> = HashMap::new();
        for arena in content.arenas() {
            *own.entry(Arc::as_ptr(arena)).or_default() += 1;
        }
        let used = |arena: &Arc<Arena>| own.get(&Arc::as_ptr(arena)).is_none_or(|&n| Arc::strong_count(arena) > n);
        let unused: HashSet<*const Arena> = content.arenas().filter(|a| !used(a)).map(Arc::as_ptr).collect();
        content.weights.retain(|(_, place)| match place {
            Place::Texture(texture) => Arc::strong_count(texture) > 1,
            Place::Region(arena, _) => !unused.contains(&Arc::as_ptr(arena)),
        });
        let arenas: HashMap<_, u64> = content.arenas().map(|a| (Arc::as_ptr(a), a.bytes())).collect();
        let textures = content.weights.iter().filter_map(|(_, place)| match place {
            Place::Texture(texture) => Some(texture.bytes()),
            Place::Region(..) => None,
        });
        content.bytes = textures.sum::<u64>() + arenas.values().sum::<u64>();
    }

    /// Bytes of device memory that all of them take.
    pub fn device_bytes(&self) -> u64 {
        self.content().bytes
    }
}
