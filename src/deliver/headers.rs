//! Headers that the operator adds to every request: `--out-header NAME=VALUE`, `NAME=@FILE`, `?headers=FILE`.
//!
//! Does not know: destinations. Values are secrets: nothing here, no error among it, repeats one (T21), nor a name that
//! is none, because `Authorization: Bearer …` written with a colon has its secret there.
//!
//! Invariants:
//! 1. `Debug` and `Display` of a `Secret` or of `Headers` show no value; values are marked sensitive, so that HTTP/2
//!    never puts them into its compression tables (RFC 7541 section 7.1.3).
//! 2. A name we set ourselves, or that belongs to the connection, is refused.
//!
//! Bounds: `OUT_HEADERS_MAX` headers of `OUT_HEADERS_BYTES_MAX` together, for one destination.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::reading::{is_regular, read_file};
use crate::limits::{OUT_HEADERS_BYTES_MAX, OUT_HEADERS_MAX};
use crate::problem::{Flaw, Problem};

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Secret(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Secret(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

/// Headers of one destination.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(HeaderName, HeaderValue)>);

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(name, _)| (name.as_str(), "[REDACTED]"))).finish()
    }
}

/// Where the headers of one destination come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderSources {
    /// `--out-header`, each.
    pub(super) of_all: Arc<[Secret]>,
    /// `?headers=`
    pub(super) own: Option<PathBuf>,
}

impl HeaderSources {
    /// Files that they are read from.
    fn files(&self) -> impl Iterator<Item = &Path> {
        let of_all = self.of_all.iter().filter_map(|Secret(text)| text.split_once('=')?.1.strip_prefix('@'));
        of_all.map(Path::new).chain(self.own.as_deref())
    }

    /// Whether there is a file that may say something else by now.
    pub(super) fn have_files(&self) -> bool {
        self.files().next().is_some()
    }

    /// Reads them as they are by now.
    ///
    /// # Errors
    /// What is wrong with them; it repeats no value. A file that is none any more, or never was a regular one, is not read.
    pub(super) fn read_again(&self) -> Result<Headers, Flaw> {
        if !self.files().all(is_regular) {
            return Err(Flaw::new("a file of headers is not there, or no regular file"));
        }
        let own = self.own.as_deref().map(Headers::from_file).transpose()?.unwrap_or_default();
        // the words of a problem name its option, which is what is wanted here, too
        let of_all = Headers::from_options(&self.of_all).map_err(|problem| Flaw::new(problem.to_string()))?;
        own.over(&of_all)
    }
}

/// The setting that this is about.
const KEY: &str = "out-header";

/// Names set by us, of the connection, or that mean something to a proxy which we do not have.
const RESERVED: [&str; 18] = [
    "accept-encoding",
    "catchment-hops",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
];

impl Headers {
    /// The headers of `--out-header`, in the order they were given.
    ///
    /// # Errors
    /// The first that cannot be sent; it repeats no value.
    pub(super) fn from_options(options: &[Secret]) -> Result<Headers, Problem> {
        let mut headers = Headers::default();
        for (number, Secret(text)) in (1..).zip(options) {
            let added = headers.add(text, true);
            added.map_err(|flaw| Problem::new(KEY, format!("(number {number})"), flaw))?;
        }
        headers.check().map_err(|flaw| Problem::bare(KEY, flaw))
    }

