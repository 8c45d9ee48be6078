//! Everything that can be wrong from outside, end to end: through the public API, against the real stores. Each is told with
//! a status, an outcome and words that name the place; nothing is lost, and nothing is half done. `docs/errors.md` lists the
//! cases, and where those are tested that only the C ABI can reach.

#[cfg(feature = "s3")]
#[path = "servers/mod.rs"]
mod servers;

#[path = "reading/mod.rs"]
mod reading;
#[path = "roles/mod.rs"]
mod roles;

mod bad_input {
    #[cfg(feature = "s3")]
    mod buckets;
    mod directories;
    #[cfg(feature = "s3")]
    mod gate;
    mod objects;
    #[cfg(feature = "s3")]
    mod role;
    mod stage;
    mod texts;
}
