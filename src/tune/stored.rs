//! The stored result: `catchment tune --save FILE` writes it, `catchment run --shards auto --tuning FILE` reads it.
//!
//! One JSON object, that of `tune --json`; read are `recommended`, `processor` and `cores`. There is no default place:
//! what a server does depends on nothing that its command line does not name.

use super::machine::Machine;
use super::report::TuneReport;
use crate::limits::{SHARDS_MAX, TUNING_FILE_BYTES_MAX};
use crate::problem::{Flaw, Problem};
use serde_json::Value;
use std::io::Read;
use std::path::Path;

/// Writes it, whole or not at all.
pub(super) fn save(report: &TuneReport, path: &Path) -> Result<(), String> {
    let text = report.json() + "\n";
    let told = |error| format!("--save {}: {}", path.display(), crate::files::unwritten(path, &error));
    crate::files::replace(path, text.as_bytes()).map_err(told)
}

/// What a file says on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// So many shards.
    Count(usize),
    /// It does not count here: why.
    Elsewhere(String),
}

/// The count in the file, if it was measured on this machine; warns if not. An error is a file that cannot be read, or is no
/// tuning result.
pub fn stored_count(path: &Path) -> Result<Option<usize>, Problem> {
    let named = |why: String| {
        let flaw = Flaw::new(why).allowed("make it with catchment tune --save");
        Problem::new("tuning", path.display().to_string(), flaw)
    };
    let mut text = String::new();
    let opened = std::fs::File::open(path).and_then(|file| file.take(TUNING_FILE_BYTES_MAX).read_to_string(&mut text));
    opened.map_err(|error| named(crate::files::unread(&error)))?;
    match read(&text, &Machine::here()).map_err(named)? {
        Found::Count(count) => Ok(Some(count)),
        Found::Elsewhere(why) => {
            crate::log::warn(format_args!(
                "--tuning {}: {why}; --shards auto takes the available cores",
                path.display()
            ));
            Ok(None)
        }
    }
}

/// Reads the text of a file.
pub(super) fn read(text: &str, here: &Machine) -> Result<Found, String> {
    let value: Value = serde_json::from_str(text).map_err(|_| "this is no tuning result: it is no JSON".to_owned())?;
    let missing = |key: &str| format!("this is no tuning result: no valid \"{key}\"");
    let count = value["recommended"].as_u64().filter(|n| (1..=SHARDS_MAX as u64).contains(n));
    let count = count.ok_or_else(|| missing("recommended"))? as usize;
    let processor = value["processor"].as_str().ok_or_else(|| missing("processor"))?;
    let cores = value["cores"].as_u64().ok_or_else(|| missing("cores"))?;
    if processor == here.processor && cores == here.cores as u64 {
        return Ok(Found::Count(count));
    }
    Ok(Found::Elsewhere(format!(
        "it was measured on {processor} with {cores} cores, and this is {} with {}",
        here.processor, here.cores
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_counts_only_on_the_machine_it_was_measured_on() {
        let here = Machine { processor: "Some CPU".into(), cores: 8 };
        let text = |processor: &str, cores: i64, count: &str| {
            format!("{{\"recommended\":{count},\"processor\":\"{processor}\",\"cores\":{cores}}}")
        };
        assert_eq!(read(&text("Some CPU", 8, "6"), &here), Ok(Found::Count(6)));
        for (processor, cores) in [("Another CPU", 8), ("Some CPU", 4)] {
            let found = read(&text(processor, cores, "6"), &here);
            assert!(matches!(&found, Ok(Found::Elsewhere(why)) if why.contains(processor)), "{found:?}");
        }
        for bad in ["", "{", "[]", "{}", "{\"recommended\":2}"] {
            assert!(read(bad, &here).unwrap_err().contains("no tuning result"), "{bad}");
        }
        for count in ["0", "-1", "257", "1.5", "\"2\"", "null"] {
            assert!(read(&text("Some CPU", 8, count), &here).unwrap_err().contains("recommended"), "{count}");
        }
    }
}
