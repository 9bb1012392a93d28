//! Mask colours and the ids they represent.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Hint, Message, Result};

/// Red, green, blue and opacity in 0..=65535; 8-bit values are scaled to that range.
pub type Rgba = [u16; 4];

/// Opaque.
pub(super) const OPAQUE: u16 = u16::MAX;
/// More colours than this do not form a table: the file is a photograph, or its edges are smoothed.
const MANY: usize = 1 << 12;
/// Maximum number of colours listed in a message.
const LISTED: usize = 8;

/// Ids of a mask's colours. Written `"#ff0000" = 1` in TOML and `#ff0000=1,#00ff00=2` on a command line; colours have
/// 3, 6 or 8 hexadecimal digits (the last two are opacity), or 12 or 16 for 16 bits per channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, u32>", into = "BTreeMap<String, u32>")]
pub struct ColourTable {
    ids: BTreeMap<Rgba, u32>,
}

impl ColourTable {
    /// Whether the table is empty.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The id of a colour.
    pub fn id(&self, colour: Rgba) -> Option<u32> {
        self.ids.get(&colour).copied()
    }

    /// The colour in the table nearest to another.
    pub fn nearest(&self, colour: Rgba) -> Option<Rgba> {
        let far = |c: &Rgba| (0..4).map(|i| i64::from(c[i].abs_diff(colour[i])).pow(2)).sum::<i64>();
        self.ids.keys().min_by_key(|c| far(c)).copied()
    }

    fn insert(&mut self, text: &str, id: u32) -> std::result::Result<(), String> {
        let text = text.trim();
        let colour = parse(text).ok_or_else(|| format!("`{text}` is not a colour such as #ff0000"))?;
        match self.ids.insert(colour, id) {
            Some(_) => Err(format!("the colour {} has two ids", name(colour))),
            None => Ok(()),
        }
    }
}

impl TryFrom<BTreeMap<String, u32>> for ColourTable {
    type Error = String;

    fn try_from(map: BTreeMap<String, u32>) -> std::result::Result<Self, String> {
        let mut table = Self::default();
        map.iter().try_for_each(|(text, &id)| table.insert(text, id))?;
        Ok(table)
    }
}

impl From<ColourTable> for BTreeMap<String, u32> {
    fn from(table: ColourTable) -> Self {
        table.ids.iter().map(|(&colour, &id)| (name(colour), id)).collect()
    }
}

impl FromStr for ColourTable {
    type Err = Error;

    /// Parses `#ff0000=1,#00ff00=2`, or the table as in TOML.
    fn from_str(text: &str) -> Result<Self> {
        let invalid_colours = |reason: String| Error::invalid("colours", reason);
        let mut table = Self::default();
        let inner = text.trim().trim_start_matches('{').trim_end_matches('}');
        for pair in inner.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (colour, id) = pair
                .split_once('=')
                .ok_or_else(|| invalid_colours(format!("`{pair}` is not of the form #ff0000=1")))?;
            let id = id.trim().parse().map_err(|_| invalid_colours(format!("`{}` is not an id from 0", id.trim())))?;
            table.insert(colour.trim().trim_matches(['"', '\'']), id).map_err(invalid_colours)?;
        }
        if table.is_empty() { Err(invalid_colours("no colour is given".into())) } else { Ok(table) }
    }
}

fn parse(text: &str) -> Option<Rgba> {
    let digits = text.strip_prefix('#')?;
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let (per_channel, scale) = match digits.len() {
        3 => (1, 0x1111),
        6 | 8 => (2, 0x101),
        12 | 16 => (4, 1),
        _ => return None,
    };
    let mut colour = [OPAQUE; 4];
    for (to, i) in colour.iter_mut().zip(0..digits.len() / per_channel) {
        *to = u16::from_str_radix(digits.get(i * per_channel..(i + 1) * per_channel)?, 16).ok()?.checked_mul(scale)?;
    }
    Some(colour)
}

/// The text form of a colour.
pub(crate) fn name(colour: Rgba) -> String {
    let parts = if colour[3] == OPAQUE { &colour[..3] } else { &colour[..] };
    let short = parts.iter().all(|c| c.is_multiple_of(0x101));
    let digits = parts.iter().map(|&c| if short { format!("{:02x}", c / 0x101) } else { format!("{c:04x}") });
    format!("#{}", digits.collect::<String>())
}

/// The colours of an image's pixels, the most frequent first, up to a limit.
pub(crate) struct Found {
    colours: Vec<(Rgba, usize)>,
    pixels: usize,
    /// Whether there are more colours than were counted.
    many: bool,
}

impl Found {
    /// Counts colours.
    pub(super) fn of(pixels: impl IntoIterator<Item = Rgba>) -> Self {
        let (mut counts, mut all) = (HashMap::<Rgba, usize>::new(), 0);
        for colour in pixels {
            all += 1;
            *counts.entry(colour).or_default() += 1;
            if counts.len() > MANY {
                return Self { colours: Vec::new(), pixels: all, many: true };
            }
        }
        let mut colours: Vec<_> = counts.into_iter().collect();
        colours.sort_by_key(|&(colour, n)| (std::cmp::Reverse(n), colour));
        Self { colours, pixels: all, many: false }
    }

