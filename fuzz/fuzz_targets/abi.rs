//! Sequences of calls of the C ABI on stores in memory, with handles that are alive, stale, of another kind, or made up: nothing
//! crashes, every answer and every error is JSON, places are written on OK only, each accepted call completes exactly once, what was
//! closed stays closed, and in the end everything can be closed. That handles do not leak shows after a while: no more than 65,536 of
//! a kind can be open.

#![no_main]

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use opjournal::ffi::*;
use opjournal_fuzz::model::{DEPTH, Json};
use std::ffi::{CStr, c_char, c_int};
use std::mem::MaybeUninit;
use std::ptr;

const OK: i32 = 0;
const INVALID: i32 = 1;
const BAD_HANDLE: i32 = 2;
const CLOSED: i32 = 3;
const BUSY: i32 = 4;
const TIMED_OUT: i32 = 5;
const NAMES: [&str; 18] = [
    "OK",
    "INVALID",
    "BAD_HANDLE",
    "CLOSED",
    "BUSY",
    "TIMED_OUT",
    "CANCELLED",
    "NOT_READY",
    "NO_SUCH_STORE",
    "DENIED",
    "UNAVAILABLE",
    "UNSAFE_STORE",
    "UNREADABLE",
    "ROLLUP_LOST",
    "READ_ONLY",
    "TOO_LARGE",
    "FORKED",
    "INTERNAL",
];

/// What an out-parameter holds that was not written.
const UNTOUCHED: u64 = 0x5555_5555_5555_5555;

const CONFIGS: [&str; 6] = [
    r#"{"store":"memory:a"}"#,
    r#"{"store":"memory:a","read_only":true}"#,
    r#"{"store":"memory:b","limits":{"waiting_bytes":64,"state_bytes":500}}"#,
    r#"{"store":"memory:b","commit_interval_ms":1,"lock_ttl_ms":1}"#,
    r#"{"store":"memory:"}"#,
    r#"{"store":"file:///nonexistent/nowhere"}"#,
];

const OPS: [&str; 7] = [
    r#"{"op":"IntAdd","Key":"n","Delta":1}"#,
    r#"[{"op":"ListAppend","Key":"l","Value":[1]},{"op":"MapSet","Key":"m","MapKey":"k","Value":"v"}]"#,
    r#"{"op":"ScalarDelete","Key":"l"}"#,
    r#"{"op":"IntAdd","Key":"n"}"#,
    r#"[]"#,
    r#"{"op":"ScalarSet","Key":"long","Value":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}"#,
    "",
];

const QUERIES: [&str; 6] = [
    r#"{"op":"State"}"#,
    r#"[{"op":"Digest"},{"op":"Names","Limit":1},{"op":"IntGet","Key":"n"}]"#,
    r#"{"op":"Outcome","Segment":"segment-x.json"}"#,
    r#"{"op":"MapGet","Key":"m"}"#,
    "[",
    "",
];

const TIMEOUTS: [i64; 6] = [0, 1, 5, -1, -2, i64::MIN];

const NAMESPACES: [&str; 5] = ["", "a", "orders-1", "-wrong", "a/b"];

fuzz_target!(|data: &[u8]| {
    let mut world = World::default();
    let mut u = Unstructured::new(data);
    for _ in 0..60 {
        // What runs out of bytes ends the sequence.
        if u.is_empty() || world.call(&mut u).is_err() {
            break;
        }
    }
    world.end();
});

/// A handle that was given out.
#[derive(Clone, Copy)]
struct Given {
    id: u64,
    is_closed: bool,
}

/// An accepted call that was not heard of yet.
#[derive(Clone, Copy, PartialEq)]
struct Owed {
    queue: u64,
    tag: u64,
    kind: u32,
    /// The journal that it closes.
    closes: Option<u64>,
}

struct World {
    journals: Vec<Given>,
    namespaces: Vec<Given>,
    queues: Vec<Given>,
    owed: Vec<Owed>,
    capacities: Vec<usize>,
    /// One buffer for all calls, as hosts are told to have it.
    result: Buffer,
}

