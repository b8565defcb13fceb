//! Faults that tests plant on purpose, to see that the proof finds them; none can be planted in the product.
//!
//! Does not know what each does: that stands where it is asked for.

/// What is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code))]
pub(super) enum PlantedFault {
    /// A segment is removed before the cursors that are past it are on the platter.
    UnlinkFirst,
    /// A record's checksum does not begin with its place.
    NoSalt,
    /// A record's length is outside its checksum.
    LengthUnchecked,
    /// A payload's checksum is not looked at.
    PayloadUnchecked,
    /// A new segment's name is not synced before what is in it counts.
    NoFolderSync,
    /// After a sync that failed, the next one is believed.
    SyncBelieved,
    /// What a suspect segment held is forgotten when writing it again fails.
    SuspectForgotten,
    /// A record that is tried again takes another number.
    RetryRenumbered,
    /// What was given up after a write that failed is not made void.
    GivenUpStays,
    /// Cursor slots alternate by writing.
    SlotsAlternate,
    /// What is appended after a start takes the numbers behind those that are there, whatever the cursors say.
    NumbersAgain,
    /// A torn record at the end counts.
    TornCounts,
    /// What is void is found in segments without a seal only.
    VoidUnread,
    /// After a record that is damaged nothing of its segment is read.
    NoResync,
}

#[cfg(test)]
thread_local! {
    static PLANTED: std::cell::Cell<Option<PlantedFault>> = const { std::cell::Cell::new(None) };
}

/// Plants one, or none.
#[cfg(test)]
pub(super) fn plant(fault: Option<PlantedFault>) {
    PLANTED.set(fault);
}

/// Whether this one is planted.
#[cfg(test)]
pub(super) fn is_planted(fault: PlantedFault) -> bool {
    PLANTED.get() == Some(fault)
}

/// Whether this one is planted: never.
#[cfg(not(test))]
pub(super) const fn is_planted(_: PlantedFault) -> bool {
    false
}
