//! What is kept of one subject's latest version.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwapOption;

use crate::event::Subject;
use crate::schema::codec::Rule;
use crate::schema::registry::content::Kind;
use crate::schema::{self, Contract};

use super::Latest;

/// The latest version of one subject.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) subject: Arc<str>,
    pub(super) latest: Latest,
    pub(super) compiled: ArcSwapOption<Weighed<Compiled>>,
    /// Whether it was found that it cannot be compiled, which is told once.
    pub(super) is_unusable: AtomicBool,
    pub(super) used: AtomicU64,
    /// As people and tools read it, where somebody asked; `None` within where they cannot.
    pub(super) contract: ArcSwapOption<Weighed<Option<Arc<Contract>>>>,
}

/// A schema to judge by.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) kind: Kind,
    pub(super) rule: Rule,
}

/// What was made of a schema, and what it weighs for as long as anybody has it.
#[derive(Debug)]
pub(super) struct Weighed<T> {
    pub(super) made: T,
    pub(super) weight: usize,
    total: Arc<AtomicUsize>,
}

impl Slot {
    pub(super) fn new(subject: &Subject, latest: Latest) -> Self {
        Self {
            subject: Arc::from(subject.as_str()),
            latest,
            compiled: ArcSwapOption::empty(),
            is_unusable: AtomicBool::new(false),
            used: AtomicU64::new(0),
            contract: ArcSwapOption::empty(),
        }
    }

    pub(super) fn unusable(&self) -> schema::Error {
        schema::Error::Unusable { subject: Arc::clone(&self.subject), schema_id: self.latest.id }
    }
}

impl<T> Weighed<T> {
    pub(super) fn new(made: T, weight: usize, total: &Arc<AtomicUsize>) -> Arc<Self> {
        total.fetch_add(weight, Ordering::Relaxed);
        Arc::new(Self { made, weight, total: Arc::clone(total) })
    }
}

impl<T> Drop for Weighed<T> {
    fn drop(&mut self) {
        self.total.fetch_sub(self.weight, Ordering::Relaxed);
    }
}