impl Default for World {
    fn default() -> World {
        let result = Buffer { data: ptr::null_mut(), len: 0, capacity: 0 };
        World { journals: Vec::new(), namespaces: Vec::new(), queues: Vec::new(), owed: Vec::new(), capacities: Vec::new(), result }
    }
}

/// What a buffer holds, which must be JSON.
fn json(buffer: &Buffer) -> Json {
    assert!(!buffer.data.is_null() && buffer.len < buffer.capacity);
    // SAFETY: the library says that `len` bytes and a NUL lie there.
    let (text, nul) = unsafe { (std::slice::from_raw_parts(buffer.data.cast::<u8>(), buffer.len), *buffer.data.add(buffer.len)) };
    assert_eq!(nul, 0);
    let text = std::str::from_utf8(text).expect("UTF-8");
    Json::read(text, DEPTH + 8).unwrap_or_else(|| panic!("no JSON: {text}"))
}

/// Checks the text that came with a status, and returns it.
fn answer(status: i32, buffer: &Buffer) -> Json {
    let answer = json(buffer);
    if status != OK {
        let name = Json::String(NAMES[status as usize].to_owned());
        assert_eq!(answer.get("code"), Some(&name), "{answer:?}");
        assert!(matches!(answer.get("message"), Some(Json::String(message)) if !message.is_empty()), "{answer:?}");
        assert!(matches!(answer.get("retryable"), Some(Json::Bool(_))), "{answer:?}");
        let outcome = answer.get("outcome").map(Json::text);
        assert!(matches!(outcome.as_deref(), Some("\"none\"" | "\"unknown\"")), "{answer:?}");
    }
    answer
}

/// What holds for the status of every call: no bug, no fork.
fn check_status(status: i32) {
    assert!((0..16).contains(&status), "{status}");
}

/// What a call says to its handle: `given` is how it stands with it, nothing where this sequence was not given it.
fn check_handle(status: i32, given: Option<Given>) {
    match given {
        // An earlier sequence of this process may have been given it, and has closed it.
        None => assert!(matches!(status, BAD_HANDLE | CLOSED | INVALID), "{status} for a handle that was not given out"),
        Some(Given { is_closed: true, .. }) => assert!(matches!(status, CLOSED | BAD_HANDLE | INVALID), "{status} for a closed handle"),
        // Its journal may be closed.
        Some(_) => assert_ne!(status, BAD_HANDLE, "a live handle"),
    }
}

/// What a close that has nothing to wait for says to its handle. Closing twice is fine, also what an earlier sequence of this process
/// was given.
fn check_close(status: i32, given: Option<Given>) {
    match given {
        None => assert!(matches!(status, OK | BAD_HANDLE), "{status}"),
        Some(_) => assert_eq!(status, OK),
    }
}

/// A handle to use: mostly one of `own`, sometimes one of another kind, zero, or made up.
fn pick(u: &mut Unstructured, own: &[Given], other: &[Given]) -> Result<(u64, Option<Given>)> {
    let id = match u.int_in_range(0..=15)? {
        0 => 0,
        1 => u.arbitrary()?,
        2 if !other.is_empty() => u.choose(other)?.id,
        3 if !own.is_empty() => u.choose(own)?.id ^ (1 << u.int_in_range(0..=63)?),
        _ if !own.is_empty() => u.choose(own)?.id,
        _ => 0,
    };
    Ok((id, own.iter().copied().find(|given| given.id == id)))
}

/// A text to hand in: mostly one of those, sometimes anything.
fn some_text(u: &mut Unstructured, texts: &[&str]) -> Result<Vec<u8>> {
    Ok(if u.ratio(7, 8)? { u.choose(texts)?.as_bytes().to_vec() } else { u.arbitrary::<&[u8]>()?.to_vec() })
}

fn timeout(u: &mut Unstructured) -> Result<i64> {
    Ok(*u.choose(&TIMEOUTS)?)
}

