//! Where settings are read from: `--config` as a URI, to texts with a name for each.
//!
//! Knows paths, variables and bounds; does not know YAML, keys or a network: what fetches `http:` and `https:` is handed in.
//!
//! | URI | text |
//! |---|---|
//! | `PATH`, `file:PATH` | the file; of a folder each `*.yaml` and `*.yml` in the order of their names |
//! | `env:NAME` | what the variable holds |
//! | `yaml:TEXT` | the rest of the URI |
//! | `http://…`, `https://…` | what is there |
//!
//! A pipe or a device gives its text once: it may be named at the start, and is not read again. In a folder, and where a file
//! was at the start, only a regular file is opened: a pipe that nobody writes to would keep whoever opens it for good.
//!
//! Bounds: `limits::CONFIG_BYTES_MAX` a text, `limits::CONFIG_FILES_MAX` texts of a folder. The forms and their names are those
//! of the OpenTelemetry Collector's configuration providers.

use crate::files::unread;
use crate::limits::{CONFIG_BYTES_MAX, CONFIG_FILES_MAX};
use crate::problem::Flaw;
use std::fs::{File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A text with the name that problems in it begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceText {
    /// The path, or the URI without what it holds.
    pub name: String,
    /// What is there.
    pub text: String,
}

/// What a network hands out: the bytes at a URL, or why there are none.
pub type Fetch<'a> = &'a mut dyn FnMut(&str) -> Result<Vec<u8>, Flaw>;

/// The texts of one `--config`.
///
/// # Errors
/// The name of what cannot be read, and why.
pub fn load(uri: &str, fetch: Fetch<'_>) -> Result<Vec<SourceText>, (String, Flaw)> {
    FirstTexts::default().load(uri, fetch)
}

/// What `--config` gave at the start, for those who read it again.
#[derive(Debug, Default)]
pub struct FirstTexts {
    /// By URI, what came from a pipe or a device.
    once: Vec<(String, SourceText)>,
    /// Of the texts of regular files, in the order in which they were read.
    hasher: DefaultHasher,
}

impl FirstTexts {
    /// The texts of one more `--config`, read for the first time.
    ///
    /// # Errors
    /// As `load`.
    pub fn load(&mut self, uri: &str, fetch: Fetch<'_>) -> Result<Vec<SourceText>, (String, Flaw)> {
        let Some(path) = file_of(uri) else { return elsewhere(uri, fetch) };
        // what cannot be asked for its kind is refused when it is opened
        if path.metadata().is_ok_and(|there| !there.is_file() && !there.is_dir()) {
            let text = named(path, File::open(path).and_then(bytes).map_err(unreadable))?;
            self.once.push((uri.to_owned(), text.clone()));
            return Ok(vec![text]);
        }
        let texts = regular_texts(path)?;
        texts.iter().for_each(|text| note(&mut self.hasher, &text.name, Ok(text.text.as_bytes())));
        Ok(texts)
    }

    /// The texts of one `--config` as it stands there now; of what gave its text once, that one.
    ///
    /// # Errors
    /// As `load`; what is no regular file now is refused.
    pub fn load_again(&self, uri: &str, fetch: Fetch<'_>) -> Result<Vec<SourceText>, (String, Flaw)> {
        match (self.given_once(uri), file_of(uri)) {
            (Some(text), _) => Ok(vec![text.clone()]),
            (None, Some(path)) => regular_texts(path),
            (None, None) => elsewhere(uri, fetch),
        }
    }

    /// As `look` of the same `--config`, of what was read at the start.
    pub fn first_look(&self) -> u64 {
        self.hasher.finish()
    }

    /// A hash of what the regular files among these `--config` hold, and of which there are; links are followed. What cannot be
    /// read is a text of its own. What is no file, or gave its text once, is not looked at.
    pub fn look(&self, uris: &[&str]) -> u64 {
        let mut hasher = DefaultHasher::new();
        let looked_at = uris.iter().filter(|uri| self.given_once(uri).is_none());
        for path in looked_at.filter_map(|uri| file_of(uri)) {
            match paths(path) {
                Ok(paths) => paths.iter().for_each(|path| {
                    let bytes = regular(path).map_err(|flaw| flaw.to_string());
                    note(&mut hasher, &path.display().to_string(), bytes.as_deref().map_err(String::as_str));
                }),
                Err((name, flaw)) => note(&mut hasher, &name, Err(&flaw.to_string())),
            }
        }
        hasher.finish()
    }

    fn given_once(&self, uri: &str) -> Option<&SourceText> {
        self.once.iter().find(|(known, _)| known == uri).map(|(_, text)| text)
    }
}

fn note(hasher: &mut DefaultHasher, name: &str, bytes: Result<&[u8], &str>) {
    (name, bytes).hash(hasher);
}

/// The path, where the URI names a file or a folder.
fn file_of(uri: &str) -> Option<&Path> {
    let is_elsewhere = ["yaml:", "env:", "http://", "https://"].iter().any(|start| uri.starts_with(start));
    (!is_elsewhere).then(|| Path::new(uri.strip_prefix("file:").unwrap_or(uri)))
}

/// The text of what is no file.
fn elsewhere(uri: &str, fetch: Fetch<'_>) -> Result<Vec<SourceText>, (String, Flaw)> {
    let one = |name: &str, bytes: Result<Vec<u8>, Flaw>| {
        let text = bytes.and_then(text_of).map_err(|flaw| (name.to_owned(), flaw))?;
        Ok(vec![SourceText { name: name.to_owned(), text }])
    };
    if let Some(text) = uri.strip_prefix("yaml:") {
        return one("yaml", Ok(text.as_bytes().to_vec()));
    }
    if let Some(name) = uri.strip_prefix("env:") {
        let missing = || Flaw::predicate("is not set").remedy("set the variable, or leave --config out");
        let bytes = std::env::var_os(name).map(std::ffi::OsString::into_encoded_bytes).ok_or_else(missing);
        return one(uri, bytes);
    }
    one(&without_secrets(uri), fetch(uri))
}

/// The texts of a regular file, or of those of a folder.
fn regular_texts(path: &Path) -> Result<Vec<SourceText>, (String, Flaw)> {
    paths(path)?.iter().map(|path| named(path, regular(path))).collect()
}

/// The files that a path stands for.
fn paths(path: &Path) -> Result<Vec<PathBuf>, (String, Flaw)> {
    if path.as_os_str().is_empty() {
        let flaw = Flaw::new("nothing is named").allowed("give a path, file:, env:, yaml:, http: or https:");
        return Err((path.display().to_string(), flaw));
    }
    if path.is_dir() { folder(path).map_err(|flaw| (path.display().to_string(), flaw)) } else { Ok(vec![path.into()]) }
}

/// What was read at a path, as a text of that name.
fn named(path: &Path, bytes: Result<Vec<u8>, Flaw>) -> Result<SourceText, (String, Flaw)> {
    let name = path.display().to_string();
    match bytes.and_then(text_of) {
        Ok(text) => Ok(SourceText { name, text }),
        Err(flaw) => Err((name, flaw)),
    }
}

/// The files of a folder that hold settings.
fn folder(path: &Path) -> Result<Vec<PathBuf>, Flaw> {
    let mut paths = Vec::new();
    for entry in path.read_dir().map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let is_yaml = path.extension().is_some_and(|end| end == "yaml" || end == "yml");
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if is_yaml && !is_hidden && !path.is_dir() {
            paths.push(path);
        }
        if paths.len() > CONFIG_FILES_MAX {
            return Err(Flaw::predicate(format!("has more than {CONFIG_FILES_MAX} files of settings")));
        }
    }
    paths.sort();
    if paths.is_empty() {
        return Err(Flaw::predicate("has no file *.yaml or *.yml").remedy("name a file"));
    }
    Ok(paths)
}

