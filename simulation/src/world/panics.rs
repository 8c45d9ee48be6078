//! Panics of tasks, caught with their message and place, and kept off the terminal.

use std::cell::RefCell;
use std::panic::{UnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// `Some` while a task of a world is polled in this thread.
    static CAUGHT: RefCell<Option<String>> = const { RefCell::new(None) };
}

pub fn caught<T>(run: impl FnOnce() -> T + UnwindSafe) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let kept = CAUGHT.with(|caught| caught.borrow_mut().as_mut().map(|text| *text = panic.to_string()).is_some());
            if !kept {
                before(panic);
            }
        }));
    });
    CAUGHT.with(|caught| *caught.borrow_mut() = Some(String::new()));
    let result = catch_unwind(run);
    let message = CAUGHT.with(|caught| caught.borrow_mut().take()).unwrap_or_default();
    result.map_err(|_| message)
}