/// Pointer and length, now and then NULL.
fn parts(u: &mut Unstructured, text: &[u8]) -> Result<(*const c_char, usize)> {
    Ok(if u.ratio(1, 32)? { (ptr::null(), text.len()) } else { (text.as_ptr().cast(), text.len()) })
}

impl World {
    /// Makes one call, of which it expects what the header says.
    fn call(&mut self, u: &mut Unstructured) -> Result<()> {
        let has_result = u.ratio(15, 16)?;
        let mut spare = std::mem::replace(&mut self.result, Buffer { data: ptr::null_mut(), len: 0, capacity: 0 });
        let result = has_result.then_some(&mut spare);
        let status = match u.int_in_range(0..=18)? {
            0 | 1 => self.open(u, result),
            2 | 3 => self.open_namespace(u, result),
            4 => self.open_queue(u, result),
            5 | 6 => self.apply(u, result),
            7 => self.query(u, result),
            8 => self.flush(u, result),
            9 => self.quarantine(u, result),
            10 => self.stats(u, result),
            11..=14 => self.begin(u, result),
            15 => {
                let status = self.plain(u);
                opjournal_buffer_free(Some(&mut spare));
                status.map(|()| None)
            }
            16 => self.close(u, result),
            _ => self.fetch(u).map(|()| None),
        };
        if let Ok(Some(status)) = status {
            check_status(status);
            if has_result {
                answer(status, &spare);
            }
        }
        self.result = spare;
        status.map(|_| ())
    }

    fn open(&mut self, u: &mut Unstructured, result: Option<&mut Buffer>) -> Result<Option<i32>> {
        let config = some_text(u, &CONFIGS)?;
        // What the fuzzer makes up must not lead out of the memory of this process.
        if config.windows(5).any(|window| window == b"s3://" || window == b"file:")
            && !CONFIGS.contains(&String::from_utf8_lossy(&config).as_ref())
        {
            return Ok(None);
        }
        let (config, len) = parts(u, &config)?;
        let mut out = MaybeUninit::new(JournalId(UNTOUCHED));
        let out_place = if u.ratio(1, 32)? { None } else { Some(&mut out) };
        let is_given = out_place.is_some();
        // SAFETY: the text lives in this function.
        let status = unsafe { opjournal_open(config, len, out_place, result) };
        // SAFETY: it was initialised.
        let id = unsafe { out.assume_init() }.0;
        assert_eq!(status == OK, id != UNTOUCHED && is_given, "written on OK only");
        if status == OK {
            self.journals.push(Given { id, is_closed: false });
        }
        assert_ne!(status, BUSY, "handles of journals leak");
        Ok(Some(status))
    }

    fn open_namespace(&mut self, u: &mut Unstructured, result: Option<&mut Buffer>) -> Result<Option<i32>> {
        let (journal, given) = pick(u, &self.journals, &self.namespaces)?;
        let name = some_text(u, &NAMESPACES)?;
        let (name, len) = parts(u, &name)?;
        let mut out = MaybeUninit::new(NamespaceId(UNTOUCHED));
        // SAFETY: the text lives in this function.
        let status = unsafe { opjournal_namespace_open(JournalId(journal), name, len, timeout(u)?, Some(&mut out), result) };
        // SAFETY: it was initialised.
        let id = unsafe { out.assume_init() }.0;
        assert_eq!(status == OK, id != UNTOUCHED, "written on OK only");
        if status == OK {
            self.namespaces.push(Given { id, is_closed: false });
        }
        assert_ne!(status, BUSY, "handles of namespaces leak");
        check_handle(status, given);
        Ok(Some(status))
    }

    fn open_queue(&mut self, u: &mut Unstructured, result: Option<&mut Buffer>) -> Result<Option<i32>> {
        let capacity = *u.choose(&[0, 1, 2, 8, 1 << 20, u32::MAX])?;
        let mut out = MaybeUninit::new(QueueId(UNTOUCHED));
        let status = opjournal_queue_open(capacity, Some(&mut out), result);
        // SAFETY: it was initialised.
        let id = unsafe { out.assume_init() }.0;
        assert_eq!(status, if (1..=1 << 20).contains(&capacity) { OK } else { INVALID });
        assert_eq!(status == OK, id != UNTOUCHED, "written on OK only");
        if status == OK {
            self.queues.push(Given { id, is_closed: false });
            self.capacities.push(capacity as usize);
        }
        Ok(Some(status))
    }

