//! Patterns, compiled: all that a text is compared with in one pass.
//!
//! Knows globs, regular expressions, and which patterns a text is like; does not know what is compared, nor what follows.
//!
//! Texts without `*`, `?` and `{a,b}` lie in a table. Everything else is one automaton over all patterns, whose states are
//! made when they are first met and kept in a cache of a stated size: one step a byte, however many patterns there are, and
//! at worst a step takes as long as the patterns are.
//!
//! Bounds: `RULE_PATTERN_BYTES_MAX`, `RULE_PATTERN_DEPTH_MAX`, `RULE_NFA_BYTES_MAX` a pattern, `RULE_CACHE_BYTES` a cache.
//! Source: RULES 1, table of crates.

use super::rule::{Pattern, PatternKind};
use crate::limits::{RULE_CACHE_BYTES, RULE_NFA_BYTES_MAX, RULE_PATTERN_BYTES_MAX, RULE_PATTERN_DEPTH_MAX};
use hashbrown::HashMap;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::pikevm::{self, PikeVM};
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_automata::{Anchored, Input, MatchKind};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Dot, Hir, Look, Repetition};

/// What a pattern is, read.
enum Parsed {
    /// Only this text.
    Text(String),
    /// What this expression finds over the whole text.
    Expression(Hir),
}

/// Reads a glob: `*`, `?`, `{a,b}`; `\` takes away the meaning of what follows.
struct GlobReader<'a> {
    rest: std::str::Chars<'a>,
}

impl GlobReader<'_> {
    /// Parts up to the end, or inside braces up to `,` or `}`, which is given back.
    fn parts(&mut self, depth: usize) -> Result<(Vec<Hir>, Option<char>), String> {
        let (mut parts, mut text) = (Vec::new(), String::new());
        let mut end = None;
        while let Some(c) = self.rest.next() {
            let special = match c {
                '\\' => {
                    text.push(self.rest.next().ok_or("ends with `\\`: write `\\\\` for one")?);
                    continue;
                }
                '*' => Hir::repetition(Repetition {
                    min: 0,
                    max: None,
                    greedy: true,
                    sub: Box::new(Hir::dot(Dot::AnyByte)),
                }),
                '?' => Hir::dot(Dot::AnyChar),
                '{' => self.braces(depth + 1)?,
                '}' if depth == 0 => return Err("has a `}` without its `{`: write `\\}` for one".into()),
                ',' | '}' if depth > 0 => {
                    end = Some(c);
                    break;
                }
                c => {
                    text.push(c);
                    continue;
                }
            };
            if !text.is_empty() {
                parts.push(Hir::literal(std::mem::take(&mut text).into_bytes()));
            }
            parts.push(special);
        }
        if !text.is_empty() {
            parts.push(Hir::literal(text.into_bytes()));
        }
        Ok((parts, end))
    }

    fn braces(&mut self, depth: usize) -> Result<Hir, String> {
        if depth > RULE_PATTERN_DEPTH_MAX {
            return Err(format!("nests deeper than {RULE_PATTERN_DEPTH_MAX} braces"));
        }
        let mut branches = Vec::new();
        loop {
            let (parts, end) = self.parts(depth)?;
            branches.push(Hir::concat(parts));
            match end {
                Some(',') => {}
                Some(_) => return Ok(Hir::alternation(branches)),
                None => return Err("has a `{` without its `}`: write `\\{` for one".into()),
            }
        }
    }
}

fn glob(text: &str) -> Result<Parsed, String> {
    if !text.contains(['*', '?', '{', '}', '\\']) {
        return Ok(Parsed::Text(text.into()));
    }
    let (parts, _) = GlobReader { rest: text.chars() }.parts(0)?;
    Ok(Parsed::Expression(Hir::concat(parts)))
}

/// Reads a regular expression as rules have them: `.` is any character, `\d` and the like are Unicode's.
fn regex(text: &str) -> Result<Hir, String> {
    let depth = RULE_PATTERN_DEPTH_MAX as u32;
    let mut parser = ParserBuilder::new().nest_limit(depth).dot_matches_new_line(true).build();
    let hir = parser.parse(text).map_err(|error| format!("is no regular expression: {}", words_of(&error)))?;
    let looks = hir.properties().look_set();
    if looks.contains_word_unicode()
        || [Look::WordStartUnicode, Look::WordEndUnicode].iter().any(|l| looks.contains(*l))
    {
        return Err("asks for a word's edge: write (?-u:\\b) for that of ASCII".into());
    }
    Ok(hir)
}

