//! What the fuzz targets share: the model of the tests, and what holds for every error.

#[path = "../../tests/model/mod.rs"]
pub mod model;

use opjournal::Error;

/// No error takes more than this as JSON, however long the text is that it is about.
const MOST_ERROR_BYTES: usize = 8 << 10;

/// Checks what holds for every failed call.
pub fn check_error(error: &Error) {
    let text = error.to_json().to_string();
    assert!(!error.message.is_empty() && text.len() <= MOST_ERROR_BYTES, "{} bytes: {text:.2000}", text.len());
}

/// A place in a text that depends on nothing but the text: for cuts and the like.
pub fn place_in(text: &[u8]) -> usize {
    let hash = text.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    (hash % (text.len() as u64 + 1)) as usize
}
