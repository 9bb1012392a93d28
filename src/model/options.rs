//! Reads an architecture's options from JSON. Errors name the option and say in plain words what it must be.

use std::fmt;

use serde::de::value::{SeqDeserializer, StrDeserializer};
use serde::de::{self, DeserializeOwned, DeserializeSeed, Expected, IntoDeserializer, MapAccess, Unexpected, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};
use serde_json::{Map, Value, map};

/// Why options cannot be read.
#[derive(Debug, PartialEq)]
pub(super) struct OptionError {
    /// The option at fault, if it is one.
    key: Option<String>,
    reason: String,
}

/// The options as a config of type `T`.
pub(super) fn read<T: DeserializeOwned>(options: &Map<String, Value>) -> Result<T, OptionError> {
    T::deserialize(Options(options))
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if let Some(key) = &self.key {
            write!(f, "`{key}`: ")?;
        }
        f.write_str(&self.reason)
    }
}

impl std::error::Error for OptionError {}

impl de::Error for OptionError {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Self { key: None, reason: reason.to_string() }
    }

    fn invalid_type(got: Unexpected, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("invalid type: {}, expected {}", in_json(got), in_words(expected)))
    }

    fn invalid_value(got: Unexpected, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("invalid value: {}, expected {}", in_json(got), in_words(expected)))
    }
}

fn in_json(got: Unexpected) -> String {
    match got {
        Unexpected::Unit => "null".into(),
        got => got.to_string(),
    }
}

/// What is expected; serde calls numbers by Rust's types.
fn in_words(expected: &dyn Expected) -> String {
    match &expected.to_string()[..] {
        "usize" => "a whole number".into(),
        "f64" => "a number".into(),
        other => other.into(),
    }
}

/// The object of all options.
struct Options<'a>(&'a Map<String, Value>);

impl<'de> Deserializer<'de> for Options<'_> {
    type Error = OptionError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, OptionError> {
        visitor.visit_map(Entries { rest: self.0.iter(), current: None })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// Options one after the other. Errors get the name of the current one.
struct Entries<'a> {
    rest: map::Iter<'a>,
    current: Option<(&'a String, &'a Value)>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = OptionError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, OptionError> {
        self.current = self.rest.next();
        let Some((key, _)) = self.current else { return Ok(None) };
        let name: StrDeserializer<OptionError> = key.as_str().into_deserializer();
        let named = |e: OptionError| OptionError { key: Some(key.clone()), ..e };
        seed.deserialize(name).map(Some).map_err(named)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, OptionError> {
        let (key, value) = self.current.ok_or_else(|| de::Error::custom("a value without a key"))?;
        seed.deserialize(Json(value)).map_err(|e| OptionError { key: Some(key.clone()), ..e })
    }
}

fn unexpected(value: &Value) -> Unexpected<'_> {
    match value {
        Value::Null => Unexpected::Unit,
        Value::Bool(v) => Unexpected::Bool(*v),
        Value::String(v) => Unexpected::Str(v),
        Value::Array(_) => Unexpected::Seq,
        Value::Object(_) => Unexpected::Map,
        Value::Number(v) => match (v.as_u64(), v.as_i64(), v.as_f64()) {
            (Some(v), ..) => Unexpected::Unsigned(v),
            (_, Some(v), _) => Unexpected::Signed(v),
            (.., v) => Unexpected::Float(v.unwrap_or(f64::NAN)),
        },
    }
}

/// A value of an option.
struct Json<'a>(&'a Value);

impl<'de> IntoDeserializer<'de, OptionError> for Json<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Json<'_> {
    type Error = OptionError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, OptionError> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(v) => visitor.visit_bool(*v),
            Value::String(v) => visitor.visit_str(v),
            Value::Array(v) => visitor.visit_seq(SeqDeserializer::new(v.iter().map(Json))),
            Value::Object(v) => Options(v).deserialize_any(visitor),
            Value::Number(v) => match (v.as_u64(), v.as_i64(), v.as_f64()) {
                (Some(v), ..) => visitor.visit_u64(v),
                (_, Some(v), _) => visitor.visit_i64(v),
                (.., v) => visitor.visit_f64(v.unwrap_or(f64::NAN)),
            },
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, OptionError> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, OptionError> {
        match self.0 {
            Value::String(v) => {
                let variant: StrDeserializer<OptionError> = v.as_str().into_deserializer();
                variant.deserialize_enum(name, variants, visitor)
            }
            other => Err(de::Error::invalid_type(unexpected(other), &"a string")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::UNet;
    use serde_json::json;

    fn error(options: Value) -> String {
        read::<UNet>(options.as_object().unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn options_are_read_as_serde_json_reads_them() {
        for options in [
            json!({}),
            json!({"width": 4, "widths": [3, 5, 9], "padding": "same", "norm": false, "dropout": 0.25}),
            json!({"widths": null, "conv_bias": true, "dropout": 1, "up": "nearest_conv"}),
        ] {
            let expected: UNet = serde_json::from_value(options.clone()).unwrap();
            assert_eq!(read(options.as_object().unwrap()), Ok(expected));
        }
    }

    #[test]
    fn errors_name_the_option_and_what_it_must_be() {
        for (options, expected) in [
            (json!({"depth": 2, "width": "f64"}), "`width`: invalid type: string \"f64\", expected a whole number"),
            (json!({"width": 2.5}), "`width`: invalid type: floating point `2.5`, expected a whole number"),
            (json!({"width": -1}), "`width`: invalid value: integer `-1`, expected a whole number"),
            (json!({"width": null}), "`width`: invalid type: null, expected a whole number"),
            (json!({"widths": [1, "2"]}), "`widths`: invalid type: string \"2\", expected a whole number"),
            (json!({"dropout": "f64"}), "`dropout`: invalid type: string \"f64\", expected a number"),
            (json!({"norm": 1}), "`norm`: invalid type: integer `1`, expected a boolean"),
            (json!({"padding": 1}), "`padding`: invalid type: integer `1`, expected a string"),
            (json!({"padding": "most"}), "`padding`: unknown variant `most`, expected `valid` or `same`"),
        ] {
            assert_eq!(error(options), expected);
        }
        let unknown = error(json!({"wide": 1}));
        assert!(unknown.starts_with("`wide`: unknown field `wide`, expected one of `in_channels`, "), "{unknown}");
    }
}