/// What is wrong, without the drawing that the parser makes of it.
fn words_of(error: &regex_syntax::Error) -> String {
    match error {
        regex_syntax::Error::Parse(error) => error.kind().to_string(),
        regex_syntax::Error::Translate(error) => error.kind().to_string(),
        _ => "it cannot be read".into(),
    }
}

fn check_length(text: &str) -> Result<(), String> {
    let bytes = text.len();
    let is_short = bytes <= RULE_PATTERN_BYTES_MAX;
    is_short.then_some(()).ok_or_else(|| format!("has {bytes} bytes, {RULE_PATTERN_BYTES_MAX} are the most"))
}

fn parse(text: &str, kind: PatternKind) -> Result<Parsed, String> {
    check_length(text)?;
    match kind {
        PatternKind::Glob => glob(text),
        PatternKind::Regex => regex(text).map(Parsed::Expression),
    }
}

fn compile(hirs: &[Hir], captures: WhichCaptures, bytes_max: usize) -> Result<NFA, String> {
    let config = thompson::Config::new().utf8(matches!(captures, WhichCaptures::All)).nfa_size_limit(Some(bytes_max));
    let made = thompson::Compiler::new().configure(config.which_captures(captures)).build_many_from_hir(hirs);
    made.map_err(|error| match error.size_limit() {
        Some(_) => format!("takes more than {} KiB compiled: repeat less in it", bytes_max >> 10),
        None => format!("cannot be compiled: {error}"),
    })
}

/// An expression that is searched for, or lies over the whole text, with its groups.
pub(super) fn expression(text: &str, is_whole: bool) -> Result<NFA, String> {
    check_length(text)?;
    let hir = regex(text)?;
    let hir = if is_whole { Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)]) } else { hir };
    compile(&[hir], WhichCaptures::All, RULE_NFA_BYTES_MAX)
}

/// Patterns, while they are gathered; each has a number, the same pattern the same.
#[derive(Default)]
pub(super) struct PatternsBuilder {
    numbers: HashMap<(Box<str>, PatternKind), u32, ahash::RandomState>,
    literals: HashMap<Box<str>, u32, ahash::RandomState>,
    expressions: Vec<(u32, Hir)>,
}

impl PatternsBuilder {
    /// The number of a pattern, whether it is negated or not.
    pub(super) fn add(&mut self, pattern: &Pattern) -> Result<u32, String> {
        self.add_text(&pattern.text, pattern.kind)
    }

    /// The same of its parts.
    pub(super) fn add_text(&mut self, text: &str, kind: PatternKind) -> Result<u32, String> {
        let key = (Box::from(text), kind);
        if let Some(number) = self.numbers.get(&key) {
            return Ok(*number);
        }
        let number = self.numbers.len() as u32;
        match parse(text, kind)? {
            Parsed::Text(text) => {
                self.literals.insert(text.into(), number);
            }
            Parsed::Expression(hir) => {
                // a glob is as long as it is written: only an expression can be large
                if kind == PatternKind::Regex {
                    compile(std::slice::from_ref(&hir), WhichCaptures::None, RULE_NFA_BYTES_MAX)?;
                }
                self.expressions.push((number, hir));
            }
        }
        self.numbers.insert(key, number);
        Ok(number)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Compiles them, if they take no more than `nfa_bytes`, which becomes less by what they take; `caches` counts the caches
    /// that the plan's patterns need.
    pub(super) fn build(self, caches: &mut usize, nfa_bytes: &mut usize) -> Result<Patterns, String> {
        if self.expressions.is_empty() {
            return Ok(Patterns { literals: self.literals, automaton: None });
        }
        let (numbers, hirs): (Vec<u32>, Vec<Hir>) = self.expressions.into_iter().unzip();
        let nfa = compile(&hirs, WhichCaptures::None, *nfa_bytes)?;
        *nfa_bytes = nfa_bytes.saturating_sub(nfa.memory_usage());
        // a cache that is too small for the patterns grows to the least that they need
        let config = DFA::config().match_kind(MatchKind::All).cache_capacity(RULE_CACHE_BYTES);
        let built = DFA::builder().configure(config.skip_cache_capacity_check(true)).build_from_nfa(nfa);
        let dfa = built.map_err(|error| format!("cannot be compiled: {error}"))?;
        let cache = *caches;
        *caches += 1;
        Ok(Patterns {
            literals: self.literals,
            automaton: Some(Box::new(Automaton { dfa, numbers: numbers.into(), cache })),
        })
    }
}

/// What engines keep between texts; one thread's.
#[derive(Debug)]
enum Kept {
    /// Nothing: it was not used yet.
    Nothing,
    /// States of an automaton that were met.
    States(Box<Cache>),
    /// Room for the branches of an expression.
    Branches(Box<pikevm::Cache>),
}

/// What engines keep between texts, by the number that each has; one thread's.
#[derive(Debug)]
pub(super) struct Caches(Vec<Kept>);

impl Caches {
    /// For so many engines; nothing is taken before one is used.
    pub(super) fn new(count: usize) -> Caches {
        Caches((0..count).map(|_| Kept::Nothing).collect())
    }

