//! The state of a namespace, as immutable versions.

use crate::json::JsonError;
use crate::ops::Op;

/// One immutable version of a namespace's state.
#[derive(Clone, Debug)]
pub struct State {}

impl State {
    pub fn empty() -> State {
        State {}
    }

    pub fn read(_text: bytes::Bytes, _depth: usize) -> Result<State, JsonError> {
        todo!()
    }

    pub fn apply(&mut self, _ops: &[Op]) {
        todo!()
    }

    pub fn write_canonical(&self, _out: &mut Vec<u8>) {
        todo!()
    }

    pub fn canonical_len(&self) -> usize {
        todo!()
    }

    pub fn overlay_len(&self) -> usize {
        todo!()
    }

    pub fn base_len(&self) -> usize {
        todo!()
    }

    pub fn compact(&self) -> State {
        todo!()
    }
}