/// The bytes of a regular file, up to the limit. Waits for nobody who writes: what is something else is not opened.
fn regular(path: &Path) -> Result<Vec<u8>, Flaw> {
    if path.metadata().map_err(unreadable)?.is_file() {
        // it may have been exchanged since
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(unreadable)?;
        if file.metadata().map_err(unreadable)?.is_file() {
            return bytes(file).map_err(unreadable);
        }
    }
    let fault = "is a device, pipe or socket, and only a regular file is read in a folder and at a reload";
    Err(Flaw::predicate(fault).remedy("put a regular file there"))
}

/// The bytes of a file, up to the limit.
fn bytes(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(CONFIG_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(error: io::Error) -> Flaw {
    Flaw::predicate(unread(&error))
}

fn text_of(bytes: Vec<u8>) -> Result<String, Flaw> {
    if bytes.len() > CONFIG_BYTES_MAX {
        let fault = format!("is longer than {CONFIG_BYTES_MAX} bytes");
        return Err(Flaw::predicate(fault).remedy("give it in several files"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line =
            1 + error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        Flaw::predicate(format!("is no UTF-8 from line {line} on")).remedy("save it as UTF-8")
    })
}

/// A URL without the user's name and password, and without its query: both may hold a secret.
fn without_secrets(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

/// `text` with each `${env:NAME}` and `${env:NAME:-default}` put in, and `$$` for a dollar; an unknown `${…` is an error.
///
/// What is put in is a text and stays one: it makes no keys and no lists, whatever it holds.
///
/// # Errors
/// What cannot be put in.
pub fn expand(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, Flaw> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let Some(inside) = rest.strip_prefix('{') else {
            out.push('$');
            continue;
        };
        let forms = "write ${env:NAME} or ${env:NAME:-default}, and $$ for a dollar";
        let Some((inside, after)) = inside.split_once('}') else {
            return Err(Flaw::new("`${` has no `}`").allowed(forms));
        };
        rest = after;
        let Some(inside) = inside.strip_prefix("env:") else {
            // not repeated: it may be a piece of a secret that has a dollar in it
            return Err(Flaw::new("what stands in `${…}` is none of the forms there are").allowed(forms));
        };
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        if default.is_some_and(|default| default.contains("${")) {
            return Err(Flaw::new("a default has no `${…}` within it").allowed(forms));
        }
        let is_name = |name: &str| {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
                && !name.as_bytes()[0].is_ascii_digit()
        };
        if !is_name(name) {
            return Err(Flaw::new("what stands behind `${env:` is no name of a variable").allowed(forms));
        }
        // an empty variable counts as not set, as everywhere
        match variable(name).filter(|value| !value.is_empty()).or(default.map(str::to_owned)) {
            Some(value) => out.push_str(&value),
            None => {
                let remedy = format!("set it, or write ${{env:{name}:-default}}");
                return Err(Flaw::new(format!("the variable {name} is not set")).remedy(remedy));
            }
        }
        if out.len() > CONFIG_BYTES_MAX {
            return Err(Flaw::new("with its variables it is too long"));
        }
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &str) -> Result<Vec<u8>, Flaw> {
        panic!("nothing is fetched")
    }

    fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("catchment-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn words(uri: &str) -> String {
        let (name, flaw) = load(uri, &mut nothing).unwrap_err();
        format!("{name} {flaw}")
    }

    #[test]
    fn each_form_gives_its_text() {
        let folder = scratch("config-sources");
        std::fs::write(folder.join("b.yaml"), "b: 1\n").unwrap();
        std::fs::write(folder.join("a.yml"), "a: 1\n").unwrap();
        std::fs::write(folder.join(".hidden.yaml"), "h: 1\n").unwrap();
        std::fs::write(folder.join("notes.txt"), "n: 1\n").unwrap();
        let texts = |uri: &str| load(uri, &mut nothing).unwrap().into_iter().map(|text| text.text).collect::<Vec<_>>();
        let path = folder.display().to_string();
        assert_eq!(texts(&path), ["a: 1\n", "b: 1\n"], "files of settings, in the order of their names");
        assert_eq!(texts(&format!("file:{path}/b.yaml")), ["b: 1\n"]);
        assert_eq!(texts(&format!("{path}/b.yaml")), ["b: 1\n"]);
        assert_eq!(texts("yaml:{interval: 5s}"), ["{interval: 5s}"]);
        let mut fetched = |url: &str| Ok(format!("# {url}\n").into_bytes());
        let text = load("https://me:secret@host/a?token=secret", &mut fetched).unwrap();
        assert_eq!(text[0].name, "https://host/a", "what may be a secret is not shown");
        assert_eq!(text[0].text, "# https://me:secret@host/a?token=secret\n");
    }

    #[test]
    fn what_cannot_be_read_is_told_in_words() {
        let folder = scratch("config-unread");
        let path = folder.display().to_string();
        assert!(words(&path).contains("has no file *.yaml"), "{}", words(&path));
        assert!(words(&format!("{path}/absent.yaml")).contains("cannot be read"));
        std::fs::write(folder.join("latin.yaml"), b"a: 1\nb: caf\xe9\n").unwrap();
        assert!(words(&format!("{path}/latin.yaml")).contains("no UTF-8 from line 2"));
        let huge = std::fs::File::create(folder.join("huge.yaml")).unwrap();
        huge.set_len(1 << 30).unwrap();
        assert!(words(&format!("{path}/huge.yaml")).contains("is longer than"), "a sparse GiB is not read whole");
        assert!(words("env:CATCHMENT_NO_SUCH_VARIABLE").contains("is not set"));
        assert!(words("file:").contains("nothing is named"));
    }

    /// A pipe that nobody writes to keeps nobody, in a folder or where a file was; what was read from one is what it gave.
    #[test]
    fn a_pipe_is_read_once_and_holds_nobody_up() {
        let folder = scratch("config-pipes");
        let (pipe, file) = (folder.join("pipe"), folder.join("a.yaml"));
        let fifo = |path: &Path| {
            let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
            rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        };
        fifo(&pipe);
        std::fs::write(&file, "a: 1\n").unwrap();
        let (to, of) = (pipe.clone(), pipe.display().to_string());
        let writer = std::thread::spawn(move || std::fs::write(to, "p: 1\n").unwrap());
        let mut first = FirstTexts::default();
        let uris = [&*of, file.to_str().unwrap(), "yaml:{y: 1}"];
        for uri in uris {
            assert_eq!(first.load(uri, &mut nothing).unwrap().len(), 1);
        }
        writer.join().unwrap();
        assert_eq!(first.look(&uris), first.first_look(), "nothing has changed");
        assert_eq!(first.load_again(&of, &mut nothing).unwrap()[0].text, "p: 1\n", "it gave that");
        std::fs::write(&file, "a: 2\n").unwrap();
        assert_eq!(first.load_again(uris[1], &mut nothing).unwrap()[0].text, "a: 2\n");
        let changed = first.look(&uris);
        assert_ne!(changed, first.first_look());
        std::fs::remove_file(&file).unwrap();
        fifo(&file);
        let refused = |texts: Result<Vec<SourceText>, (String, Flaw)>| texts.unwrap_err().1.to_string();
        let folder = folder.to_str().unwrap();
        let all = [
            first.load_again(uris[1], &mut nothing),
            first.load_again(folder, &mut nothing),
            load(folder, &mut nothing),
        ];
        for texts in all {
            let words = refused(texts);
            assert!(words.contains("only a regular file is read"), "{words}");
        }
        assert_ne!(first.look(&uris), changed);
    }

    #[test]
    fn variables_are_put_in_as_text() {
        let variable = |name: &str| match name {
            "HOST" => Some("db:4317".to_owned()),
            "EMPTY" => Some(String::new()),
            "NEST" => Some("${env:HOST}".to_owned()),
            _ => None,
        };
        let check = |text: &str, want: Result<&str, &str>| match (expand(text, &variable), want) {
            (Ok(got), Ok(want)) => assert_eq!(got, want, "{text}"),
            (Err(flaw), Err(part)) => assert!(flaw.to_string().contains(part), "{text}: {flaw}"),
            (got, want) => panic!("{text}: {got:?}, not {want:?}"),
        };
        check("otlp-grpc://${env:HOST}/", Ok("otlp-grpc://db:4317/"));
        check("${env:ABSENT:-there}", Ok("there"));
        check("${env:ABSENT:-}", Ok(""));
        check("${env:EMPTY:-there}", Ok("there"));
        check("${env:NEST}", Ok("${env:HOST}"));
        check("a$$b $c $", Ok("a$b $c $"));
        check("$${env:HOST}", Ok("${env:HOST}"));
        check("${env:ABSENT}", Err("the variable ABSENT is not set"));
        check("${env:EMPTY}", Err("is not set"));
        check("${HOST}", Err("write ${env:NAME}"));
        check("${env:HOST", Err("has no `}`"));
        check("${env:1A}", Err("no name of a variable"));
        check("${env:ABSENT:-${env:HOST}}", Err("a default has no"));
    }
}
