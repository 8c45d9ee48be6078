//! What there is once in a process: the runtime, the mark of a forked child, and how a caller's thread waits.

use super::boundary;
use crate::environment;
use crate::error::{Error, Status};
use once_cell::sync::OnceCell;
use std::mem::MaybeUninit;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

/// The runtime, and the engine's view of it. Never shut down: its threads idle once everything is closed.
pub(super) struct Process {
    pub(super) runtime: tokio::runtime::Runtime,
    pub(super) environment: Arc<dyn environment::Environment>,
}

/// Threads that run tasks. The work is waiting for a store; folds and directory stores use the blocking threads.
const WORKERS: usize = 2;

/// Threads for long computations and files, started when needed.
const BLOCKING_THREADS: usize = 8;

/// Starts the runtime, once.
pub(super) fn start() -> Result<&'static Process, Error> {
    static PROCESS: OnceCell<Process> = OnceCell::new();
    PROCESS.get_or_try_init(|| {
        watch_for_fork()?;
        // Threads inherit the mask of the thread that starts them.
        let _blocked = BlockedSignals::begin();
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name_fn(|| format!("opjournal-{}", STARTED.fetch_add(1, Ordering::Relaxed)))
            // Blocking threads may be started later, by whichever thread has a job for them.
            .on_thread_start(|| {
                block_signals();
            })
            .enable_all()
            .build()
            .map_err(|error| Error::new(Status::Internal, format!("the library's threads cannot be started: {error}")))?;
        let environment = Arc::new(environment::Process::new(runtime.handle().clone()));
        Ok(Process { runtime, environment })
    })
}

/// Runs `work` on the library's threads, and waits for it on the caller's.
pub(super) fn run<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, Error> {
    let task = start()?.runtime.spawn(work);
    wait(async move { Ok(task.await) })?.map_err(|failure| match failure.try_into_panic() {
        Ok(panic) => boundary::panicked(panic),
        Err(_) => Error::new(Status::Internal, "a bug in opjournal: its runtime was shut down"),
    })
}

/// Waits for `work` on the caller's thread. Unlike a runtime's own `block_on` it may be called on any thread, also on one that is running tasks
/// of another runtime.
pub(super) fn wait<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let _entered = start()?.runtime.enter();
    // On a thread of a runtime the work would share the budget of the task that called us, which is not renewed before we return.
    let mut work = pin!(tokio::task::unconstrained(work));
    let sleeper = Arc::new(Sleeper { thread: std::thread::current(), is_woken: AtomicBool::new(false) });
    let waker = Waker::from(sleeper.clone());
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(done) = work.as_mut().poll(&mut context) {
            return done;
        }
        while !sleeper.is_woken.swap(false, Ordering::Acquire) {
            std::thread::park();
        }
    }
}

/// Wakes a waiting thread of the caller. Its own flag, because others may use the thread's park token too.
struct Sleeper {
    thread: Thread,
    is_woken: AtomicBool,
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_woken.swap(true, Ordering::Release) {
            self.thread.unpark();
        }
    }
}

/// Set in the child of a fork, where the runtime's threads do not exist and any lock may be held for ever.
static FORKED: AtomicBool = AtomicBool::new(false);

/// Whether this process is the forked child of one that used the library.
pub(super) fn is_forked_child() -> bool {
    FORKED.load(Ordering::Relaxed)
}

/// From now on the child of a fork knows that it is one.
pub(super) fn watch_for_fork() -> Result<(), Error> {
    extern "C" fn in_child() {
        FORKED.store(true, Ordering::Relaxed);
    }
    static WATCHING: OnceCell<()> = OnceCell::new();
    WATCHING
        .get_or_try_init(|| {
            // SAFETY: the handler stores to an atomic, which is allowed in the child of a process with threads, and the library stays mapped.
            match unsafe { libc::pthread_atfork(None, None, Some(in_child)) } {
                0 => Ok(()),
                error => Err(Error::new(Status::Internal, format!("fork cannot be watched: {}", std::io::Error::from_raw_os_error(error)))),
            }
        })
        .copied()
}

/// Blocks all signals in this thread: they belong to the threads of the host. Returns what was blocked before.
fn block_signals() -> libc::sigset_t {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::zeroed();
    if cfg!(miri) {
        // Miri's programs get no signals, and it knows none of these functions.
        // SAFETY: all zeros are a set of no signals.
        return unsafe { before.assume_init() };
    }
    // SAFETY: `sigfillset` fills `all`. `pthread_sigmask` fails only for a wrong first argument; it fills `before`, which is a set of no
    // signals even if it did not.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        before.assume_init()
    }
}

/// The caller's thread with all signals blocked, until dropped.
struct BlockedSignals {
    before: libc::sigset_t,
}

impl BlockedSignals {
    fn begin() -> BlockedSignals {
        BlockedSignals { before: block_signals() }
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        if cfg!(miri) {
            return;
        }
        // SAFETY: `before` is the mask that this thread had.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, std::ptr::null_mut()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_works_on_a_thread_of_another_runtime() {
        const MESSAGES: u64 = if cfg!(miri) { 200 } else { 1_000 };
        let host = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let sum = host.block_on(async {
            // Every poll of a channel costs budget: without `unconstrained` the wait would never see the later messages.
            let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
            for number in 0..MESSAGES {
                sender.send(number).expect("open");
            }
            drop(sender);
            let received = wait(async {
                let mut sum = 0;
                while let Some(number) = receiver.recv().await {
                    sum += number;
                }
                Ok(sum)
            });
            let ran = run(async { tokio::task::yield_now().await });
            received.and_then(|sum| ran.map(|()| sum))
        });
        assert_eq!(sum.expect("done"), (MESSAGES - 1) * MESSAGES / 2);
    }

    #[test]
    fn a_panic_on_the_library_s_threads_is_told() {
        let error = run(async { panic!("deep inside") }).expect_err("a panic");
        assert_eq!((error.status, error.message.as_str()), (Status::Internal, "a bug in opjournal: deep inside"));
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri knows no signals")]
    fn the_library_s_threads_block_signals_and_the_caller_s_mask_stays() {
        let blocked = || {
            let mut now = MaybeUninit::<libc::sigset_t>::zeroed();
            // SAFETY: asks for the mask only.
            unsafe {
                libc::pthread_sigmask(libc::SIG_SETMASK, std::ptr::null(), now.as_mut_ptr());
                libc::sigismember(now.as_ptr(), libc::SIGTERM) == 1
            }
        };
        assert!(!blocked());
        assert!(run(async move { blocked() }).expect("done"));
        assert!(run(async move { tokio::task::spawn_blocking(blocked).await.expect("done") }).expect("done"));
        assert!(!blocked());
    }
}
