//! Attributes of a row that meet labels of its scope: `otel_scope_name="lib;mine"`.
//!
//! Knows scopes, and which prefixes a page has; does not know other labels. The compatibility specification joins the
//! values of colliding names with `;`. A plain join would let the scope `lib` and the attribute `mine` pass for a scope
//! called `lib;mine`, so a row is joined only where
//! - the scope has the label in question, and none of its labels has a `;`: what stands before the first `;` is then the
//!   scope's, and no two prefixes can be joined to the same one; and
//! - no real prefix of the page is what comes out.
//!
//! Elsewhere the attribute stays `exported_…`. Nothing here is worked out for a class whose rows meet no such label.
//!
//! Bounds: the prefixes, which the page holds anyway, and a hash table of them.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::prometheus::any::{Attribute, put_text};
use crate::prometheus::label_encoding::LabelEncoding;
use crate::prometheus::name::Naming;
use crate::prometheus::source::Meta;
use crate::prometheus::target::{scope_labels, target};

/// The first byte of a row's labels that come with a prefix of their own. No label begins with it.
pub(super) const OWN_PREFIX: u8 = 0;

/// Labels of job, instance and scope, each with its place.
pub(super) type Prefixes = HashMap<Arc<[u8]>, u32, ahash::RandomState>;

/// The scope of the class at hand.
pub(super) struct ScopeJoin {
    naming: Naming,
    encoding: LabelEncoding,
    prefixes: Prefixes,
    meta: Option<Meta>,
    /// Of `meta`, once it was asked for.
    scope: Option<Scope>,
}

struct Scope {
    target: Vec<u8>,
    /// Name and value; none where nothing may be joined.
    labels: Vec<(String, Vec<u8>)>,
}

impl ScopeJoin {
    pub(super) fn new(keys: ahash::RandomState, naming: Naming, encoding: LabelEncoding) -> Self {
        ScopeJoin { naming, encoding, prefixes: HashMap::with_hasher(keys), meta: None, scope: None }
    }

    /// All prefixes of the page.
    pub(super) fn know(&mut self, prefixes: Prefixes) {
        self.prefixes = prefixes;
    }

    /// A class begins; `meta` is one of its groups'.
    pub(super) fn begin(&mut self, meta: &Meta) {
        self.meta = Some(meta.clone());
        self.scope = None;
    }

    /// The prefix of a row with these attributes, if it is not its class's, and the attributes that are not in it.
    pub(super) fn prefix<'a>(&mut self, row: &[Attribute<'a>]) -> Option<(Vec<u8>, Vec<Attribute<'a>>)> {
        let (meta, naming, encoding) = (self.meta.as_ref()?, self.naming, self.encoding);
        let scope = self.scope.get_or_insert_with(|| {
            let mut labels = scope_labels(&meta.scope, &meta.scope_schema_url, naming);
            if labels.iter().any(|(_, value)| value.contains(&b';')) {
                labels.clear();
            }
            Scope { target: target(&meta.resource, encoding).labels, labels }
        });
        let place = |attribute: &Attribute<'_>| {
            let names = naming.scope_labels_met(&String::from_utf8_lossy(attribute.key))?;
            scope.labels.iter().position(|(name, _)| names.contains(name))
        };
        let mut met: Vec<(usize, Attribute<'a>)> = Vec::new();
        let mut rest = Vec::new();
        for attribute in row {
            match place(attribute) {
                Some(at) => met.push((at, *attribute)),
                None => rest.push(*attribute),
            }
        }
        if met.is_empty() {
            return None;
        }
        met.sort_by(|(_, a), (_, b)| a.key.cmp(b.key));
        let mut prefix = scope.target.clone();
        let mut text = Vec::new();
        for (at, (name, value)) in scope.labels.iter().enumerate() {
            text.clear();
            text.extend_from_slice(value);
            for (_, attribute) in met.iter().filter(|(of, _)| *of == at) {
                text.push(b';');
                put_text(&mut text, attribute.kind, attribute.payload);
            }
            encoding.put(&mut prefix, &encoding.opening(name), &text);
        }
        (!self.prefixes.contains_key(prefix.as_slice())).then_some((prefix, rest))
    }
}
