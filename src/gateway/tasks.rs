//! Tasks that belong together, each with its name.

use tokio::task::JoinSet;

/// Tasks of which none should end before it is told to.
#[derive(Default)]
pub(super) struct Tasks(JoinSet<&'static str>);

impl Tasks {
    /// One more.
    pub(super) fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let task = tokio::spawn(task);
        // One that has panicked has ended like any other, and bears its name.
        self.0.spawn(async move {
            let _ = task.await;
            name
        });
    }

    /// The name of the next one that ends; waits for ever if there is none.
    pub(super) async fn next_end(&mut self) -> &'static str {
        match self.0.join_next().await {
            Some(Ok(name)) => name,
            Some(Err(_)) => "(cancelled)",
            None => std::future::pending().await,
        }
    }

    /// Waits until all have ended.
    pub(super) async fn all_ended(&mut self) {
        while self.0.join_next().await.is_some() {}
    }
}
