//! What is wrong with a setting, in parts: where it was given, which one it is, what was given, and what to do.
//!
//! Every room that reads settings finds problems; the rooms above put in where the setting came from, and the words that
//! users see are made here alone. Does not know: which settings there are, or who reads the words. A value that may hold a
//! secret is left out by whoever finds the problem (T21).
//!
//! ```text
//!   --max-body 'huge' is no size; write 65536, 64KiB, 64MiB or 2GiB
//!   at, key    given  fault       allowed
//!   CATCHMENT_OUT (--out) ftp://h: `ftp://h` is no destination: write otlp-grpc://HOST:PORT, …
//!   at, key               given    fault                        remedy
//! ```

use crate::units::Unread;
use std::fmt;

/// Where a setting was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum At {
    /// On the command line, or nowhere: then the words name the flag with which it can be given.
    #[default]
    Flag,
    /// In its environment variable.
    Variable,
    /// In a file of settings; line and column from 1.
    File {
        /// The path, or what else the text is called.
        name: std::sync::Arc<str>,
        /// From 1.
        line: u32,
        /// From 1, in characters.
        column: u32,
    },
}

/// What was given, as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// Nothing, or nothing that may be shown.
    Nothing,
    /// Nothing that is shown, but which part of the setting it is: `[1] "name": outputs`.
    Part(String),
    /// As it stands.
    Plain(String),
    /// A text that could not be read.
    Quoted(String),
    /// What was settled on from it, in our words.
    Settled(String),
}

/// What is wrong, but for the setting that it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flaw {
    /// What is wrong; empty where what is allowed says it.
    pub fault: String,
    /// The fault goes on from what was given: `is no size`, `holds no certificate`.
    pub is_predicate: bool,
    /// What may be given.
    pub allowed: String,
    /// What to do.
    pub remedy: String,
}

impl Flaw {
    /// What is wrong, as a sentence of its own.
    pub fn new(fault: impl Into<String>) -> Flaw {
        Flaw { fault: fault.into(), ..Flaw::default() }
    }

    /// What is wrong, as the end of a sentence that begins with what was given.
    pub fn predicate(fault: impl Into<String>) -> Flaw {
        Flaw { fault: fault.into(), is_predicate: true, ..Flaw::default() }
    }

    /// What may be given says what is wrong.
    pub fn outside(allowed: impl Into<String>) -> Flaw {
        Flaw { allowed: allowed.into(), ..Flaw::default() }
    }

    /// The same with what may be given.
    pub fn allowed(self, allowed: impl Into<String>) -> Flaw {
        Flaw { allowed: allowed.into(), ..self }
    }

    /// The same with what to do.
    pub fn remedy(self, remedy: impl Into<String>) -> Flaw {
        Flaw { remedy: remedy.into(), ..self }
    }

    /// The same, told of a part of what was given.
    pub fn of(self, part: impl fmt::Display) -> Flaw {
        let colon = if self.is_predicate { " " } else { ": " };
        if self.fault.is_empty() {
            return Flaw { fault: format!("{part}{colon}{}", self.allowed), allowed: String::new(), ..self };
        }
        Flaw { fault: format!("{part}{colon}{}", self.fault), is_predicate: false, ..self }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fault)?;
        match (self.allowed.is_empty(), self.fault.is_empty()) {
            (true, _) => {}
            (false, true) => f.write_str(&self.allowed)?,
            (false, false) => write!(f, "; {}", self.allowed)?,
        }
        match self.remedy.as_str() {
            "" => Ok(()),
            remedy => write!(f, ": {remedy}"),
        }
    }
}

/// A setting that cannot be meant, or cannot be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where the setting was given.
    pub at: At,
    /// The setting, as its flag is called: `max-body`.
    pub key: &'static str,
    /// What was given.
    pub given: Given,
    /// What is wrong, what may be given, what to do.
    pub flaw: Box<Flaw>,
}

impl Problem {
    /// With a value that may be shown as it stands.
    pub fn new(key: &'static str, given: impl Into<String>, flaw: Flaw) -> Problem {
        Problem { at: At::default(), key, given: Given::Plain(given.into()), flaw: flaw.into() }
    }

