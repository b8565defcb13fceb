//! Crash images of every operation, and the faults that they find.

use super::super::planted::{PlantedFault, plant};
use super::count;
use super::oracle::Rare;
use super::runs::{RunPlan, run};

/// Images of a plain test run; `CRASH_IMAGES` says otherwise.
const IMAGES: u64 = 12_000;
/// Images within which a planted fault has to be found.
const IMAGES_TO_FIND: u64 = 60_000;

fn plan(seed: u64) -> RunPlan {
    RunPlan { seed, is_disk: seed.is_multiple_of(2), has_faults: !seed.is_multiple_of(3), operations: 60, one_in: 3 }
}

#[test]
fn what_was_acknowledged_is_there_after_any_crash_and_what_is_lost_is_said() {
    let (images, mut rare, mut seed) = (count("CRASH_IMAGES", IMAGES), Rare::default(), count("CRASH_SEED", 0));
    while rare.images < images {
        run(plan(seed), &mut rare).unwrap_or_else(|error| panic!("CRASH_SEED={seed}: {error}"));
        seed += 1;
    }
    println!("{rare:?}");
    let Rare { torn, lost, again, vanished, dropped, .. } = rare;
    assert!([torn, lost, again, vanished, dropped].into_iter().all(|count| count > images / 1_000), "{rare:?}");
}

#[test]
fn faults_that_are_planted_are_found_by_crashes() {
    for fault in [
        PlantedFault::UnlinkFirst,
        PlantedFault::PayloadUnchecked,
        PlantedFault::NoFolderSync,
        PlantedFault::SyncBelieved,
        PlantedFault::SuspectForgotten,
        PlantedFault::RetryRenumbered,
        PlantedFault::GivenUpStays,
        PlantedFault::SlotsAlternate,
        PlantedFault::NumbersAgain,
        PlantedFault::VoidUnread,
    ] {
        plant(Some(fault));
        let mut rare = Rare::default();
        let found = (0..).take_while(|_| true).find_map(|seed| match run(plan(seed), &mut rare) {
            Err(error) => Some(Some((seed, error))),
            Ok(()) if rare.images > IMAGES_TO_FIND => Some(None),
            Ok(()) => None,
        });
        plant(None);
        let found = found.flatten();
        println!("{fault:?}: {found:?} after {} images", rare.images);
        assert!(found.is_some(), "{fault:?} is not found within {IMAGES_TO_FIND} images");
    }
}