    fn apply(&mut self, u: &mut Unstructured, result: Option<&mut Buffer>) -> Result<Option<i32>> {
        let (namespace, given) = pick(u, &self.namespaces, &self.journals)?;
        let ops = some_text(u, &OPS)?;
        let (ops, len) = parts(u, &ops)?;
        // SAFETY: the text lives in this function.
        let status = unsafe { opjournal_apply(NamespaceId(namespace), ops, len, timeout(u)?, result) };
        check_handle(status, given);
        Ok(Some(status))
    }

    fn query(&mut self, u: &mut Unstructured, result: Option<&mut Buffer>) -> Result<Option<i32>> {
        let (namespace, given) = pick(u, &self.namespaces, &self.queues)?;
        let query = some_text(u, &QUERIES)?;
        let (query, len) = parts(u, &query)?;
        // SAFETY: the text lives in this function.
        let status = unsafe { opjournal_query(NamespaceId(namespace), query, len, result) };
        check_handle(status, given);
        Ok(Some(status))
    }

    fn flush(&mut self, u: &mut Unstructured, result: Option<&mut Buffer>) -> Result<Option<i32>> {
        let (namespace, given) = pick(u, &self.namespaces, &self.journals)?;
        let status = opjournal_flush(NamespaceId(namespace), timeout(u)?, result);
        check_handle(status, given);
        Ok(Some(status))
    }

    fn quarantine(&mut self, u: &mut Unstructured, result: Option<&mut Buffer>) -> Result<Option<i32>> {
        let (namespace, given) = pick(u, &self.namespaces, &self.journals)?;
        let key = some_text(u, &["segment-x.json", "segment-019d8b24-b064-7f81-bfb1-539f9d6d8f25.json", "rollup.json", "../a", ""])?;
        let (key, len) = parts(u, &key)?;
        // SAFETY: the text lives in this function.
        let status = unsafe { opjournal_quarantine(NamespaceId(namespace), key, len, timeout(u)?, result) };
        check_handle(status, given);
        assert_ne!(status, OK, "there is no unreadable segment");
        Ok(Some(status))
    }

    fn stats(&mut self, u: &mut Unstructured, result: Option<&mut Buffer>) -> Result<Option<i32>> {
        let (journal, given) = pick(u, &self.journals, &self.queues)?;
        let status = opjournal_stats(JournalId(journal), result);
        check_handle(status, given);
        Ok(Some(status))
    }

    /// An asynchronous call.
    fn begin(&mut self, u: &mut Unstructured, result: Option<&mut Buffer>) -> Result<Option<i32>> {
        let (queue, queue_given) = pick(u, &self.queues, &self.journals)?;
        let (tag, timeout) = (u.int_in_range(0..=3)?, timeout(u)?);
        let kind = u.int_in_range(OPJOURNAL_KIND_NAMESPACE_OPEN..=OPJOURNAL_KIND_CLOSE)?;
        let (handle, given) = match kind {
            OPJOURNAL_KIND_NAMESPACE_OPEN | OPJOURNAL_KIND_CLOSE => pick(u, &self.journals, &self.namespaces)?,
            _ => pick(u, &self.namespaces, &self.journals)?,
        };
        let status = match kind {
            OPJOURNAL_KIND_NAMESPACE_OPEN => {
                let name = some_text(u, &NAMESPACES)?;
                let (name, len) = parts(u, &name)?;
                // SAFETY: the text lives in this function.
                unsafe { opjournal_namespace_open_async(JournalId(handle), QueueId(queue), tag, name, len, timeout, result) }
            }
            OPJOURNAL_KIND_APPLY => {
                let ops = some_text(u, &OPS)?;
                let (ops, len) = parts(u, &ops)?;
                // SAFETY: the text lives in this function.
                unsafe { opjournal_apply_async(NamespaceId(handle), QueueId(queue), tag, ops, len, timeout, result) }
            }
            OPJOURNAL_KIND_FLUSH => opjournal_flush_async(NamespaceId(handle), QueueId(queue), tag, timeout, result),
            _ => opjournal_close_async(JournalId(handle), QueueId(queue), tag, timeout, result),
        };
        let is_alive = |given: Option<Given>| given.is_some_and(|given| !given.is_closed);
        if status == OK {
            assert!(is_alive(given) && is_alive(queue_given), "accepted with a handle that is none");
            let closes = (kind == OPJOURNAL_KIND_CLOSE).then_some(handle);
            self.owed.push(Owed { queue, tag, kind, closes });
            assert!(self.owed_by(queue) <= self.capacity(queue), "more is owed than the queue has slots");
        } else if given.is_none() || queue_given.is_none() {
            assert!(matches!(status, BAD_HANDLE | INVALID | CLOSED), "{status}");
        }
        Ok(Some(status))
    }