    /// Without a value, or with one that is not shown.
    pub fn bare(key: &'static str, flaw: Flaw) -> Problem {
        Problem { at: At::default(), key, given: Given::Nothing, flaw: flaw.into() }
    }

    /// Of a text that cannot be read as what it should be.
    pub(crate) fn unread(key: &'static str, Unread { given, fault, examples }: Unread) -> Problem {
        let flaw = Flaw::predicate(fault).allowed(format!("write {examples}"));
        Problem { at: At::default(), key, given: Given::Quoted(given), flaw: flaw.into() }
    }

    /// The same, given there.
    pub fn at(self, at: At) -> Problem {
        Problem { at, ..self }
    }
}

/// The environment variable of a setting.
pub fn variable(key: &str) -> String {
    format!("CATCHMENT_{}", key.replace('-', "_").to_uppercase())
}

/// A setting as the words begin with it: its flag, and first its variable if it was given there.
pub struct Heading<'a>(pub &'a At, pub &'a str);

impl fmt::Display for Heading<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Heading(at, key) = self;
        match at {
            At::Flag => write!(f, "--{key}"),
            At::Variable => write!(f, "{} (--{key})", variable(key)),
            At::File { name, line, column } => {
                write!(f, "{name}:{line}:{column}")?;
                if key.is_empty() { Ok(()) } else { write!(f, " {key}") }
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Heading(&self.at, self.key).fmt(f)?;
        match &self.given {
            Given::Nothing => {}
            Given::Part(part) => f.write_str(part)?,
            Given::Plain(text) => write!(f, " {text}")?,
            Given::Quoted(text) => write!(f, " '{text}'")?,
            Given::Settled(text) => write!(f, ", given as {text},")?,
        }
        let colon = if self.flaw.is_predicate { "" } else { ":" };
        write!(f, "{colon} {}", self.flaw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::size;

    /// All that users see of a problem, with each part left out once.
    #[test]
    fn a_problem_is_told_in_one_grammar() {
        let outside = || Flaw::outside("give a number from 1 to 9, or auto");
        let holds = || Flaw::predicate("holds no certificate").remedy("give a PEM file");
        for (problem, words) in [
            (Problem::new("shards", "many", outside()), "--shards many: give a number from 1 to 9, or auto"),
            (
                Problem::new("shards", "many", outside()).at(At::Variable),
                "CATCHMENT_SHARDS (--shards) many: give a number from 1 to 9, or auto",
            ),
            (
                Problem::unread("max-body", size("huge").unwrap_err()),
                "--max-body 'huge' is no size; write 65536, 64KiB, 64MiB or 2GiB",
            ),
            (
                Problem::new("admin", "x", Flaw::new("no such name").allowed("give HOST:PORT, or off")),
                "--admin x: no such name; give HOST:PORT, or off",
            ),
            (Problem::new("out-ca", "/a", holds()), "--out-ca /a holds no certificate: give a PEM file"),
            (Problem::new("out", "h", holds().of("/a")), "--out h: /a holds no certificate: give a PEM file"),
            (Problem::new("out", "h", Flaw::new("it is gone").of("/a")), "--out h: /a: it is gone"),
            (Problem::bare("out", Flaw::outside("give two").of("'3'")), "--out: '3': give two"),
            (Problem::bare("out", Flaw::new("17 destinations")), "--out: 17 destinations"),
            (
                Problem {
                    at: At::File { name: "f.yaml".into(), line: 3, column: 5 },
                    given: Given::Part("[1] \"a\": by".into()),
                    ..Problem::bare("rules", Flaw::new("this is a text").allowed("give a list"))
                },
                "f.yaml:3:5 rules[1] \"a\": by: this is a text; give a list",
            ),
            (
                Problem {
                    given: Given::Settled("64 MiB".into()),
                    ..Problem::bare("memory-limit", Flaw::predicate("is too small").remedy("leave it out"))
                },
                "--memory-limit, given as 64 MiB, is too small: leave it out",
            ),
            (
                Problem { given: Given::Quoted("0%".into()), ..Problem::bare("peer-share", Flaw::outside("write 1%")) },
                "--peer-share '0%': write 1%",
            ),
        ] {
            assert_eq!(problem.to_string(), words);
        }
    }
}