    fn states(&mut self, number: usize, dfa: &DFA) -> &mut Cache {
        let kept = &mut self.0[number];
        if !matches!(kept, Kept::States(_)) {
            *kept = Kept::States(Box::new(dfa.create_cache()));
        }
        let Kept::States(cache) = kept else { unreachable!("it was made above") };
        cache
    }

    /// Of an expression with groups.
    pub(super) fn branches(&mut self, number: usize, engine: &PikeVM) -> &mut pikevm::Cache {
        let kept = &mut self.0[number];
        if !matches!(kept, Kept::Branches(_)) {
            *kept = Kept::Branches(Box::new(engine.create_cache()));
        }
        let Kept::Branches(cache) = kept else { unreachable!("it was made above") };
        cache
    }
}

#[derive(Debug)]
struct Automaton {
    dfa: DFA,
    /// The number of each of its patterns.
    numbers: Box<[u32]>,
    /// Which cache is its own.
    cache: usize,
}

/// Patterns that texts are compared with at once.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    literals: HashMap<Box<str>, u32, ahash::RandomState>,
    automaton: Option<Box<Automaton>>,
}

impl Patterns {
    /// Appends the numbers of all patterns that are like `text`.
    pub(super) fn like(&self, text: &str, caches: &mut Caches, numbers: &mut Vec<u32>) {
        numbers.extend(self.literals.get(text).copied());
        let Some(automaton) = &self.automaton else { return };
        let cache = caches.states(automaton.cache, &automaton.dfa);
        automaton.like(text, cache, numbers);
    }
}

