//! Features that can be turned on or off by name, and the life that each of them has.
//!
//! Knows names and stages; does not know what a feature does: who has one asks the plan's [`Gates`].
//!
//! | stage | without a word | can be turned |
//! |---|---|---|
//! | alpha | off | on: it may change or go |
//! | beta | on | off |
//! | stable | on | no more; its name stays for one release |
//! | deprecated | off | no more; its name stays for one release, so that who asks for it is told |
//!
//! The stages are those of Kubernetes and of the OpenTelemetry Collector, under the same flag. Rules are the first to have a
//! gate: they decide what leaves, and who wants none of that can have them refused wherever they are written.

use super::reading::Reading;
use super::settings::Setting;
use crate::nearest::nearest;
use crate::problem::Flaw;

/// How far a feature is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureStage {
    /// Tried out.
    Alpha,
    /// Meant to stay.
    Beta,
    /// There to stay.
    Stable,
    /// Gone.
    Deprecated,
}

impl FeatureStage {
    /// In one word.
    pub const fn word(self) -> &'static str {
        match self {
            FeatureStage::Alpha => "alpha",
            FeatureStage::Beta => "beta",
            FeatureStage::Stable => "stable",
            FeatureStage::Deprecated => "deprecated",
        }
    }

    /// Whether a feature of this stage is on if nobody says anything.
    pub const fn is_on(self) -> bool {
        matches!(self, FeatureStage::Beta | FeatureStage::Stable)
    }

    /// Why it cannot be turned.
    const fn lock(self) -> Option<&'static str> {
        match self {
            FeatureStage::Alpha | FeatureStage::Beta => None,
            FeatureStage::Stable => Some("is stable, and always on"),
            FeatureStage::Deprecated => Some("is deprecated, and always off"),
        }
    }
}

/// A feature that has a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Its name.
    pub name: &'static str,
    /// How far it is.
    pub stage: FeatureStage,
    /// The version since which it is that.
    pub since: &'static str,
    /// What is there where it is on.
    pub about: &'static str,
}

/// Rules of files and of `--without`.
pub const RULES: Feature = Feature {
    name: "rules",
    stage: FeatureStage::Beta,
    since: "0.1.0",
    about: "rules in files and --without; where it is off they are refused",
};

/// Elections among identical senders.
pub(super) const DEDUP: Feature = Feature {
    name: "dedup",
    stage: FeatureStage::Alpha,
    since: "0.1.0",
    about: "dedup in files: of several identical senders one counts",
};

/// All features that have a gate.
pub const FEATURES: [Feature; 2] = [DEDUP, RULES];

/// Which features are on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gates(Vec<&'static str>);

impl Default for Gates {
    fn default() -> Gates {
        Gates::of(&FEATURES)
    }
}

impl Gates {
    /// Those of these that are on by their stage.
    fn of(features: &[Feature]) -> Gates {
        Gates(features.iter().filter(|feature| feature.stage.is_on()).map(|feature| feature.name).collect())
    }

    /// Whether a feature is on.
    pub fn has(&self, feature: &Feature) -> bool {
        self.0.contains(&feature.name)
    }

    /// Turns what a text names: `+a`, `-b`, or `a` for `+a`, with commas between them; what is wrong with each that is.
    fn turn(&mut self, text: &str, features: &[Feature]) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        for gate in text.split(',').map(str::trim).filter(|gate| !gate.is_empty()) {
            let (is_on, name) = match gate.strip_prefix('-') {
                Some(name) => (false, name),
                None => (true, gate.strip_prefix('+').unwrap_or(gate)),
            };
            let Some(feature) = features.iter().find(|feature| feature.name == name) else {
                let flaw = Flaw::new(format!("there is no feature `{}`", name.escape_debug()));
                flaws.push(match nearest(name, features.iter().map(|feature| feature.name)) {
                    Some(meant) => flaw.remedy(format!("did you mean {meant}?")),
                    None => flaw.remedy("`catchment features` has all there are"),
                });
                continue;
            };
            if let Some(why) = feature.stage.lock() {
                let why = format!("`{name}` {why} since {}", feature.since);
                flaws.push(Flaw::new(why).remedy("leave it out"));
                continue;
            }
            self.0.retain(|other| *other != feature.name);
            if is_on {
                self.0.push(feature.name);
            }
        }
        // one order, so that equal gates are equal
        self.0.sort_unstable();
        flaws
    }
}

/// Reads `feature-gates`; of one feature the later word counts.
pub(super) fn read(reading: &mut Reading<'_>) -> Gates {
    let mut gates = Gates::default();
    let all: &[Setting] = reading.settings.all("feature-gates");
    for setting in all {
        for flaw in gates.turn(&setting.text(), &FEATURES) {
            reading.wrong(setting, flaw);
        }
    }
    gates
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn feature(name: &'static str, stage: FeatureStage) -> Feature {
        Feature { name, stage, since: "1.0", about: "" }
    }

    const LIFE: [Feature; 4] = [
        feature("young", FeatureStage::Alpha),
        feature("grown", FeatureStage::Beta),
        feature("settled", FeatureStage::Stable),
        feature("gone", FeatureStage::Deprecated),
    ];

    fn turned(texts: &[&str]) -> (Vec<&'static str>, Vec<String>) {
        let mut gates = Gates::of(&LIFE);
        let flaws = texts.iter().flat_map(|text| gates.turn(text, &LIFE)).map(|flaw| flaw.to_string()).collect();
        (gates.0, flaws)
    }

    #[test]
    fn a_stage_says_what_is_on_and_what_can_be_turned() {
        let check = |texts: &[&str], on: &[&str]| assert_eq!(turned(texts), (on.to_vec(), vec![]), "{texts:?}");
        check(&[], &["grown", "settled"]);
        check(&["+young,-grown"], &["settled", "young"]);
        check(&["young", " ", "-young, +grown"], &["grown", "settled"]);
        for (text, words) in [
            ("-settled", "`settled` is stable, and always on since 1.0: leave it out"),
            ("+gone", "`gone` is deprecated, and always off since 1.0: leave it out"),
            ("+yuong", "there is no feature `yuong`: did you mean young?"),
            ("frobnicate", "there is no feature `frobnicate`: `catchment features` has all there are"),
        ] {
            assert_eq!(turned(&[text]).1, [words]);
        }
    }

    #[test]
    fn every_feature_has_a_name_of_its_own_and_says_what_it_is() {
        let mut names: Vec<&str> = FEATURES.iter().map(|feature| feature.name).collect();
        names.dedup();
        assert_eq!(names.len(), FEATURES.len());
        assert!(
            names.is_sorted() && FEATURES.iter().all(|feature| !feature.about.is_empty() && !feature.since.is_empty())
        );
    }
}
