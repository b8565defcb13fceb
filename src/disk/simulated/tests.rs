//! Promises of open folders, the system's and the simulated one, and how the latter breaks.

use super::*;
use crate::disk::SystemFolder;
use std::collections::BTreeSet;

/// A simple stream of numbers; `chance` stands a floor higher.
fn draw(seed: u64) -> DiskDraw {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    Box::new(move |most| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % (most + 1)
    })
}

fn content(folder: &dyn DiskFolder, name: &str) -> Vec<u8> {
    let file = folder.open(name).unwrap();
    let mut bytes = vec![0; file.bytes().unwrap() as usize];
    assert_eq!(file.read_at(0, &mut bytes).unwrap(), bytes.len());
    bytes
}

fn names(folder: &dyn DiskFolder) -> Vec<String> {
    folder.list().unwrap().into_iter().map(|entry| entry.name).collect()
}

/// What any open folder does.
fn behaves(root: &dyn DiskFolder) {
    assert_eq!(root.folder("a").unwrap_err().kind(), ErrorKind::NotFound);
    root.make_folder("a").unwrap();
    assert_eq!(root.make_folder("a").unwrap_err().kind(), ErrorKind::AlreadyExists);
    root.sync().unwrap();
    let folder = root.folder("a").unwrap();
    assert_eq!(folder.open("one").unwrap_err().kind(), ErrorKind::NotFound);
    let mut file = folder.create("one").unwrap();
    assert_eq!(folder.create("one").unwrap_err().kind(), ErrorKind::AlreadyExists);
    file.write_at(4, b"def").unwrap();
    file.write_at(1, b"abc").unwrap();
    file.sync().unwrap();
    folder.sync().unwrap();
    assert_eq!((content(&*folder, "one"), file.bytes().unwrap()), (b"\0abcdef".to_vec(), 7));
    let mut part = [9; 4];
    assert_eq!(file.read_at(5, &mut part).unwrap(), 2, "as far as the file goes");
    assert_eq!((part, file.read_at(7, &mut part).unwrap()), (*b"ef\x09\x09", 0));
    assert!(file.lock().unwrap() && !folder.open("one").unwrap().lock().unwrap(), "one at a time");
    drop(file);
    assert!(folder.open("one").unwrap().lock().unwrap(), "a lock ends with its file");
    folder.create("two").unwrap();
    root.create("file").unwrap();
    assert_eq!(names(&*folder), ["one", "two"]);
    folder.rename("one", "two").unwrap();
    assert_eq!((names(&*folder), content(&*folder, "two")), (vec!["two".to_string()], b"\0abcdef".to_vec()));
    folder.unlink("two").unwrap();
    assert_eq!(folder.unlink("two").unwrap_err().kind(), ErrorKind::NotFound);
    let kinds: Vec<EntryKind> = root.list().unwrap().into_iter().map(|entry| entry.kind).collect();
    assert_eq!((names(root), kinds), (vec!["a".into(), "file".into()], vec![EntryKind::Folder, EntryKind::File]));
    assert!(root.open("a").is_err() && root.folder("file").is_err());
}

