//! Rows of several jobs in one request, where model and shapes agree: for models whose cost is per request.
//!
//! The first row that finds no request to go with waits for a moment, and those that come meanwhile go with it. A request is
//! made by a task of its own, so that none of the jobs can hold up the others by being given up.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ndarray::{Axis, concatenate};
use tokio::sync::{Notify, oneshot};

use super::batch::{Inputs, Outputs};
use super::error::Error;
use super::model::ModelId;
use crate::compute;

/// Requests that wait for company. Clones share them.
#[derive(Clone)]
pub(super) struct Pooling {
    wait: Duration,
    open: Arc<Mutex<HashMap<Kind, Arc<Open>>>>,
}

/// What has to agree: the model, and names and shapes of the inputs but for their rows.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Kind {
    model: ModelId,
    inputs: Vec<(String, Vec<usize>)>,
}

/// A request that is not made yet.
#[derive(Default)]
struct Open {
    members: Mutex<Vec<Member>>,
    full: Notify,
}

struct Member {
    rows: usize,
    inputs: Inputs,
    /// Takes the answer; gives the inputs back where the request failed, which may be another's fault.
    done: oneshot::Sender<Result<Outputs, Inputs>>,
}

impl Pooling {
    /// Requests wait that long for company.
    pub(super) fn new(wait: Duration) -> Self {
        Self {
            wait,
            open: Arc::default(),
        }
    }

    /// The answer to these inputs, in a request of up to `most` rows that `send` makes.
    ///
    /// # Errors
    /// Those of a request with these inputs alone.
    pub(super) async fn predict<F>(
        &self,
        model: &ModelId,
        inputs: Inputs,
        most: usize,
        send: impl Fn(Inputs) -> F + Clone + Send + 'static,
    ) -> Result<Outputs, Error>
    where
        F: Future<Output = Result<Outputs, Error>> + Send,
    {
        let Some((kind, rows)) = kind_of(model, &inputs).filter(|(_, rows)| *rows < most) else {
            return send(inputs).await;
        };
        let (done, answer) = oneshot::channel();
        let member = Member { rows, inputs, done };
        if let Some(open) = self.join(&kind, member, most) {
            let (pooling, send) = (self.clone(), send.clone());
            tokio::spawn(async move {
                let _ = tokio::time::timeout(pooling.wait, open.full.notified()).await;
                pooling.close(&kind, &open);
                let members = std::mem::take(&mut *lock(&open.members));
                make(members, send).await;
            });
        }
        match answer.await {
            Ok(Ok(outputs)) => Ok(outputs),
            Ok(Err(inputs)) => send(inputs).await,
            // Only a runtime that is shutting down drops the task.
            Err(_) => std::future::pending().await,
        }
    }

    /// Adds a member to the open request of its kind. Where there is none, or no room in it, another is opened and given back.
    fn join(&self, kind: &Kind, member: Member, most: usize) -> Option<Arc<Open>> {
        let mut all = lock(&self.open);
        if let Some(open) = all.get(kind).cloned() {
            let mut members = lock(&open.members);
            let rows: usize = members.iter().map(|member| member.rows).sum();
            let has_room = rows + member.rows <= most;
            if rows + member.rows >= most {
                all.remove(kind);
                open.full.notify_one();
            }
            if has_room {
                members.push(member);
                return None;
            }
        }
        let open = Arc::new(Open {
            members: Mutex::new(vec![member]),
            full: Notify::new(),
        });
        all.insert(kind.clone(), Arc::clone(&open));
        Some(open)
    }

