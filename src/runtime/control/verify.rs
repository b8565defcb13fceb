//! The ledger whose open points are counted in the cells: piece by piece, for one at a time.
//!
//! Does not know: how they are counted, or who asks. Bounds: those of `count`.

use crate::listen::pages::{Abort, PageBody, PageResponse, PageStream};
use crate::runtime::account::Account;
use crate::runtime::count::Count;
use crate::runtime::shared::ProcessState;
use bytes::Bytes;
use std::rc::Rc;
use std::sync::Arc;

/// The one turn there is: held a second time by a ledger that is being verified.
#[derive(Default)]
pub(super) struct VerifyTurn(Rc<()>);

impl VerifyTurn {
    /// The page, made as it is read; `None` while another is under way.
    pub(super) fn page(&self, shared: &Arc<ProcessState>, account: &Account) -> Option<PageResponse> {
        if Rc::strong_count(&self.0) > 1 {
            return None;
        }
        let count = Count::begin(shared);
        let verify = Verify { count, shared: shared.clone(), account: account.clone(), turn: Some(self.0.clone()) };
        Some(PageResponse { status: 200, content_type: "application/json", body: PageBody::Stream(Box::new(verify)) })
    }
}

/// A ledger whose open points are being counted.
struct Verify {
    count: Count,
    shared: Arc<ProcessState>,
    account: Account,
    /// Until the ledger is out.
    turn: Option<Rc<()>>,
}

impl PageStream for Verify {
    fn next(&mut self) -> Option<Result<Bytes, Abort>> {
        self.turn.as_ref()?;
        let Some(open) = self.count.step(&self.shared) else { return Some(Ok(Bytes::new())) };
        self.turn = None;
        Some(Ok(self.account.json(open).into()))
    }
}
