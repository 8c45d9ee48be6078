//! Queries: questions to one state, as JSON, answered as JSON.

use crate::state::State;

/// What a query may ask for that is not in the state.
pub trait QueryContext {
    /// Writes the mark: `{"key":...,"lm":...}`.
    fn write_mark(&self, out: &mut Vec<u8>);
    fn age_ms(&self) -> u64;
    /// `"applied"`, `"failed"` or `"unknown"`.
    fn outcome(&self, segment: &str) -> &'static str;
}

/// A refused query. `message` names query and field by itself.
#[derive(Clone, Debug)]
pub struct QueryError {
    pub query: Option<usize>,
    pub field: Option<String>,
    pub message: String,
}

impl From<QueryError> for crate::Error {
    fn from(_error: QueryError) -> crate::Error {
        todo!()
    }
}

pub fn answer(_request: &[u8], _state: &State, _context: &dyn QueryContext, _out: &mut Vec<u8>) -> Result<(), QueryError> {
    todo!()
}
