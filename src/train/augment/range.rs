//! The form of the noise's range in files: a number is the upper end of a range from 0.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "a number or a range [a, b]")]
enum Form {
    Upper(f64),
    Range([f64; 2]),
}

pub(super) fn serialize<S: Serializer>(range: &[f64; 2], s: S) -> Result<S::Ok, S::Error> {
    match *range {
        [0.0, upper] => Form::Upper(upper),
        range => Form::Range(range),
    }
    .serialize(s)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<[f64; 2], D::Error> {
    Ok(match Form::deserialize(d)? {
        Form::Upper(upper) => [0.0, upper],
        Form::Range(range) => range,
    })
}