    fn owed_by(&self, queue: u64) -> usize {
        self.owed.iter().filter(|owed| owed.queue == queue).count()
    }

    fn capacity(&self, queue: u64) -> usize {
        self.queues.iter().position(|given| given.id == queue).map_or(0, |place| self.capacities[place])
    }

    /// A call that answers with its status alone.
    fn plain(&mut self, u: &mut Unstructured) -> Result<()> {
        match u.int_in_range(0..=3)? {
            0 => {
                let (queue, given) = pick(u, &self.queues, &self.namespaces)?;
                let status = opjournal_cancel(QueueId(queue), u.int_in_range(0..=3)?);
                check_status(status);
                check_handle(status, given);
            }
            1 => {
                let (queue, given) = pick(u, &self.queues, &self.namespaces)?;
                let mut out = MaybeUninit::new(7 as c_int);
                let status = opjournal_queue_fd(QueueId(queue), Some(&mut out));
                // SAFETY: it was initialised.
                let descriptor = unsafe { out.assume_init() };
                assert!(if status == OK { descriptor > 2 } else { descriptor == -1 }, "{status}: {descriptor}");
                check_handle(status, given);
            }
            2 => {
                let status = u.arbitrary()?;
                // SAFETY: a text of the library's own.
                let name = unsafe { CStr::from_ptr(opjournal_status_name(status)) };
                assert!(!name.is_empty());
            }
            _ => {
                // SAFETY: a text of the library's own.
                assert!(!unsafe { CStr::from_ptr(opjournal_version()) }.is_empty() && opjournal_abi_version() > 0);
            }
        }
        Ok(())
    }

    fn close(&mut self, u: &mut Unstructured, result: Option<&mut Buffer>) -> Result<Option<i32>> {
        match u.int_in_range(0..=2)? {
            0 => {
                let (id, given) = pick(u, &self.journals, &self.queues)?;
                let status = opjournal_close(JournalId(id), timeout(u)?, result);
                self.closed(status, given);
                Ok(Some(status))
            }
            1 => {
                let (id, given) = pick(u, &self.namespaces, &self.queues)?;
                let status = opjournal_namespace_close(NamespaceId(id));
                check_close(status, given);
                self.namespaces.iter_mut().filter(|given| given.id == id).for_each(|given| given.is_closed = true);
                Ok(None)
            }
            _ => {
                let (id, given) = pick(u, &self.queues, &self.journals)?;
                let status = opjournal_queue_close(QueueId(id));
                match given {
                    Some(_) if self.owed_by(id) > 0 => assert_eq!(status, BUSY),
                    _ => check_close(status, given),
                }
                if status == OK {
                    self.queues.iter_mut().filter(|given| given.id == id).for_each(|given| given.is_closed = true);
                }
                Ok(None)
            }
        }
    }

    /// A close of a journal has ended.
    fn closed(&mut self, status: i32, given: Option<Given>) {
        match given {
            _ if status == INVALID => {}
            Some(_) if status == TIMED_OUT => {}
            _ => check_close(status, given),
        }
        if let Some(Given { id, .. }) = given
            && matches!(status, OK | TIMED_OUT)
        {
            self.journals.iter_mut().filter(|given| given.id == id).for_each(|given| given.is_closed = true);
        }
    }

