//! What a close has let go of by the time it is told.

use opjournal::Journal;
use opjournal::config::Settings;
use opjournal::environment::{Environment, Process};
use opjournal::store::memory::MemoryStore;
use std::sync::Arc;

const QUERY: &[u8] = br#"{"op":"IntGet","Key":"n"}"#;

async fn open(name: &str) -> Journal {
    let environment: Arc<dyn Environment> = Arc::new(Process::new(tokio::runtime::Handle::current()));
    Journal::open(Settings::default(), Arc::new(MemoryStore::open(name)), environment, None).await.expect("a store in memory is there")
}

#[tokio::test]
async fn a_store_in_memory_is_gone_with_its_last_journal_whoever_still_holds_a_part_of_it() {
    let (one, two) = (open("closed").await, open("closed").await);
    let namespace = one.namespace("", None).await.expect("open");
    let write = namespace.submit(br#"{"op":"IntAdd","Key":"n","Delta":1}"#, None).expect("accepted");
    write.outcome().await.expect("durable");
    one.close(None).await.expect("nothing is on its way");
    let count = async |journal: &Journal| {
        let mut answer = Vec::new();
        journal.namespace("", None).await.expect("open").query(QUERY, &mut answer).expect("ready");
        String::from_utf8(answer).expect("UTF-8")
    };
    assert_eq!(count(&two).await, "1");
    assert_eq!(count(&open("closed").await).await, "1", "the second one is open");
    two.close(None).await.expect("nothing is on its way");
    assert_eq!(count(&open("closed").await).await, "0");
    // Held until here, as a host's handles and the tasks of the library may be.
    drop((namespace, write));
}
