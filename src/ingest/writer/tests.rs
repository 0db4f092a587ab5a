//! That the writer ends when it is told to, whatever it waits for, over a real store.

use bytes::Bytes;

use super::*;
use crate::ingest::{Budget, Delivery, Inbox, Origin};
use crate::{seal, store};

const PATIENCE: Duration = Duration::from_secs(60);

/// Goes with its test.
struct Directory(std::path::PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Bench {
    directory: Directory,
    store: Store,
    ingest: Ingest,
    writer: Writer,
    inbox: Arc<Inbox>,
    _outlets: Outlets,
}

impl Bench {
    async fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("sealgate-writer-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        let config = store::Config { data_dir: directory.clone(), ..store::Config::default() };
        let store = Store::open(&config, &store::DatabaseConfig::default()).await.unwrap();
        let masters = seal::MasterKeySource::of_data_dir(&directory).open_or_make().unwrap();
        let guard = Arc::new(Guard::new(&seal::Config::default(), masters, store.clone()));
        let registry = Registry::default();
        let (ingest, writer, _outlets) = Writer::open(
            &Config::default(),
            guard,
            store.clone(),
            None,
            &registry,
            &Ready::new(&registry),
            Wanted::default(),
        );
        Bench { directory: Directory(directory), store, ingest, writer, inbox: Arc::default(), _outlets }
    }

    /// A message of a device that is looked up, because nobody knows it.
    fn submit(&self) {
        let permit = Budget::new(1024 * 1024).share().try_take(1).unwrap();
        let delivery = Delivery::new("stranger".into(), Bytes::from_static(b"\x01"), Origin::Retry);
        self.ingest.submit(delivery, self.ingest.receive(&self.inbox, 7), permit);
    }

    /// Runs the writer; `ingest` stays, so there is more to come as far as it knows.
    async fn run(self, give_up: &CancellationToken) -> Directory {
        tokio::time::timeout(PATIENCE, self.writer.run(give_up.clone())).await.expect("it ends when it is told to");
        tokio::time::timeout(PATIENCE, self.inbox.notified()).await.expect("the message is settled");
        assert_eq!(self.inbox.take(), [(7, Settled::Lost)]);
        let counts = self.ingest.ledger().counts();
        assert_eq!((counts.dropped(Cause::Shutdown), counts.in_flight(), counts.difference()), (1, 0, 0));
        self.directory
    }
}

#[tokio::test]
async fn a_look_up_that_hangs_does_not_hold_the_writer() {
    let bench = Bench::new("hangs").await;
    // A store that is closed answers nothing, and is asked again for ever.
    bench.store.clone().close().await;
    bench.submit();
    let give_up = CancellationToken::new();
    let later = give_up.clone();
    tokio::spawn(async move {
        tokio::task::yield_now().await;
        later.cancel();
    });
    bench.run(&give_up).await;
}

#[tokio::test]
async fn what_waits_is_given_up_and_not_committed() {
    let bench = Bench::new("waits").await;
    bench.submit();
    while bench.writer.queue.lock().await.jobs.is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (store, give_up) = (bench.store.clone(), CancellationToken::new());
    give_up.cancel();
    let _directory = bench.run(&give_up).await;
    assert_eq!(store.quarantine_usage().await.unwrap().rows, 0);
}

/// What one poll comes to.
fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
    future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}

#[tokio::test]
async fn beside_a_commit_a_few_messages_wait_for_company_until_it_ends() {
    let bench = Bench::new("company").await;
    let company = bench.writer.hand.company.clone();
    let committing = company.begin();
    bench.submit();
    let mut queue = bench.writer.queue.lock().await;
    while queue.jobs.is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    {
        let mut next = std::pin::pin!(queue.next());
        assert!(poll_once(next.as_mut()).is_pending());
        drop(committing);
        assert!(matches!(poll_once(next.as_mut()), std::task::Poll::Ready(Some(batch)) if batch.entries.len() == 1));
    }
    // One that hangs holds up nobody for long, and what has waited in vain is not lost.
    let _hangs = company.begin();
    bench.submit();
    bench.submit();
    let waited = async { queue.next().await.map(|batch| batch.entries.len()) };
    assert!(tokio::time::timeout(PATIENCE, waited).await.unwrap().is_some_and(|messages| messages > 0));
}

#[tokio::test]
async fn what_waits_for_company_is_given_up_with_the_rest() {
    let bench = Bench::new("given-up").await;
    let company = bench.writer.hand.company.clone();
    let _committing = company.begin();
    bench.submit();
    let mut queue = bench.writer.queue.lock().await;
    while queue.jobs.is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(poll_once(std::pin::pin!(queue.next())).is_pending());
    assert!(queue.jobs.is_empty());
    assert_eq!(queue.close().count(), 1);
}
