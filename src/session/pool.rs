//! Weights that sessions of one model share on a device.

use super::memory::{Place, Weights};
use crate::plan::{Plan, PlannedParameter, PlannedWeights};
use std::sync::{Mutex, PoisonError};

/// Packed weights of one model on one device. Sessions made with [`Session::new_sharing`](super::Session::new_sharing) take
/// from here what an earlier one has uploaded, and add the rest. It lives as long as its sessions, or longer.
#[derive(Debug, Default)]
pub struct WeightPool {
    content: Mutex<Content>,
}

#[derive(Debug, Default)]
struct Content {
    sets: Vec<Set>,
    bytes: u64,
}

/// Weights of plans that compute the same parameters.
#[derive(Debug)]
struct Set {
    parameters: Vec<PlannedParameter>,
    weights: Vec<(PlannedWeights, Place)>,
}

impl WeightPool {
    /// The places of a plan's weights that are uploaded.
    pub(super) fn find(&self, plan: &Plan) -> Vec<Option<Place>> {
        let content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let set = content.sets.iter().find(|s| s.parameters == plan.parameters);
        let place = |w: &PlannedWeights| set?.weights.iter().find(|known| known.0 == *w).map(|known| known.1.clone());
        plan.weights.iter().map(place).collect()
    }

    /// Bytes of the weights of plans of one model that are not uploaded.
    pub fn missing(&self, plans: &[Plan]) -> u64 {
        let mut counted: Vec<(&[PlannedParameter], &PlannedWeights)> = Vec::new();
        for plan in plans {
            for (weights, place) in plan.weights.iter().zip(self.find(plan)) {
                let one = (&plan.parameters[..], weights);
                if place.is_none() && !counted.contains(&one) {
                    counted.push(one);
                }
            }
        }
        counted.iter().map(|(_, weights)| weights.bytes()).sum()
    }

    /// Adds what `find` did not have.
    pub(super) fn add(&self, plan: &Plan, weights: &Weights) {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        content.bytes += weights.new_bytes();
        let at = content.sets.iter().position(|s| s.parameters == plan.parameters);
        let at = at.unwrap_or_else(|| {
            content.sets.push(Set { parameters: plan.parameters.clone(), weights: Vec::new() });
            content.sets.len() - 1
        });
        let Some(set) = content.sets.get_mut(at) else { return };
        for (planned, place) in plan.weights.iter().zip(weights.places()) {
            if set.weights.iter().all(|known| known.0 != *planned) {
                set.weights.push((planned.clone(), place.clone()));
            }
        }
    }

    /// Bytes of device memory that all of them take.
    pub fn device_bytes(&self) -> u64 {
        self.content.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }
}
