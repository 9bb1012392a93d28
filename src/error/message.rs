//! Text with hints in place, so that whoever shows it decides how they read.

use std::borrow::Cow;
use std::fmt;

use super::Hint;

/// Text with [hints](Hint) in it. `Display` writes hints as items of the library's API.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Message {
    pieces: Vec<Piece>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Piece {
    Text(String),
    Hint(Hint),
}

impl Message {
    /// The message followed by a text, a hint or another message.
    #[must_use]
    pub fn then(mut self, next: impl Into<Self>) -> Self {
        for piece in next.into().pieces {
            match (self.pieces.last_mut(), piece) {
                (Some(Piece::Text(last)), Piece::Text(text)) => last.push_str(&text),
                (_, piece) => self.pieces.push(piece),
            }
        }
        self
    }

    /// The hints, in order.
    pub fn hints(&self) -> impl Iterator<Item = &Hint> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Hint(hint) => Some(hint),
        })
    }

    /// The text with hints written as `name` says.
    pub fn with_hints(&self, name: impl Fn(&Hint) -> String) -> String {
        let text = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Hint(hint) => name(hint),
        };
        self.pieces.iter().map(text).collect()
    }

    /// The message with `to` in place of every `from`.
    #[must_use]
    pub fn replace(self, from: &str, to: &str) -> Self {
        let replaced = |piece| match piece {
            Piece::Text(text) => Piece::Text(text.replace(from, to)),
            hint => hint,
        };
        Self { pieces: self.pieces.into_iter().map(replaced).collect() }
    }

    /// Whether it has no text and no hint.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.pieces.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(text),
            Piece::Hint(hint) => hint.fmt(f),
        })
    }
}

/// As a string, which is how tests and logs show it.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string(), f)
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self { pieces: if text.is_empty() { vec![] } else { vec![Piece::Text(text)] } }
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        text.to_string().into()
    }
}

impl From<&String> for Message {
    fn from(text: &String) -> Self {
        text.clone().into()
    }
}

impl From<Cow<'_, str>> for Message {
    fn from(text: Cow<str>) -> Self {
        text.into_owned().into()
    }
}

impl From<Hint> for Message {
    fn from(hint: Hint) -> Self {
        Self { pieces: vec![Piece::Hint(hint)] }
    }
}

/// The text with hints as `Display` writes them.
impl From<Message> for String {
    fn from(message: Message) -> Self {
        message.to_string()
    }
}

impl PartialEq<str> for Message {
    fn eq(&self, other: &str) -> bool {
        self.to_string().as_str() == other
    }
}

impl PartialEq<&str> for Message {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_keep_their_places() {
        let message = Message::from("too large; ").then(Hint::BlendGaussian).then(" tiles it").then("; or ").then("");
        assert_eq!(message, "too large; Blend::Gaussian tiles it; or ");
        assert_eq!(message.with_hints(|h| format!("<{h}>")), "too large; <Blend::Gaussian> tiles it; or ");
        assert_eq!(message.hints().collect::<Vec<_>>(), [&Hint::BlendGaussian]);
        let outer = Message::from("a.png: ").then(message.clone());
        assert_eq!(outer.with_hints(|_| "x".into()), "a.png: too large; x tiles it; or ");
        // Neighbouring texts are one piece, so messages of one text are equal.
        assert_eq!(Message::from("a").then("b"), Message::from("ab"));
        assert!(Message::from("").is_empty() && !message.is_empty());
    }
}
