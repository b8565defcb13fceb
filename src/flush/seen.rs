//! A group as rules see it: what both say alike. Does not know rules.

use crate::rules::MetricSeen;
use crate::series::Group;

/// A group as rules see it.
pub(super) fn seen(group: &Group) -> MetricSeen<'_> {
    MetricSeen {
        resource: group.resource(),
        scope: group.scope(),
        name: group.name(),
        unit: group.unit(),
        kind: group.kind,
        monotonic: group.monotonic,
        held: Some([group.resource(), group.scope()]),
    }
}
