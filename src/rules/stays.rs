//! Which attributes stay in a group: `by` and `without`, compiled.
//!
//! Knows keys and places; does not know values.

use super::draft::{Draft, DraftAttribute, PLACES};
use super::fault::Faults;
use super::patterns::{Caches, Patterns, PatternsBuilder};
use super::rule::{Grouping, KeyPattern, KeyPlace, PatternKind};
use super::selectors::Compiling;

/// Keys, by place.
#[derive(Debug)]
struct Keys {
    patterns: Patterns,
    /// By number of a pattern and of the place, whether it is named there.
    places: Box<[[bool; 3]]>,
}

impl Keys {
    fn new(keys: &[KeyPattern], faults: &mut Faults, compiling: &mut Compiling) -> Keys {
        let mut builder = PatternsBuilder::default();
        let mut places: Vec<[bool; 3]> = Vec::new();
        for (at, key) in keys.iter().enumerate() {
            match builder.add_text(&key.text, PatternKind::Glob) {
                Ok(number) => {
                    places.resize(places.len().max(number as usize + 1), [false; 3]);
                    for place in PLACES {
                        places[number as usize][place as usize] |= key.place.is_none_or(|only| only == place);
                    }
                }
                Err(words) => faults.item(at, |faults| faults.add(words)),
            }
        }
        Keys { patterns: compiling.build(builder), places: places.into() }
    }

    fn name(&self, key: &[u8], place: KeyPlace, caches: &mut Caches, numbers: &mut Vec<u32>) -> bool {
        let Ok(key) = std::str::from_utf8(key) else { return false };
        numbers.clear();
        self.patterns.like(key, caches, numbers);
        numbers.iter().any(|number| self.places[*number as usize][place as usize])
    }
}

/// Which attributes stay.
#[derive(Debug)]
pub(super) struct Stays {
    /// Those that are named stay, or go.
    keys: Option<(Keys, bool)>,
    number: u32,
}

impl Stays {
    pub(super) fn new(grouping: &Grouping, faults: &mut Faults, compiling: &mut Compiling) -> Stays {
        let mut named = |word: &str, keys: &[KeyPattern], stay: bool| {
            (faults.under(word, |faults| Keys::new(keys, faults, compiling)), stay)
        };
        Stays {
            keys: match grouping {
                Grouping::All => None,
                Grouping::By(keys) => Some(named("by", keys, true)),
                Grouping::Without(keys) => Some(named("without", keys, false)),
            },
            number: 0,
        }
    }

    /// The same with a number: in a plan, where the same stays, it is the same.
    pub(super) fn numbered(self, number: u32) -> Stays {
        Stays { number, ..self }
    }

    /// That number.
    pub(super) const fn number(&self) -> u32 {
        self.number
    }

    fn stays(
        &self,
        attribute: &DraftAttribute<'_>,
        place: KeyPlace,
        caches: &mut Caches,
        numbers: &mut Vec<u32>,
    ) -> bool {
        let Some((keys, stay)) = &self.keys else { return true };
        attribute.is_overflow() || keys.name(attribute.key, place, caches, numbers) == *stay
    }

    /// Takes away what does not stay; `gone` is told of each.
    pub(super) fn apply(
        &self,
        draft: &mut Draft<'_>,
        caches: &mut Caches,
        numbers: &mut Vec<u32>,
        mut gone: impl FnMut(KeyPlace, &DraftAttribute<'_>),
    ) {
        if self.keys.is_none() {
            return;
        }
        for (place, attributes) in PLACES.into_iter().zip(&mut draft.places) {
            attributes.retain(|attribute| {
                let stays = self.stays(attribute, place, caches, numbers);
                if !stays {
                    gone(place, attribute);
                }
                stays
            });
        }
    }
}