#[test]
fn both_folders_behave_alike_and_the_systems_follows_no_link() {
    use std::os::unix::fs::{MetadataExt as _, symlink};
    behaves(&*SimulatedDisk::new(draw(1)).root());
    let path = std::env::temp_dir().join(format!("catchment-folder-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    let folder = SystemFolder::open(&path).unwrap();
    behaves(&folder);
    let mode = |name: &str| path.join(name).metadata().unwrap().mode() & 0o777;
    assert_eq!((mode("a"), mode("file")), (0o700, 0o600));
    // T18: neither a link nor a name that leads out is followed
    symlink("/etc/hostname", path.join("link")).unwrap();
    symlink("/etc", path.join("folder")).unwrap();
    assert!(folder.open("link").is_err() && folder.folder("folder").is_err() && folder.create("link").is_err());
    assert_eq!(folder.list().unwrap()[3], FolderEntry { name: "link".into(), kind: EntryKind::Other });
    for name in ["", ".", "..", "../file", "a/b", "a\0b"] {
        assert!(folder.open(name).is_err() && folder.create(name).is_err() && folder.make_folder(name).is_err());
    }
    std::fs::remove_dir_all(&path).unwrap();
}

#[test]
fn what_was_synced_is_there_after_any_crash_and_of_the_rest_any_part() {
    let mut seen = BTreeSet::new();
    for seed in 0..400 {
        let disk = SimulatedDisk::new(draw(seed));
        let root = disk.root();
        let mut file = root.create("a").unwrap();
        file.write_at(0, &[1; 600]).unwrap();
        file.sync().unwrap();
        root.sync().unwrap();
        file.write_at(600, &[2; 1_000]).unwrap();
        root.create("b").unwrap();
        root.rename("a", "c").unwrap();
        let after = disk.image().restart(Crash::PowerCut, draw(seed + 1_000)).root();
        let names = names(&*after);
        assert!(names.iter().any(|name| name == "a") != names.iter().any(|name| name == "c"), "a rename is one thing");
        let bytes = content(&*after, names.last().map(|name| if name == "b" { "a" } else { name }).unwrap());
        assert_eq!(bytes[..600], [1; 600]);
        let rest = &bytes[600..];
        seen.insert((names, rest.len(), rest.first() == Some(&2), rest.get(500) == Some(&2)));
        let after = disk.image().restart(Crash::Killed, draw(seed)).root();
        assert_eq!(content(&*after, "c"), [vec![1; 600], vec![2; 1_000]].concat());
    }
    let some = |what: &dyn Fn(&(Vec<String>, usize, bool, bool)) -> bool| assert!(seen.iter().any(what), "{seen:?}");
    some(&|(names, ..)| names == &["a"]);
    some(&|(names, ..)| names == &["b", "c"]);
    some(&|(_, bytes, ..)| *bytes == 0);
    some(&|(_, bytes, first, second)| *bytes == 1_000 && !first && *second);
    some(&|(_, bytes, first, second)| *bytes == 1_000 && *first && !second);
}

#[test]
fn a_sync_that_failed_calls_its_pages_clean() {
    let (mut lost, mut forgotten) = (0, 0);
    for seed in 0..100 {
        let disk = SimulatedDisk::new(draw(seed));
        let root = disk.root();
        let mut file = root.create("a").unwrap();
        root.sync().unwrap();
        file.write_at(0, &[1; 512]).unwrap();
        disk.set_faults(DiskFaults { sync: 1, ..DiskFaults::default() });
        file.sync().unwrap_err();
        disk.set_faults(DiskFaults::default());
        file.sync().unwrap();
        assert_eq!(content(&*root, "a"), [1; 512], "who has it open sees nothing");
        lost += usize::from(content(&*disk.image().restart(Crash::PowerCut, draw(seed)).root(), "a") != [1; 512]);
        forgotten += usize::from(content(&*disk.image().restart(Crash::Killed, draw(seed)).root(), "a") != [1; 512]);
    }
    assert!(lost > 20 && forgotten > 10, "{lost} {forgotten}");
}

#[test]
fn it_is_full_fails_and_stalls_as_it_is_told_and_keeps_images() {
    let disk = SimulatedDisk::new(draw(3));
    let root = disk.root();
    let mut file = root.create("a").unwrap();
    disk.set_room(100);
    assert_eq!(file.write_at(0, &[1; 101]).unwrap_err().kind(), ErrorKind::StorageFull);
    assert!(file.bytes().unwrap() <= 100);
    file.write_at(0, &[1; 100]).unwrap();
    file.write_at(50, &[2; 50]).unwrap();
    disk.set_room(usize::MAX);
    for (faults, what) in [
        (DiskFaults { full: 1, ..DiskFaults::default() }, "full"),
        (DiskFaults { write: 1, ..DiskFaults::default() }, "write"),
        (DiskFaults { read: 1, ..DiskFaults::default() }, "read"),
        (DiskFaults { names: 1, ..DiskFaults::default() }, "names"),
    ] {
        disk.set_faults(faults);
        let results = [
            file.write_at(0, b"x").is_ok(),
            file.read_at(0, &mut [0]).is_ok(),
            root.create("b").is_ok()
                || root.rename("a", "b").is_ok()
                || root.unlink("a").is_ok()
                || root.sync().is_ok(),
        ];
        assert_eq!(results, [!["full", "write"].contains(&what), what != "read", what != "names"], "{what}");
        disk.set_faults(DiskFaults::default());
        let _ = root.unlink("b");
    }
    disk.set_faults(DiskFaults { stall: 1, stall_ns: 7, ..DiskFaults::default() });
    file.bytes().unwrap();
    file.sync().unwrap();
    assert_eq!((disk.take_spent_ns(), disk.take_spent_ns()), (14, 0));
    disk.set_faults(DiskFaults::default());
    disk.watch();
    let long = vec![3; 64 * 1_024];
    file.write_at(0, &long).unwrap();
    root.create("c").unwrap();
    let sizes: Vec<usize> = disk.take_images().iter().map(|image| image.bytes()).collect();
    assert_eq!((sizes[0], sizes[sizes.len() - 1]), (100, long.len()));
    assert!(sizes.iter().any(|bytes| (100..long.len()).contains(bytes)), "{sizes:?}");
    assert_eq!(disk.take_images().len(), 1);
}