    fn shares(&self) -> String {
        let share = |&(_, n): &(Rgba, usize)| {
            let percent = 100.0 * n as f64 / self.pixels.max(1) as f64;
            if percent < 0.1 { "less than 0.1%".into() } else { format!("{percent:.1}%") }
        };
        self.colours.iter().take(LISTED).map(share).collect::<Vec<_>>().join(", ")
    }

    /// The colours by name, with their shares of the pixels.
    pub(super) fn list(&self) -> String {
        let names: Vec<_> = self.colours.iter().take(LISTED).map(|c| name(c.0)).collect();
        let more = self.colours.len().saturating_sub(LISTED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{} ({}{more} of the pixels)", names.join(", "), self.shares())
    }
}

impl Found {
    /// The error for a mask with these colours: suggests a table to paste. Black, or otherwise the most frequent
    /// colour, gets 0.
    pub(super) fn message(&self) -> Message {
        if self.many {
            return format!(
                "holds more than {MANY} colours, not ids: an image in the place of a mask, or a mask whose edges were \
                 smoothed or compressed"
            )
            .into();
        }
        let mut listed: Vec<Rgba> = self.colours.iter().take(LISTED).map(|c| c.0).collect();
        let shares = self.shares();
        const BLACK: Rgba = [0, 0, 0, OPAQUE];
        let black = listed.iter().position(|&c| c == BLACK);
        // Ids follow frequency except for the background; the list stays in the order of the shares.
        let mut next = u32::from(black.is_some());
        let entries: Vec<String> = listed
            .drain(..)
            .map(|colour| {
                let id = if colour == BLACK { 0 } else { next };
                next += u32::from(colour != BLACK);
                format!("\"{}\" = {id}", name(colour))
            })
            .collect();
        let (count, s) = (self.colours.len(), if self.colours.len() == 1 { "" } else { "s" });
        let max =
            if count > LISTED { format!(", of which these {LISTED} are the most frequent") } else { String::new() };
        let text = format!(
            "holds {count} colour{s} and no ids{max} ({shares} of the pixels); assign a class to each, as in: colours = \
             {{{}}} (in [data] of the TOML file, or with ",
            entries.join(", ")
        );
        Message::from(text).then(Hint::SetColours).then(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_read_as_they_are_written() {
        let table: ColourTable = "#F00=1, #00ff00 = 2,#00000080=0,#123456789abc=7".parse().unwrap();
        assert_eq!((table.id([OPAQUE, 0, 0, OPAQUE]), table.id([0, OPAQUE, 0, OPAQUE])), (Some(1), Some(2)));
        assert_eq!(table.id([0, 0, 0, 0x8080]), Some(0));
        assert_eq!((table.id([0x1234, 0x5678, 0x9abc, OPAQUE]), table.id([0; 4])), (Some(7), None));
        let text = toml::to_string(&table).unwrap();
        assert!(text.contains("\"#ff0000\" = 1") && text.contains("\"#00000080\" = 0"), "{text}");
        assert_eq!(toml::from_str::<ColourTable>(&text).unwrap(), table);
        assert_eq!("{\"#ff0000\" = 1, '#00f' = 3}".parse::<ColourTable>().unwrap().ids.len(), 2);
        assert_eq!(table.nearest([65000, 3, 0, OPAQUE]), Some([OPAQUE, 0, 0, OPAQUE]));
        for (bad, part) in [
            ("red=1", "`red` is not a colour"),
            ("#ff000=1", "#ff000"),
            ("#ff0000", "not of the form"),
            ("#ff0000=-1", "`-1` is not an id"),
            ("#f00=1,#ff0000=2", "#ff0000 has two ids"),
            ("", "no colour"),
        ] {
            let e = bad.parse::<ColourTable>().unwrap_err().to_string();
            assert!(e.starts_with("colours: ") && e.contains(part), "{e}");
        }
    }

    #[test]
    fn colours_are_listed_for_a_table() {
        let of = |r: u8, n: usize| std::iter::repeat_n([u16::from(r) * 0x101, 0, 0, OPAQUE], n);
        let text = Found::of(of(255, 700).chain(of(0, 299)).chain(of(9, 1))).message().to_string();
        assert!(text.starts_with("holds 3 colours and no ids (70.0%, 29.9%, 0.1% of the pixels); "), "{text}");
        let table = text.split("colours = ").nth(1).unwrap().split(" (in").next().unwrap();
        assert_eq!(table, "{\"#ff0000\" = 1, \"#000000\" = 0, \"#090000\" = 2}");
        let read: ColourTable =
            toml::from_str::<BTreeMap<String, ColourTable>>(&format!("colours = {table}")).unwrap()["colours"].clone();
        assert_eq!(read, table.parse().unwrap());
        let many = Found::of((0..12u8).flat_map(|r| of(r, 20 - usize::from(r)))).message().to_string();
        assert!(many.contains("12 colours") && many.contains("these 8 are") && !many.contains("#080000"), "{many}");
        let image = Found::of((0..5000u16).map(|i| [i, 0, 0, OPAQUE])).message().to_string();
        assert!(image.contains("more than 4096 colours"), "{image}");
    }
}
