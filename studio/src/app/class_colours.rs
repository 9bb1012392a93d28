//! Instances in the colours of their classes.

use super::Studio;
use crate::canvas::Colouring;
use crate::project::class_colour;
use eframe::egui::Color32;

/// Instances with larger numbers have no class colour: the table of colours would take too much memory.
const LARGEST: u32 = 1 << 22;

/// The colours of a label map, made anew when a class or a colour changes.
#[derive(Default)]
pub(super) struct ClassColours {
    /// Of what the colours are: classes that are not 1, instances, the colours of classes.
    of: (Vec<(u32, u8)>, u32, Vec<Color32>),
    colouring: Colouring,
}

impl ClassColours {
    /// The colours of instances below `next`, of which these are not of class 1. `colours` are those of the classes, from 0.
    pub(super) fn of(&mut self, classes: Vec<(u32, u8)>, next: u32, colours: &[Color32]) -> Colouring {
        // A new instance needs no new table as long as there is room.
        let length = next.saturating_add(1).checked_next_power_of_two().unwrap_or(u32::MAX).min(LARGEST);
        if self.of.0 != classes || self.of.1 != length || self.of.2 != colours {
            let mut class_of = vec![1; length as usize];
            for &(id, class) in &classes {
                if let Some(of) = class_of.get_mut(id as usize) {
                    *of = class;
                }
            }
            self.colouring = Colouring::by_class(&class_of, colours);
            self.of = (classes, length, colours.to_vec());
        }
        self.colouring.clone()
    }
}

impl Studio {
    /// The colour of a class: the project's, else the one that a new class would have.
    pub(super) fn class_colour(&self, class: usize) -> Color32 {
        let own = self.project_classes().get(class.wrapping_sub(1)).map(|class| class.colour);
        let [r, g, b] = own.unwrap_or_else(|| class_colour(class));
        Color32::from_rgb(r, g, b)
    }

    /// The colours of all classes that instances can have, background first.
    pub(super) fn class_colours(&self) -> Vec<Color32> {
        let colour = |class| if class == 0 { Color32::TRANSPARENT } else { self.class_colour(class) };
        (0..=usize::from(u8::MAX)).map(colour).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(colouring: &Colouring) -> std::sync::Arc<[Color32]> {
        match colouring {
            Colouring::Table(table) => table.clone(),
            Colouring::Instances => panic!("no table"),
        }
    }

    #[test]
    fn a_table_is_made_when_something_changes_and_not_before() {
        let (red, blue) = (Color32::RED, Color32::BLUE);
        let mut colours = ClassColours::default();
        let first = table(&colours.of(vec![(3, 2)], 5, &[Color32::TRANSPARENT, red, blue]));
        assert_eq!((first[1], first[3], first[5]), (red, blue, red));
        // An instance more has room.
        let same = table(&colours.of(vec![(3, 2)], 6, &[Color32::TRANSPARENT, red, blue]));
        assert!(std::sync::Arc::ptr_eq(&first, &same));
        let other = table(&colours.of(vec![(3, 2), (6, 2)], 7, &[Color32::TRANSPARENT, red, blue]));
        assert_eq!((other[6], other[3]), (blue, blue));
        let changed = table(&colours.of(vec![(3, 2), (6, 2)], 7, &[Color32::TRANSPARENT, blue, red]));
        assert_eq!((changed[1], changed[3]), (blue, red));
        // Numbers up to the largest that a file may hold take no more memory than this.
        let large = table(&colours.of(vec![(u32::MAX >> 1, 2)], u32::MAX >> 1, &[Color32::TRANSPARENT, blue, red]));
        assert_eq!(large.len(), LARGEST as usize);
    }
}
