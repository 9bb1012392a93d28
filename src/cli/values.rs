//! Values of options, by the names that the library gives them.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use unet_wgpu::Error;
use unet_wgpu::low_level::infer::{WRITERS, Writer};
use unet_wgpu::low_level::names::Named;

/// A value by its name.
pub(super) fn named<T: Named + Send + Sync>() -> impl TypedValueParser<Value = T> {
    let values = T::NAMES.iter().map(|n| possible(n.name, n.about));
    PossibleValuesParser::new(values).try_map(|name| T::from_name(&name))
}

/// A number above 0.
pub(super) fn positive(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|v: &f64| v.is_finite() && *v > 0.0).ok_or_else(|| "not a number above 0".into())
}

/// A kind of result file by its name.
pub(super) fn writer() -> impl TypedValueParser<Value = &'static dyn Writer> {
    let values = WRITERS.iter().map(|w| possible(w.name(), w.about()));
    PossibleValuesParser::new(values).try_map(|name| {
        <dyn Writer>::named(&name).ok_or_else(|| Error::invalid("--save", format!("there is no {name}")))
    })
}

fn possible(name: &'static str, about: &'static str) -> PossibleValue {
    let value = PossibleValue::new(name);
    if about.is_empty() { value } else { value.help(about) }
}
