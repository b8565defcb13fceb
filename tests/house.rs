//! The house's own rules, read from its sources: which room may import which, where `unsafe`, clocks and threads may be,
//! how long a file may be, what a header says, that types have names of their own, and that every line of
//! `CONFORMANCE.md` and `THREATS.md` that is cited is there. Nothing is built: sources are text.
//!
//! An exception stands in a table with its number and can only get smaller: one that is no longer needed fails too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Lines of the longest file.
const LINES_MAX: usize = 800;
/// Bytes of the largest file in the repository.
const FILE_BYTES_MAX: u64 = 2 << 20;
/// Longer files, and how long they may be.
const LONG_FILES: &[(&str, usize)] = &[];

/// Where `unsafe` may be: what these paths begin with.
const UNSAFE_ROOMS: &[&str] = &["src/sync/", "src/series/index"];
/// The files that let it into those, and how often.
const UNSAFE_ALLOWED: &[(&str, usize)] = &[("src/lib.rs", 1), ("src/series/mod.rs", 1)];

/// What reads the system's clock, starts a thread or makes it wait.
const WORLD: &[&str] =
    &["Instant::now", "SystemTime::now", "thread::spawn", "thread::Builder", "thread::scope", "thread::sleep"];
/// Rooms that do: `runtime` for the server, and processes of their own.
const WORLDLY: &[&str] = &["runtime", "load", "tune"];
/// Files of other rooms that do, and how often.
const WORLDLY_FILES: &[(&str, usize)] = &[
    // the recorder's thread
    ("src/capture/recorder.rs", 1),
    // the threads of destinations and of writers, and how long their end is waited for
    ("src/deliver/start.rs", 4),
    // files of headers are read again by a thread of its own
    ("src/deliver/reread.rs", 1),
    // names are resolved by a thread of its own
    ("src/deliver/transport.rs", 1),
    // a writer rests
    ("src/deliver/worker.rs", 1),
    // the log's thread, and a pipe that is full
    ("src/log.rs", 2),
];

/// Where sockets of the system are waited for. What else has sockets, the doors above all, asks a `net::network::Network`.
const SOCKETS: &[&str] = &["src/net/sockets.rs", "src/runtime/", "src/deliver/", "src/load/"];

/// What the generator may share with the server: nothing that a byte of OTLP passes.
const GENERATORS_GROUND: &[&str] = &["files", "limits", "log", "units"];

struct Source {
    /// From the repository's root, with `/`.
    path: String,
    text: String,
}

impl Source {
    /// The room: the folder or file right under `src`.
    fn room(&self) -> &str {
        let inside = self.path.strip_prefix("src/").expect("a source of the library");
        inside.split('/').next().unwrap().trim_end_matches(".rs")
    }

    /// How deep the module is: 0 for the crate's root, 1 for a room.
    fn depth(&self) -> usize {
        let inside = self.path.strip_prefix("src/").expect("a source of the library").trim_end_matches(".rs");
        let parts = inside.split('/').count();
        if inside == "lib" { 0 } else { parts - usize::from(inside.ends_with("/mod")) }
    }

    /// What is compiled without tests: no comments, and no test modules at the end.
    fn code(&self) -> String {
        let lines: Vec<&str> = self.text.lines().collect();
        let is_tests = |at: usize| {
            let next = lines.get(at + 1).copied().unwrap_or_default();
            is_for_tests(lines[at]) && next.contains("mod ") && next.ends_with('{')
        };
        let end = (0..lines.len()).find(|at| is_tests(*at)).unwrap_or(lines.len());
        lines[..end].iter().map(|line| without_comment(line)).collect::<Vec<_>>().join("\n")
    }
}

/// `#[cfg(test)]`, `#[cfg(all(test, …))]`.
fn is_for_tests(line: &str) -> bool {
    line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test,")
}