    /// The headers of a file: a NAME=VALUE a line; empty lines, and lines that begin with `#`, are skipped.
    ///
    /// # Errors
    /// What is wrong, with the line's number; it repeats no value.
    pub(super) fn from_file(path: &Path) -> Result<Headers, Flaw> {
        // a header in the place of its file may be a secret
        let is_header = path.to_string_lossy().contains(['=', ' ']) && !path.exists();
        let not_repeated = "a path is expected, and what was given is not repeated as it may be a secret";
        let shown = if is_header { not_repeated.to_owned() } else { path.display().to_string() };
        let text = read_file(path, OUT_HEADERS_BYTES_MAX).map_err(|flaw| flaw.of(&shown))?;
        let text = String::from_utf8(text).map_err(|_| Flaw::predicate("is no UTF-8 text").of(&shown))?;
        let mut headers = Headers::default();
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if !line.is_empty() && !line.starts_with('#') {
                headers.add(line, false).map_err(|flaw| flaw.of(format_args!("{shown}, line {number}")))?;
            }
        }
        headers.check().map_err(|flaw| flaw.of(&shown))
    }

    /// These, and of `base` those whose name is not among them.
    ///
    /// # Errors
    /// When these are too many or too long together.
    pub(super) fn over(mut self, base: &Headers) -> Result<Headers, Flaw> {
        let missing: Vec<_> =
            base.0.iter().filter(|(name, _)| self.0.iter().all(|(own, _)| own != name)).cloned().collect();
        self.0.extend(missing);
        self.check()
    }

    /// There is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Name and value of each.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(HeaderName, HeaderValue)> {
        self.0.iter()
    }

    fn add(&mut self, text: &str, files: bool) -> Result<(), Flaw> {
        let Some((name, value)) = text.split_once('=') else {
            return Err(Flaw::new("there is no `=`").remedy("write NAME=VALUE"));
        };
        let name = name.trim();
        let name: HeaderName = name.parse().map_err(|_| {
            let fault = "what stands before the `=` is no header name (it is not repeated here: it may hold a secret)";
            Flaw::new(fault).remedy("write NAME=VALUE, with `=` and not `:`")
        })?;
        if RESERVED.contains(&name.as_str()) || name.as_str().starts_with("grpc-") {
            let fault = format!("`{name}` is set by Catchment itself, or by no client");
            return Err(Flaw::new(fault).remedy("leave it out"));
        }
        if self.0.iter().any(|(other, _)| *other == name) {
            return Err(Flaw::new(format!("`{name}` stands twice")).remedy("keep one"));
        }
        let from_file = value.strip_prefix('@').filter(|_| files);
        let value = match from_file {
            Some(path) => {
                // what stands there could be a secret that begins with an @: it is not repeated either
                let text = read_file(Path::new(path), OUT_HEADERS_BYTES_MAX).map_err(|flaw| {
                    let fault = format!("`{name}`: the file that stands after the @ (not shown here) {flaw}");
                    let remedy = "write NAME=@FILE; a value that begins with an @ itself is given in a file";
                    Flaw::new(fault).remedy(remedy)
                })?;
                String::from_utf8(text).unwrap_or_default()
            }
            None => value.to_owned(),
        };
        // gRPC's metadata takes no more than this, HTTP/1.1 means no more by it
        let text = Some(value.trim()).filter(|text| text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        let value = text.and_then(|text| HeaderValue::from_str(text).ok()).filter(|value| !value.is_empty());
        let mut value = value.ok_or_else(|| {
            let fault = format!("`{name}`: the value (not shown here) is empty or not printable ASCII on one line");
            Flaw::new(fault).remedy("write NAME=VALUE")
        })?;
        value.set_sensitive(true);
        self.0.push((name, value));
        Ok(())
    }

    fn check(self) -> Result<Headers, Flaw> {
        let bytes: usize = self.0.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if self.0.len() > OUT_HEADERS_MAX || bytes > OUT_HEADERS_BYTES_MAX {
            let most = format!("at most {OUT_HEADERS_MAX} of {OUT_HEADERS_BYTES_MAX} bytes together can be sent");
            return Err(Flaw::new(format!("{} headers of {bytes} bytes", self.0.len())).remedy(most));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANARY: &str = "canary-5up3r-s3cret";

    fn parse(texts: &[&str]) -> Result<Headers, String> {
        let options: Vec<_> = texts.iter().map(|text| Secret::from(*text)).collect();
        Headers::from_options(&options).map_err(|problem| problem.to_string())
    }

    /// T21: neither what is kept nor what is refused shows a value.
    #[test]
    fn t21_values_are_never_shown() {
        let kept = parse(&[&format!("authorization=Bearer {CANARY}"), &format!("x-api-key={CANARY}==")]).unwrap();
        let shown = format!("{kept:?} {:?} {0}", Secret::from(CANARY));
        assert!(!shown.contains(CANARY) && shown.contains("[REDACTED]") && shown.contains("authorization"), "{shown}");
        assert!(kept.iter().all(|(_, value)| value.is_sensitive() && !format!("{value:?}").contains(CANARY)));
        assert_eq!(
            kept.iter().nth(1).unwrap().1.to_str().unwrap(),
            format!("{CANARY}=="),
            "only the first = separates"
        );
        for (text, words) in [
            (CANARY.to_owned(), "NAME=VALUE"),
            (format!("Authorization: Bearer {CANARY}="), "not `:`"),
            (format!("={CANARY}"), "NAME=VALUE"),
            (format!("x={CANARY}\nx: y"), "printable ASCII"),
            (format!("x={CANARY}\u{e9}"), "printable ASCII"),
            ("x=".to_owned(), "empty"),
            (format!("host={CANARY}"), "`host` is set by Catchment"),
            (format!("Content-Type={CANARY}"), "`content-type`"),
            (format!("grpc-timeout={CANARY}"), "`grpc-timeout`"),
            (format!("te={CANARY}"), "`te`"),
            (format!(":path={CANARY}"), "no header name"),
            (format!("x=@/no/such/{CANARY}"), "the file that stands after the @"),
            (format!("x=@{CANARY}"), "begins with an @ itself"),
            (format!("x={CANARY}{}", "y".repeat(OUT_HEADERS_BYTES_MAX)), "at most"),
        ] {
            let error = parse(&[&text]).expect_err(&text);
            assert!(
                error.contains(words) && !error.contains(CANARY) && error.contains("--out-header"),
                "{text}: {error}"
            );
        }
        assert!(parse(&["a=1", "A=2"]).unwrap_err().contains("twice"));
        let many: Vec<String> = (0..=OUT_HEADERS_MAX).map(|n| format!("x-{n}=1")).collect();
        assert!(parse(&many.iter().map(String::as_str).collect::<Vec<_>>()).unwrap_err().contains("at most 32"));
    }

    #[test]
    fn files_hold_a_value_or_many_headers() {
        let folder = std::env::temp_dir().join(format!("catchment-headers-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("value");
        std::fs::write(&path, format!("Bearer {CANARY}\n")).unwrap();
        let one = parse(&[&format!("authorization=@{}", path.display())]).unwrap();
        assert_eq!(one.iter().next().unwrap().1.to_str().unwrap(), format!("Bearer {CANARY}"));
        std::fs::write(&path, "# of the vendor\n\nx-tenant = t1\r\nauthorization=@not a file\n").unwrap();
        let own = Headers::from_file(&path).unwrap();
        let all = own.over(&parse(&["authorization=global", "x-more=1"]).unwrap()).unwrap();
        let shown: Vec<_> = all.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect();
        assert_eq!(shown, ["x-tenant=t1", "authorization=@not a file", "x-more=1"], "its own come before those of all");
        let lines: String = (0..OUT_HEADERS_MAX).map(|n| format!("x-{n}=1\n")).collect();
        std::fs::write(&path, lines).unwrap();
        let full = Headers::from_file(&path).unwrap();
        assert!(full.clone().over(&Headers::default()).is_ok());
        assert!(
            full.over(&parse(&["authorization=one-more"]).unwrap()).unwrap_err().to_string().contains("at most 32")
        );
        std::fs::write(&path, format!("a=1\nb {CANARY}\n")).unwrap();
        let error = Headers::from_file(&path).unwrap_err().to_string();
        assert!(error.contains("line 2") && !error.contains(CANARY), "{error}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