    /// Nobody joins this request any more.
    fn close(&self, kind: &Kind, open: &Arc<Open>) {
        let mut all = lock(&self.open);
        if all.get(kind).is_some_and(|other| Arc::ptr_eq(other, open)) {
            all.remove(kind);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The kind of these inputs and their rows; nothing if they do not have one number of rows.
fn kind_of(model: &ModelId, inputs: &Inputs) -> Option<(Kind, usize)> {
    let mut kinds = Vec::with_capacity(inputs.len());
    let mut rows = None;
    for (name, array) in inputs {
        let (first, rest) = array.shape().split_first()?;
        if *rows.get_or_insert(*first) != *first || *first == 0 {
            return None;
        }
        kinds.push((name.clone(), rest.to_vec()));
    }
    let kind = Kind {
        model: model.clone(),
        inputs: kinds,
    };
    Some((kind, rows?))
}

/// Makes a request of all members that still wait, and tells each its part of the answer.
async fn make<F>(mut members: Vec<Member>, send: impl Fn(Inputs) -> F)
where
    F: Future<Output = Result<Outputs, Error>>,
{
    members.retain(|member| !member.done.is_closed());
    if members.len() == 1 {
        // It makes its own request, with its own errors and retries.
        members.into_iter().for_each(give_back);
        return;
    }
    let (members, joined) = compute::run(move || {
        let joined = joined(&members);
        (members, joined)
    })
    .await;
    let answer = match joined {
        Some(joined) => send(joined).await.ok(),
        None => None,
    };
    let rows: usize = members.iter().map(|member| member.rows).sum();
    let answer = answer.filter(|outputs| {
        let mut counts = outputs.iter().map(|(_, floats)| floats.shape().first());
        counts.all(|count| count == Some(&rows))
    });
    let Some(outputs) = answer else {
        members.into_iter().for_each(give_back);
        return;
    };
    let mut first = 0;
    for member in members {
        let rows = first..first + member.rows;
        first += member.rows;
        let part = outputs
            .iter()
            .map(|(name, floats)| (name.clone(), floats.rows(rows.clone())));
        let _ = member.done.send(Ok(part.collect()));
    }
}

fn give_back(member: Member) {
    let _ = member.done.send(Err(member.inputs));
}

/// The inputs of all members, one after the other.
fn joined(members: &[Member]) -> Option<Inputs> {
    let first = members.first()?;
    let names = first
        .inputs
        .iter()
        .map(|(name, _)| name.clone())
        .enumerate();
    let joined = names.map(|(place, name)| {
        let views: Vec<_> = members
            .iter()
            .filter_map(|member| Some(member.inputs.get(place)?.1.view()))
            .collect();
        Some((name, concatenate(Axis(0), &views).ok()?))
    });
    joined.collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;
    use ndarray::ArrayD;

    use super::*;

    fn rows(count: usize, columns: usize, value: f32) -> Inputs {
        vec![(
            "x".to_owned(),
            ArrayD::from_elem(vec![count, columns], value),
        )]
    }

    fn answered(inputs: Inputs) -> Outputs {
        let inputs = inputs.into_iter();
        inputs.map(|(name, array)| (name, array.into())).collect()
    }

    /// Notes how many rows a request has, and gives them back; refuses any that holds a 13.
    #[derive(Clone, Default)]
    struct Server(Arc<Mutex<Vec<usize>>>, Arc<AtomicUsize>);

    impl Server {
        fn send(
            &self,
        ) -> impl Fn(
            Inputs,
        )
            -> std::pin::Pin<Box<dyn Future<Output = Result<Outputs, Error>> + Send>>
        + Clone
        + Send
        + 'static {
            let server = self.clone();
            move |inputs: Inputs| {
                let server = server.clone();
                Box::pin(async move {
                    lock(&server.0).push(inputs[0].1.shape()[0]);
                    if inputs[0].1.iter().any(|value| *value == 13.0) {
                        server.1.fetch_add(1, Ordering::Relaxed);
                        return Err(Error::Failed {
                            model: ModelId::new("m", 1),
                            message: "unlucky".to_owned(),
                        });
                    }
                    Ok(answered(inputs))
                })
            }
        }
    }

    async fn all(
        pooling: &Pooling,
        server: &Server,
        given: Vec<Inputs>,
        most: usize,
    ) -> Vec<Result<Outputs, Error>> {
        let model = ModelId::new("m", 1);
        let calls = given
            .into_iter()
            .map(|inputs| pooling.predict(&model, inputs, most, server.send()));
        join_all(calls).await
    }

    #[tokio::test]
    async fn rows_of_several_go_together_and_each_gets_its_own_back() {
        let (pooling, server) = (Pooling::new(Duration::from_millis(20)), Server::default());
        let given: Vec<_> = (0..10_u8)
            .map(|value| rows(1 + usize::from(value % 2), 3, value.into()))
            .collect();
        let answers = all(&pooling, &server, given.clone(), 8).await;
        for (answer, given) in answers.into_iter().zip(given) {
            assert_eq!(answer.expect("an answer"), answered(given));
        }
        let sent = lock(&server.0).clone();
        assert_eq!(sent.iter().sum::<usize>(), 15);
        assert!(
            sent.len() < 10 && sent.iter().all(|rows| *rows <= 8),
            "{sent:?}"
        );
    }

    #[tokio::test]
    async fn other_shapes_and_full_batches_go_by_themselves() {
        let (pooling, server) = (Pooling::new(Duration::from_millis(5)), Server::default());
        let given = vec![rows(1, 3, 1.0), rows(1, 4, 2.0), rows(8, 3, 3.0)];
        let answers = all(&pooling, &server, given, 8).await;
        assert!(answers.iter().all(Result::is_ok));
        let mut sent = lock(&server.0).clone();
        sent.sort_unstable();
        assert_eq!(sent, [1, 1, 8]);
    }

    #[tokio::test]
    async fn the_fault_of_one_is_not_that_of_the_others() {
        let (pooling, server) = (Pooling::new(Duration::from_millis(20)), Server::default());
        let given = vec![rows(1, 3, 1.0), rows(1, 3, 13.0), rows(1, 3, 2.0)];
        let answers = all(&pooling, &server, given, 8).await;
        let failed: Vec<_> = answers.iter().map(Result::is_err).collect();
        assert_eq!(failed, [false, true, false]);
        assert_eq!(
            server.1.load(Ordering::Relaxed),
            2,
            "together, and by itself"
        );
    }

    #[tokio::test]
    async fn whoever_is_given_up_holds_up_nobody() {
        let (pooling, server) = (Pooling::new(Duration::from_millis(30)), Server::default());
        let model = ModelId::new("m", 1);
        let first = pooling.predict(&model, rows(1, 3, 1.0), 8, server.send());
        let given_up = tokio::time::timeout(Duration::from_millis(1), first).await;
        assert!(given_up.is_err(), "it waits for company");
        let answers = all(&pooling, &server, vec![rows(1, 3, 2.0), rows(1, 3, 3.0)], 8).await;
        assert!(answers.iter().all(Result::is_ok));
        assert_eq!(*lock(&server.0), [2]);
    }
}
