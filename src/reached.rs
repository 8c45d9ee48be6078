//! Which rare branches of the engine a run reached, so that the simulation can tell what a campaign never met. Its list of all
//! of them is `simulation/src/coverage.rs`. Only builds with the feature `mutants` count; in all others [`reached`] is an empty
//! constant function.

#[cfg(feature = "mutants")]
mod counts {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    thread_local! {
        static COUNTS: RefCell<BTreeMap<&'static str, u64>> = const { RefCell::new(BTreeMap::new()) };
    }

    /// A branch was reached, in this thread.
    pub(crate) fn reached(branch: &'static str) {
        COUNTS.with_borrow_mut(|counts| *counts.entry(branch).or_default() += 1);
    }

    /// How often each branch was reached in this thread since the last call.
    pub fn take() -> BTreeMap<&'static str, u64> {
        COUNTS.take()
    }
}

#[cfg(not(feature = "mutants"))]
mod counts {
    #[inline(always)]
    pub(crate) const fn reached(_: &'static str) {}
}

pub(crate) use counts::reached;
#[cfg(feature = "mutants")]
pub use counts::take;
