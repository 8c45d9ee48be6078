//! Timeouts in, as in poll(2).

use super::process;
use crate::error::Error;
use crate::time::Reading;
use std::time::Duration;

/// Do not wait.
pub const OPJOURNAL_TIMEOUT_NONE: i64 = 0;
/// Wait for ever.
pub const OPJOURNAL_TIMEOUT_NEVER: i64 = -1;
/// Wait as long as the function's documentation says.
pub const OPJOURNAL_TIMEOUT_DEFAULT: i64 = i64::MIN;

/// The defaults.
pub(super) const OPEN: Duration = Duration::from_secs(10);
pub(super) const CLOSE: Duration = Duration::from_secs(10);
/// Of namespace_open, apply, flush and quarantine.
pub(super) const WORK: Duration = Duration::from_secs(30);

/// How long to wait; `None`: for ever.
fn limit(timeout_ms: i64, default: Option<Duration>) -> Result<Option<Duration>, Error> {
    match timeout_ms {
        OPJOURNAL_TIMEOUT_NEVER => Ok(None),
        OPJOURNAL_TIMEOUT_DEFAULT => Ok(default),
        OPJOURNAL_TIMEOUT_NONE.. => Ok(Some(Duration::from_millis(timeout_ms.unsigned_abs()))),
        _ => Err(Error::invalid(format!(
            "timeout_ms is {timeout_ms}; it must be a number of milliseconds, 0 (do not wait), -1 (for ever) or OPJOURNAL_TIMEOUT_DEFAULT"
        ))
        .with("field", "timeout_ms")),
    }
}

/// When a wait that begins now ends; `None`: never.
pub(super) fn deadline(timeout_ms: i64, default: Duration) -> Result<Option<Reading>, Error> {
    let limit = limit(timeout_ms, Some(default))?;
    let process = process::start()?;
    Ok(limit.map(|limit| process.environment.now() + limit))
}

/// How long a wait on a queue lasts; `None`: for ever.
pub(super) fn wait_limit(timeout_ms: i64) -> Result<Option<Duration>, Error> {
    limit(timeout_ms, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_those_of_poll() {
        let default = Some(Duration::from_secs(7));
        assert_eq!(limit(1, default).expect("valid"), Some(Duration::from_millis(1)));
        assert_eq!(limit(i64::MAX, default).expect("valid"), Some(Duration::from_millis(i64::MAX as u64)));
        assert_eq!(limit(0, default).expect("valid"), Some(Duration::ZERO));
        assert_eq!(limit(-1, default).expect("valid"), None);
        assert_eq!(limit(OPJOURNAL_TIMEOUT_DEFAULT, default).expect("valid"), default);
        for wrong in [-2, i64::MIN + 1] {
            assert!(limit(wrong, default).expect_err("invalid").message.contains(&wrong.to_string()));
        }
    }
}
