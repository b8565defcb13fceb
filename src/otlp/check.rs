//! Points that are not used, such as those of a metric without a name: well-formed or the whole request is refused.
//!
//! Knows every kind of point; does not know why one is not used. Changes nothing.

use super::attributes;
use super::data::data_head;
use super::message::each;
use super::points;
use super::schema::{Message, validate};
use crate::identity::attributes::Limits;
use crate::model::Kind;
use crate::wire::Fault;
use bumpalo::Bump;

/// Faults unless the points of a `data` member that is not used are well-formed; changes nothing.
#[cold]
pub fn check_data(kind: Kind, data: &[u8], arena: &Bump) -> Result<(), Fault> {
    if kind == Kind::Summary {
        return validate(Message::Summary, data, 1);
    }
    data_head(kind, data)?;
    each(data, 1, |message| check_point(kind, message, arena))
}

/// Faults unless a point that is not used is well-formed; changes nothing.
pub fn check_point(kind: Kind, message: &[u8], arena: &Bump) -> Result<(), Fault> {
    let (run, key) = match kind {
        Kind::Gauge | Kind::Sum => {
            let key = points::NUMBER_ATTRIBUTES_KEY;
            if points::fixed_layout(message).is_some_and(|(_, run)| attributes::is_plain(run, key)) {
                return Ok(());
            }
            (points::number(message, None, arena)?.attributes, key)
        }
        Kind::Histogram => (points::histogram(message, None, arena)?.attributes, points::HISTOGRAM_ATTRIBUTES_KEY),
        Kind::ExponentialHistogram => {
            (points::exponential(message, None, arena)?.attributes, points::EXPONENTIAL_ATTRIBUTES_KEY)
        }
        Kind::Summary => return validate(Message::SummaryPoint, message, 2),
    };
    if let points::Attributes::Run(run) = run
        && !attributes::is_plain(run, key)
    {
        let _ = attributes::normalise(run, key, Limits::DEFAULT, &mut Vec::new())?;
    }
    Ok(())
}