impl Automaton {
    /// A cache that is full is emptied and filled again: it never fails for that. Patterns that need bytes to stop at, which
    /// would be the other reason, are refused where they are read.
    fn like(&self, text: &str, cache: &mut Cache, numbers: &mut Vec<u32>) {
        let input = Input::new(text).anchored(Anchored::Yes);
        let Ok(mut state) = self.dfa.start_state_forward(cache, &input) else { return };
        for byte in text.bytes() {
            let Ok(next) = self.dfa.next_state(cache, state, byte) else { return };
            if next.is_dead() {
                return;
            }
            state = next;
        }
        let Ok(state) = self.dfa.next_eoi_state(cache, state) else { return };
        if state.is_match() {
            let count = self.dfa.match_len(cache, state);
            numbers.extend((0..count).map(|at| self.numbers[self.dfa.match_pattern(cache, state, at).as_usize()]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(patterns: &[(&str, PatternKind)]) -> (Patterns, Caches) {
        let mut builder = PatternsBuilder::default();
        for (text, kind) in patterns {
            builder.add_text(text, *kind).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
        let (mut caches, mut bytes) = (0, 1 << 24);
        let patterns = builder.build(&mut caches, &mut bytes).unwrap();
        (patterns, Caches::new(caches))
    }

    #[test]
    fn globs_and_expressions_are_like_what_they_say() {
        use PatternKind::{Glob, Regex};
        let check = |text: &str, kind, like: &[&str], unlike: &[&str]| {
            let (patterns, mut caches) = compiled(&[(text, kind)]);
            for (texts, want) in [(like, &[0][..]), (unlike, &[])] {
                for given in texts {
                    let mut numbers = Vec::new();
                    patterns.like(given, &mut caches, &mut numbers);
                    assert_eq!(numbers, want, "{text} and {given}");
                }
            }
        };
        check("a.b", Glob, &["a.b"], &["a.b.c", "axb", "", "A.b"]);
        check("*", Glob, &["", "a", "ä.b\n"], &[]);
        check("k8s.pod.*", Glob, &["k8s.pod.name", "k8s.pod."], &["k8s.pod", "k8s.node.name", "xk8s.pod.a"]);
        check("*.debug.*", Glob, &["a.debug.b", ".debug."], &["debug.b", "a.debug"]);
        check("a?c", Glob, &["abc", "aäc", "a?c"], &["ac", "abbc"]);
        check("*ä?", Glob, &["äb", "xäö", "ää"], &["ä", "äbc"]);
        check("{prod,staging}", Glob, &["prod", "staging"], &["", "prod,staging", "production"]);
        check("a{,b{c,d*}}e", Glob, &["ae", "abce", "abde", "abdxye"], &["abe", "abcde"]);
        check("a\\*[b]", Glob, &["a*[b]"], &["ax[b]", "a*b"]);
        check("a,b", Glob, &["a,b"], &["a", "b"]);
        check("", Glob, &[""], &["a"]);
        check("(denied|locked)", Regex, &["denied", "locked"], &["denied.", "unlocked", ""]);
        check("a|b", Regex, &["a", "b"], &["ab", "ax", "xb"]);
        check("^a.c$", Regex, &["a\nc", "aäc"], &["ac", "aaac"]);
        check("(?i)get", Regex, &["GET", "get"], &["gets"]);
        check("\\d+", Regex, &["0", "42"], &["", "4x"]);
        check("", Regex, &[""], &["a"]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_in_words() {
        use PatternKind::{Glob, Regex};
        let deep = |open: &str, close: &str, n: usize| format!("{}a{}", open.repeat(n), close.repeat(n));
        let check = |text: &str, kind, words: &str| {
            let error = PatternsBuilder::default().add_text(text, kind).expect_err(text);
            assert!(error.contains(words), "{text}: {error}");
        };
        check("a{b", Glob, "`{` without its `}`");
        check("a}b", Glob, "`}` without its `{`");
        check("a\\", Glob, "ends with");
        check(&deep("{", "}", 65), Glob, "deeper than 64");
        check(&"a".repeat(1_025), Glob, "1025 bytes, 1024");
        check("(a", Regex, "no regular expression: unclosed group");
        check("a)|(b", Regex, "no regular expression");
        check("[z-a]", Regex, "no regular expression");
        check("\\bword", Regex, "(?-u:\\b)");
        check(&deep("(", ")", 70), Regex, "nest");
        check("(?:a{1000}){1000}", Regex, "more than 1024 KiB");
        assert!(PatternsBuilder::default().add_text(&deep("{", "}", 64), Glob).is_ok());
        assert!(PatternsBuilder::default().add_text("(?-u:\\b)word", Regex).is_ok());
    }

    #[test]
    fn many_are_compared_at_once() {
        use PatternKind::{Glob, Regex};
        let (patterns, mut caches) = compiled(&[
            ("http.*", Glob),
            ("*.duration", Glob),
            ("http.x", Glob),
            ("http.[x-z]", Regex),
            ("http.*", Glob),
        ]);
        let check = |text: &str, caches: &mut Caches, want: &[u32]| {
            let mut numbers = Vec::new();
            patterns.like(text, caches, &mut numbers);
            numbers.sort_unstable();
            assert_eq!(numbers, want, "{text}");
        };
        check("http.x", &mut caches, &[0, 2, 3]);
        check("http.duration", &mut caches, &[0, 1]);
        check("duration", &mut caches, &[]);
        // a text that meets more states than the cache holds
        for round in 0..3 {
            for n in 0..2_000 {
                check(&format!("http.{n}.{round}.duration"), &mut caches, &[0, 1]);
            }
        }
    }
}