fn without_comment(line: &str) -> &str {
    if line.trim_start().starts_with("//") { "" } else { line.split_once(" // ").map_or(line, |(code, _)| code) }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files under a folder of the repository, sorted; what tools put there is passed over.
fn files(folder: &Path) -> Vec<PathBuf> {
    const PASSED_OVER: &[&str] = &["target", ".git", "artifacts", "coverage", "node_modules", "__pycache__"];
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_ours = !PASSED_OVER.contains(&path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() && is_ours {
            all.extend(files(&path));
        } else if path.is_file() {
            all.push(path);
        }
    }
    all.sort();
    all
}

fn sources(folders: &[&str]) -> Vec<Source> {
    let mut all = Vec::new();
    for folder in folders {
        for path in files(&root().join(folder)) {
            if path.extension().is_some_and(|end| end == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
                all.push(Source { path, text });
            }
        }
    }
    assert!(!all.is_empty());
    all
}

/// Sources of the library and the binary that are compiled without tests.
fn product() -> Vec<Source> {
    let all = sources(&["src"]);
    // modules that are declared for tests only: `index.rs` and `mod models;` are `index/models.rs` or `index/models/…`
    let mut tests = Vec::new();
    for source in &all {
        let lines: Vec<&str> = source.text.lines().collect();
        for pair in lines.windows(2).filter(|pair| is_for_tests(pair[0])) {
            if let Some(name) = pair[1].strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';')) {
                let folder = source.path.trim_end_matches("mod.rs").trim_end_matches("lib.rs").trim_end_matches(".rs");
                tests.push(format!("{}/{name}", folder.trim_end_matches('/')));
            }
        }
    }
    let is_test = |path: &str| {
        tests
            .iter()
            .any(|test| path.strip_prefix(test.as_str()).is_some_and(|rest| rest == ".rs" || rest.starts_with('/')))
    };
    all.into_iter().filter(|source| !is_test(&source.path)).collect()
}

/// Rooms and their floors, from the table in `src/lib.rs`.
fn floors() -> BTreeMap<String, usize> {
    let text = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let mut floors = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("//! | ")) {
        let mut cells = line.split('|').map(str::trim);
        let (Some(Ok(floor)), Some(rooms)) = (cells.next().map(str::parse::<usize>), cells.next()) else { continue };
        for room in rooms.split_whitespace() {
            assert_eq!(floors.insert(room.to_string(), floor), None, "{room} stands on two floors");
        }
    }
    floors
}

/// Places of `what` in `text` that are not parts of longer words.
fn words<'a>(text: &'a str, what: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(what)
        .map(|(at, _)| at)
        .filter(move |at| !text[..*at].ends_with(is_word) && !text[at + what.len()..].starts_with(is_word))
}