    /// Fetches completions.
    fn fetch(&mut self, u: &mut Unstructured) -> Result<()> {
        let (queue, given) = pick(u, &self.queues, &self.namespaces)?;
        let timeout = if u.arbitrary()? { Some(*u.choose(&[0, 1, -2])?) } else { None };
        let status = self.take(queue, u.int_in_range(0..=3)?, timeout);
        check_handle(status, given);
        Ok(())
    }

    /// Polls, or waits, for up to `most` completions, each of which must be owed.
    fn take(&mut self, queue: u64, most: usize, timeout: Option<i64>) -> i32 {
        let mut out: Vec<MaybeUninit<Completion>> = (0..most.max(1)).map(|_| MaybeUninit::uninit()).collect();
        let mut count = MaybeUninit::new(usize::MAX);
        let place = out.as_mut_ptr().cast::<Completion>();
        // SAFETY: there is room for `most`.
        let status = unsafe {
            match timeout {
                Some(timeout) => opjournal_queue_wait(QueueId(queue), place, most, timeout, Some(&mut count)),
                None => opjournal_queue_poll(QueueId(queue), place, most, Some(&mut count)),
            }
        };
        check_status(status);
        // SAFETY: it was initialised.
        let count = unsafe { count.assume_init() };
        if status != OK {
            assert_eq!(count, usize::MAX, "written on OK only");
            return status;
        }
        assert!(count <= most && (timeout.is_none() || count > 0));
        for completion in out.into_iter().take(count) {
            // SAFETY: the library says that it filled so many.
            self.heard(queue, unsafe { completion.assume_init() });
        }
        status
    }

    fn heard(&mut self, queue: u64, mut completion: Completion) {
        check_status(completion.status);
        assert_eq!(completion.reserved, [0; 2]);
        let matches = |owed: &Owed| owed.queue == queue && owed.tag == completion.tag && owed.kind == completion.kind;
        let place = self.owed.iter().position(matches).expect("a completion that nobody owes");
        let owed = self.owed.swap_remove(place);
        let answer = answer(completion.status, &completion.result);
        if completion.kind == OPJOURNAL_KIND_NAMESPACE_OPEN && completion.status == OK {
            let Some(Json::Number(id)) = answer.get("namespace") else { panic!("no namespace: {answer:?}") };
            self.namespaces.push(Given { id: id.parse().expect("a handle"), is_closed: false });
        }
        if let Some(id) = owed.closes {
            self.journals.iter_mut().filter(|given| given.id == id).for_each(|given| given.is_closed = true);
        }
        opjournal_buffer_free(Some(&mut completion.result));
    }

    /// Closes everything that is open, in this order: what completes, completes with it.
    fn end(mut self) {
        for given in self.journals.clone() {
            assert_eq!(opjournal_close(JournalId(given.id), i64::MIN, None), OK, "a journal in memory closes in time");
            assert_eq!(opjournal_close(JournalId(given.id), 0, None), OK, "closing twice is fine");
            assert_eq!(opjournal_stats(JournalId(given.id), None), CLOSED);
        }
        for given in self.queues.clone() {
            while self.owed_by(given.id) > 0 {
                assert_eq!(self.take(given.id, 4, Some(20_000)), OK, "a completion is owed, and does not come");
            }
            assert_eq!(opjournal_queue_close(QueueId(given.id)), OK, "nothing is owed");
            assert_eq!(opjournal_cancel(QueueId(given.id), 0), CLOSED);
        }
        for given in &self.namespaces {
            assert_eq!(opjournal_namespace_close(NamespaceId(given.id)), OK);
            // SAFETY: an empty text.
            assert_eq!(unsafe { opjournal_query(NamespaceId(given.id), ptr::null(), 0, None) }, CLOSED);
        }
        opjournal_buffer_free(Some(&mut self.result));
    }
}
