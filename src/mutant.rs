//! Mutants: each takes away all that stands in the engine against one way of losing data, so that the simulation can prove that it would
//! notice. `docs/simulation.md` has the table of hazards. Only builds with the feature `mutants` can switch one on; in all others
//! [`is_on`] is the constant `false` and no trace of this is compiled.

/// What is taken away. The numbers are those of the table of hazards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutant {
    /// 21: an answer to a PUT counts however late it is processed.
    LateAnswersCount,
}

#[cfg(feature = "mutants")]
mod switch {
    use super::Mutant;
    use std::cell::Cell;

    thread_local! {
        static ON: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    impl Mutant {
        pub const ALL: &[Mutant] = &[Mutant::LateAnswersCount];
    }

    /// Makes the engines that run in this thread from now on use this mutant, or none.
    pub fn use_in_this_thread(mutant: Option<Mutant>) {
        ON.set(mutant);
    }

    #[inline]
    pub(crate) fn is_on(mutant: Mutant) -> bool {
        ON.get() == Some(mutant)
    }
}

#[cfg(not(feature = "mutants"))]
mod switch {
    #[inline(always)]
    pub(crate) const fn is_on(_: super::Mutant) -> bool {
        false
    }
}

pub(crate) use switch::is_on;
#[cfg(feature = "mutants")]
pub use switch::use_in_this_thread;