/// The first names behind each `crate::`: one, or those of a group in braces.
fn imported(code: &str) -> Vec<String> {
    let name =
        |path: &str| -> String { path.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    let mut names = Vec::new();
    for at in words(code, "crate") {
        let Some(rest) = code[at + "crate".len()..].strip_prefix("::") else { continue };
        let Some(group) = rest.strip_prefix('{') else {
            names.push(name(rest));
            continue;
        };
        let (mut depth, mut from) = (0, 0);
        for (place, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                ',' if depth == 0 => {
                    names.push(name(&group[from..place]));
                    from = place + 1;
                }
                '}' if depth == 0 => {
                    names.push(name(&group[from..place]));
                    break;
                }
                '}' => depth -= 1,
                _ => {}
            }
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// Compares what was counted with a table of exceptions: neither more nor fewer.
fn check_counts(what: &str, counted: &BTreeMap<String, usize>, allowed: &[(&str, usize)]) {
    let allowed: BTreeMap<String, usize> = allowed.iter().map(|(path, count)| (path.to_string(), *count)).collect();
    for path in counted.keys().chain(allowed.keys()).collect::<BTreeSet<_>>() {
        let (is, may) = (counted.get(path).copied().unwrap_or(0), allowed.get(path).copied().unwrap_or(0));
        assert!(is <= may, "{path}: {is} times {what}, where {may} are excepted");
        assert!(is >= may, "{path}: {may} times {what} are excepted, and there are {is}: make the exception smaller");
    }
}

#[test]
fn every_room_has_a_floor() {
    let floors = floors();
    let rooms: BTreeSet<String> = sources(&["src"]).iter().map(|source| source.room().to_string()).collect();
    let rooms: BTreeSet<&str> = rooms.iter().map(String::as_str).filter(|room| *room != "lib").collect();
    let known: BTreeSet<&str> = floors.keys().map(String::as_str).collect();
    assert_eq!(rooms, known, "the rooms, and the table at the top of src/lib.rs");
}

#[test]
fn imports_go_down_only() {
    let floors = floors();
    let mut upward = BTreeSet::new();
    for source in product().iter().filter(|source| source.path != "src/lib.rs") {
        for name in imported(&source.code()).iter().filter(|name| *name != source.room()) {
            // what stands at the crate's root itself is there for all
            let is_root = name.chars().all(|c| c.is_uppercase() || c == '_');
            let floor = floors.get(name).copied();
            assert!(floor.is_some() || is_root, "{}: crate::{name} is no room", source.path);
            if floor.is_some_and(|floor| floor >= floors[source.room()]) {
                upward.insert(format!("{} to {name}", source.path));
            }
        }
    }
    assert!(upward.is_empty(), "imports that do not go down: {upward:#?}");
}

/// The generator and the sink stand alone: an error of the server's readers and writers is not hidden by a second user.
#[test]
fn the_generator_shares_nothing_with_the_server() {
    for source in sources(&["src/load"]) {
        for name in imported(&source.text) {
            let is_ground = GENERATORS_GROUND.contains(&name.as_str());
            let is_root = name.chars().all(|c| c.is_uppercase() || c == '_');
            assert!(name == "load" || is_ground || is_root, "{}: crate::{name} is the server's", source.path);
        }
    }
}

/// The path that `code` begins with; where it ends in a group in braces, one for each member, groups in groups too.
fn paths(code: &str) -> Vec<String> {
    let is_path = |c: &char| c.is_alphanumeric() || matches!(c, '_' | ':');
    let path: String = code.chars().take_while(is_path).collect();
    let Some(group) = code[path.len()..].strip_prefix('{').filter(|_| path.ends_with("::")) else {
        return vec![path.trim_end_matches(':').to_string()];
    };
    let mut all = Vec::new();
    let (mut depth, mut is_start) = (0, true);
    for (at, c) in group.char_indices() {
        match c {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => is_start = true,
            c if is_start && !c.is_whitespace() => {
                is_start = false;
                all.extend(paths(&group[at..]).iter().map(|rest| format!("{path}{rest}")));
            }
            _ => {}
        }
    }
    all
}

/// The files of `room` that each of its files names, by their paths as modules.
fn named_in(room: &str) -> BTreeMap<String, BTreeSet<String>> {
    let all: Vec<(String, String)> = product()
        .iter()
        .filter(|source| source.room() == room)
        .map(|source| {
            let path = source.path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
            (path.replace('/', "::"), source.code())
        })
        .collect();
    let files: BTreeSet<&str> = all.iter().map(|(path, _)| path.as_str()).collect();
    // the longest beginning of a path that is a file
    let file_of = |path: &str| {
        let ends = path.match_indices("::").map(|(at, _)| at).chain([path.len()]);
        ends.map(|end| &path[..end]).filter(|start| files.contains(start)).last().map(str::to_string)
    };
    let mut named: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (file, code) in &all {
        let own = named.entry(file.clone()).or_default();
        let starts = ["crate", "super"].iter().flat_map(|start| words(code, start));
        // a module's own children are named without a beginning
        let children = files.iter().filter_map(|path| path.strip_prefix(&format!("{file}::")));
        let children = children.filter(|child| !child.contains("::"));
        let starts = starts.chain(children.flat_map(|child| words(code, child)));
        // `pub(super)` and `pub(in crate::…)` say who may look, and need nobody
        for at in starts.filter(|at| !["::", "pub(", "pub(in "].iter().any(|front| code[..*at].ends_with(front))) {
            for path in paths(&code[at..]) {
                let ups = path.split("::").take_while(|part| *part == "super").count();
                let rest: Vec<&str> = path.split("::").skip(ups).collect();
                let base: Vec<&str> = file.split("::").collect();
                let full = match path.strip_prefix("crate::") {
                    Some(full) => full.to_string(),
                    None if ups > 0 => [&base[..base.len().saturating_sub(ups)], &rest[..]].concat().join("::"),
                    // only what is used as a path, not a word that is also a child's name
                    None if code[at..].starts_with(&format!("{}::", rest[0])) => format!("{file}::{path}"),
                    None => continue,
                };
                own.extend(file_of(&full).filter(|of| of != file));
            }
        }
    }
    named
}

/// How many files of a room are still in circles, or between two of them.
const CIRCLES: &[(&str, usize)] = &[];

/// No file needs one that needs it.
#[test]
fn files_of_a_room_go_in_no_circle() {
    let load = named_in("load");
    assert!(load.len() > 20 && load["load::send::sender"].contains("load::send::outbox"), "{load:?}");
    assert!(load["load"].contains("load::send") && load["load::send"].contains("load::send::sender"), "{load:?}");
    let mut circles = BTreeMap::new();
    for room in floors().keys() {
        let mut left = named_in(room);
        // what needs nothing that is left, and what nothing that is left needs, is taken away, until nothing changes
        loop {
            let needed: BTreeSet<String> = left.values().flatten().cloned().collect();
            let free = |(file, needs): (&String, &BTreeSet<String>)| needs.is_empty() || !needed.contains(file);
            let Some(file) = left.iter().find(|entry| free(*entry)).map(|(file, _)| file.clone()) else { break };
            left.remove(&file);
            for needs in left.values_mut() {
                needs.remove(&file);
            }
        }
        if !left.is_empty() {
            println!("{room}: {} in circles or between them: {left:#?}", left.len());
            circles.insert(room.clone(), left.len());
        }
    }
    check_counts("files in circles", &circles, CIRCLES);
}

/// Out of a room the way leads through `crate::`, where the walls are checked.
#[test]
fn no_path_leaves_a_room_by_super() {
    for source in product() {
        let code = source.code();
        for at in words(&code, "super") {
            if code[..at].ends_with("super::") {
                continue;
            }
            let steps = code[at..].split("::").take_while(|part| *part == "super").count();
            let line = code[at..].lines().next().unwrap();
            assert!(steps < source.depth(), "{}: {line} leaves the room", source.path);
        }
    }
}

#[test]
fn unsafe_stands_in_its_rooms_only() {
    let mut allowed = BTreeMap::new();
    for source in sources(&["src"]) {
        let code = source.code();
        let is_room = UNSAFE_ROOMS.iter().any(|room| source.path.starts_with(room));
        let found = words(&code, "unsafe").next().map(|at| code[at..].lines().next().unwrap());
        assert!(is_room || found.is_none(), "{}: {}", source.path, found.unwrap_or_default());
        let count = code.matches("allow(unsafe_code").count() + code.matches("expect(unsafe_code").count();
        if count > 0 {
            allowed.insert(source.path, count);
        }
    }
    check_counts("an allowance of unsafe code", &allowed, UNSAFE_ALLOWED);
    let top = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    assert!(top.lines().any(|line| line.starts_with("#![deny(unsafe_code")), "the crate's root denies it");
}

#[test]
fn time_and_threads_are_arguments() {
    let mut counted = BTreeMap::new();
    for source in product().into_iter().filter(|source| !WORLDLY.contains(&source.room())) {
        let code = source.code();
        // a model's clock is the test's
        let code = if source.path == "src/sync/mod.rs" { code.replace("std::time::Instant::now", "") } else { code };
        let count: usize = WORLD.iter().map(|what| words(&code, what).count()).sum();
        if count > 0 {
            counted.insert(source.path, count);
        }
    }
    check_counts("a clock or a thread", &counted, WORLDLY_FILES);
}

/// The doors and the sessions behind them run over any network, one in memory among them.
#[test]
fn sockets_of_the_system_are_waited_for_in_their_places_only() {
    for source in product() {
        let may = SOCKETS.iter().any(|path| source.path.starts_with(path));
        assert!(may || words(&source.code(), "mio").next().is_none(), "{}: mio, where a Network is asked", source.path);
    }
    for path in SOCKETS {
        assert!(product().iter().any(|source| source.path.starts_with(path)), "{path} is gone");
    }
}

#[test]
fn no_file_is_long_or_large() {
    let mut long = BTreeMap::new();
    for source in sources(&["src", "tests", "benches", "tools", "fuzz"]) {
        let lines = source.text.lines().count();
        if lines > LINES_MAX {
            long.insert(source.path, lines);
        }
    }
    for (path, lines) in &long {
        let may = LONG_FILES.iter().find(|(long, _)| long == path).map_or(LINES_MAX, |(_, lines)| *lines);
        assert!(*lines <= may, "{path} has {lines} lines, {may} are the most: something in it wants a file of its own");
    }
    for (path, _) in LONG_FILES {
        assert!(long.contains_key(*path), "{path} has at most {LINES_MAX} lines: it needs no exception");
    }
    for path in files(&root()) {
        let bytes = path.metadata().unwrap().len();
        assert!(bytes <= FILE_BYTES_MAX, "{}: {bytes} bytes, {FILE_BYTES_MAX} are the most", path.display());
    }
}

/// Every file says what it is, and every room what it does not know.
#[test]
fn headers_say_what_a_room_does_not_know() {
    for source in sources(&["src", "tests", "benches", "tools"]) {
        assert!(source.text.starts_with("//! "), "{}: the first line says what it is", source.path);
        let is_room = source.path.starts_with("src/")
            && source.path.trim_end_matches("/mod.rs").matches('/').count() == 1
            && !matches!(source.path.as_str(), "src/lib.rs" | "src/main.rs");
        let header: String = source.text.lines().map_while(|line| line.strip_prefix("//!")).collect();
        let says = ["not know", "nows no"].iter().any(|words| header.contains(words));
        assert!(!is_room || says, "{}: the header says what the room does not know", source.path);
    }
}

/// Lines of the documents beside this file, by the letter of their section.
fn documented() -> BTreeMap<char, BTreeSet<usize>> {
    let mut known: BTreeMap<char, BTreeSet<usize>> = BTreeMap::new();
    for document in ["CONFORMANCE.md", "THREATS.md"] {
        let text = std::fs::read_to_string(root().join("tests").join(document)).unwrap();
        for line in text.lines() {
            // a line of a list has one or more, a row of a table one, an invariant is bold
            let starts: Vec<&str> = match line.get(..2) {
                Some("- ") => line[2..].split(['.', ';']).chain(line.split("**").skip(1).step_by(2)).collect(),
                Some("| ") => vec![&line[2..]],
                _ => vec![],
            };
            for (letter, number) in starts.iter().filter_map(|start| citation(start.trim_start().split(' ').next()?)) {
                known.entry(letter).or_default().insert(number);
            }
        }
    }
    known
}

/// `T21` as its letter and number.
fn citation(word: &str) -> Option<(char, usize)> {
    let letter = word.chars().next().filter(char::is_ascii_uppercase)?;
    let digits = &word[1..];
    let is_number = matches!(digits.len(), 1 | 2) && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| Some((letter, digits.parse().ok()?))).flatten()
}

/// Names of types that may stand for several, and why.
const SHARED_NAMES: &[(&str, &str)] = &[
    ("Options", "every room has its own"),
    ("Stats", "every room has its own"),
    ("Folded", "what the fold of a shape gives, each shape's own, said with its file"),
];

/// The types of a file that others can name: public ones, of the crate or of a room.
fn named_types(code: &str) -> Vec<String> {
    let named = |line: &str| {
        let rest = line.trim_start().strip_prefix("pub")?;
        // how far it may be seen
        let rest = if rest.starts_with('(') { rest.split_once(')')?.1 } else { rest };
        let rest = rest.strip_prefix(' ')?;
        let rest = rest.strip_prefix("unsafe ").unwrap_or(rest);
        let (what, rest) = rest.split_once(' ')?;
        let name = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        ["struct", "enum", "union", "trait", "type"].contains(&what).then_some(name)
    };
    code.lines().filter_map(named).collect()
}

/// No two types of one name: who meets one in a file that imports several rooms need not look where it is from. The
/// generator and the sink are judged by themselves, as they share nothing with the server.
#[test]
fn types_have_names_of_their_own() {
    let mut named: BTreeMap<(bool, String), Vec<String>> = BTreeMap::new();
    for source in product() {
        for name in named_types(&source.code()) {
            named.entry((source.room() == "load", name)).or_default().push(source.path.clone());
        }
    }
    assert!(named.len() > 300, "{}", named.len());
    named.retain(|_, paths| paths.len() > 1);
    let several: BTreeSet<&str> = named.keys().map(|(_, name)| name.as_str()).collect();
    let excepted: BTreeSet<&str> = SHARED_NAMES.iter().map(|(name, _)| *name).collect();
    let new: Vec<_> = named.iter().filter(|((_, name), _)| !excepted.contains(name.as_str())).collect();
    assert!(new.is_empty(), "types of one name: {new:#?}");
    let gone: Vec<_> = excepted.difference(&several).collect();
    assert!(gone.is_empty(), "no longer shared, take them out of SHARED_NAMES: {gone:?}");
}

#[test]
fn the_documents_leave_no_number_out() {
    let known = documented();
    assert_eq!(known.keys().collect::<String>(), "EIJMRSTWX");
    for (letter, numbers) in known {
        let last = *numbers.last().unwrap();
        assert!(numbers.iter().copied().eq(1..=last), "{letter}: {numbers:?}");
    }
}

/// A line that is cited, in a comment or in a test's name, is there.
#[test]
fn citations_point_somewhere() {
    let known = documented();
    let (mut cited, mut wrong) = (0, Vec::new());
    for source in sources(&["src", "tests", "benches", "tools", "fuzz"]) {
        let lines: Vec<&str> = source.text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let name = line
                .trim_start()
                .strip_prefix("fn ")
                .filter(|_| lines[..at].last().is_some_and(|l| l.trim() == "#[test]"));
            let found: Vec<String> = match (line.split_once("//"), name) {
                (Some((_, comment)), _) => {
                    comment.split(|c: char| !c.is_ascii_alphanumeric()).map(str::to_string).collect()
                }
                (None, Some(name)) => name.split(|c: char| !c.is_ascii_alphanumeric()).map(str::to_uppercase).collect(),
                _ => continue,
            };
            for (letter, number) in found.iter().filter_map(|word| citation(word)) {
                let Some(numbers) = known.get(&letter) else { continue };
                cited += 1;
                if !numbers.contains(&number) {
                    wrong.push(format!("{}:{}: {letter}{number} is no line of {letter}", source.path, at + 1));
                }
            }
        }
    }
    assert!(cited > 250, "{cited}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_readers_of_this_file_read_right() {
    let code = "use crate::{a::{b, c}, d};\ncrate::e::f();\nsubcrate::g; crate_::h; use crate::i as j;";
    assert_eq!(imported(code), ["a", "d", "e", "i"]);
    assert_eq!(paths("super::{a, b::{c,\n D}, e::f} + g"), ["super::a", "super::b::c", "super::b::D", "super::e::f"]);
    assert_eq!((paths("crate::a::b(c)"), paths("super::x;")), (vec!["crate::a::b".into()], vec!["super::x".into()]));
    let code =
        "pub struct A<T>;\n    pub(in crate::b) enum B {\nstruct C;\npub fn d() {\npub(super) unsafe trait E: F {";
    assert_eq!(named_types(code), ["A", "B", "E"]);
    assert_eq!(words("unsafe unsafe_code not_unsafe (unsafe)", "unsafe").collect::<Vec<_>>(), [0, 31]);
    assert_eq!(["T21", "W3C", "t1", "A", "", "M100"].map(citation), [Some(('T', 21)), None, None, None, None, None]);
    assert_eq!(without_comment("let a = \"http://b\"; // c"), "let a = \"http://b\";");
    let source = |text: &str| Source { path: "src/a/b.rs".into(), text: text.into() };
    assert_eq!(source("a\n#[cfg(all(test, not(loom)))]\nmod tests {\nb").code(), "a");
    assert_eq!((source("").room(), source("").depth()), ("a", 2));
}
