//! Redis behind proxies, with a Sentinel or without, the bucket and the model server, each of which can go away and come back.

use std::time::{Duration, Instant};

use redis_consumer::serving::{Model, ModelId, ModelServer};

use super::fleet::PODS;
use super::peers::faults::Fault;
use super::peers::redis::{Redis, Sentinel, free_port};
use super::peers::s3::S3Server;
use super::peers::{exact_models, graph_models};
use super::rights::{self, Loss};
use super::uploads;
use super::ways::{Break, Way};

/// What consumers connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topology {
    /// One Redis.
    Plain,
    /// Two servers, of which a Sentinel names the master.
    Sentinel,
}

pub(crate) struct Servers {
    nodes: Vec<Redis>,
    sentinel: Option<Sentinel>,
    /// One for each consumer.
    ways: Vec<Way>,
    pub(crate) s3: S3Server,
    models: Option<ModelServer>,
    model_port: u16,
    topology: Topology,
    /// How far the clock of each node is from the right time, in seconds.
    clocks: Vec<i64>,
    /// When something comes back.
    redis_back: Option<Instant>,
    rights_back: Option<Instant>,
    memory_back: Option<Instant>,
    models_back: Option<Instant>,
}

/// What one node gets, so that it can be killed.
const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

impl Servers {
    pub(crate) async fn start(topology: Topology) -> Self {
        let mut nodes = vec![start_redis(&DURABLE)];
        let mut sentinel = None;
        if topology == Topology::Sentinel {
            sentinel = Some(replicate(&mut nodes).await);
        }
        let ports: Vec<_> = nodes.iter().map(Redis::port).collect();
        let mut ways = Vec::new();
        for _ in 0..PODS {
            ways.push(Way::start(&ports, sentinel.as_ref().map(|sentinel| sentinel.port)).await);
        }
        let s3 = S3Server::start();
        uploads::put_shared(&s3);
        let model_port = free_port();
        let models = ModelServer::start(model_port, models()).await;
        Self {
            clocks: vec![0; nodes.len()],
            nodes,
            sentinel,
            ways,
            s3,
            models: Some(models.expect("the port is free")),
            model_port,
            topology,
            redis_back: None,
            rights_back: None,
            memory_back: None,
            models_back: None,
        }
    }

    /// The settings of a consumer that are about servers.
    pub(crate) fn environment(&self, pod: usize) -> Vec<(String, String)> {
        let mut variables = self.s3.environment();
        variables.extend(
            [
                ("REDIS_HOST", "127.0.0.1".to_owned()),
                ("REDIS_PORT", self.ways[pod].port().to_string()),
                ("REDIS_USERNAME", rights::USER.to_owned()),
                ("REDIS_PASSWORD", rights::PASSWORD.to_owned()),
                ("TF_HOST", "127.0.0.1".to_owned()),
                ("TF_PORT", self.model_port.to_string()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        variables
    }

    /// The server that takes writes, if one does now.
    pub(crate) fn master(&self) -> Option<&Redis> {
        if self.redis_back.is_some() {
            return None;
        }
        self.nodes.iter().find(|node| node.is_master())
    }

    /// Waits until what the master has acknowledged survives a failover.
    pub(crate) fn replicate(&self, master: &Redis) -> bool {
        self.topology == Topology::Plain || master.replicas_have_it()
    }

    pub(crate) fn restart_redis(&mut self, down: Duration) -> u64 {
        if self.redis_back.is_some() {
            return 0;
        }
        self.nodes[0].kill();
        self.redis_back = Some(Instant::now() + down);
        1
    }

    pub(crate) fn fail_over(&mut self) -> u64 {
        let Some(sentinel) = &self.sentinel else {
            return 0;
        };
        u64::from(sentinel.knows_a_replica("mymaster") && sentinel.try_fail_over("mymaster"))
    }

    /// Cuts all consumers off.
    pub(crate) fn cut(&mut self, time: Duration) -> u64 {
        for way in &mut self.ways {
            way.break_for(Break::Closed, time);
        }
        1
    }

    /// Cuts one off.
    pub(crate) fn break_way(&mut self, pod: usize, how: Break, time: Duration) -> u64 {
        self.ways[pod].break_for(how, time);
        1
    }

    pub(crate) fn slow(&mut self, time: Duration) -> u64 {
        for way in &mut self.ways {
            way.slow_for(time);
        }
        1
    }

    /// Puts the clock of a node ahead or back, and tells whether it went.
    pub(crate) fn put_clock(&mut self, seconds: i64, pick: u64) -> u64 {
        let node = pick as usize % self.nodes.len();
        let redis = &self.nodes[node];
        let time = || redis.try_ask::<(i64, i64)>(&["TIME"]).map(|(now, _)| now);
        let before = time();
        self.clocks[node] += seconds;
        redis.set_clock(self.clocks[node]);
        let (Ok(before), Ok(after)) = (before, time()) else {
            return 0;
        };
        u64::from((after - before - seconds).abs() <= 1)
    }

    /// No node has room for anything more.
    pub(crate) fn fill_memory(&mut self, time: Duration) -> u64 {
        let filled = self.set_max_memory("1mb");
        self.memory_back = Some(Instant::now() + time);
        filled
    }

    pub(crate) fn take_rights(&mut self, loss: Loss, time: Duration) -> u64 {
        if self.rights_back.is_some() {
            return 0;
        }
        let taken = self.nodes.iter().filter(|node| loss.take_from(node));
        let taken = taken.count();
        self.rights_back = Some(Instant::now() + time);
        u64::from(taken == self.nodes.len())
    }

    pub(crate) fn break_storage(&mut self, status: u16, time: Duration) -> u64 {
        self.s3.faults.fail_for(time, Fault::Status(status));
        1
    }

    pub(crate) fn stop_models(&mut self, time: Duration) -> u64 {
        let Some(models) = self.models.take() else {
            return 0;
        };
        drop(models);
        self.models_back = Some(Instant::now() + time);
        1
    }

    /// Brings back what was away for long enough.
    pub(crate) async fn tick(&mut self) {
        let now = Instant::now();
        let due = |at: &mut Option<Instant>| at.take_if(|at| *at <= now).is_some();
        if due(&mut self.redis_back) {
            self.nodes[0].resume();
        }
        if due(&mut self.rights_back) {
            self.nodes.iter().for_each(rights::give_back);
        }
        if due(&mut self.memory_back) {
            self.set_max_memory("0");
        }
        self.ways.iter_mut().for_each(Way::tick);
        if due(&mut self.models_back) {
            match ModelServer::start(self.model_port, models()).await {
                Ok(models) => self.models = Some(models),
                // The old one has not let go of the port yet.
                Err(_) => self.models_back = Some(now),
            }
        }
        self.s3.faults.forget();
    }

    /// Brings everything back. Clocks stay as they are.
    pub(crate) async fn calm(&mut self) {
        let now = Instant::now();
        for at in [
            &mut self.redis_back,
            &mut self.rights_back,
            &mut self.memory_back,
            &mut self.models_back,
        ] {
            *at = at.map(|_| now);
        }
        self.ways.iter_mut().for_each(Way::calm);
        self.s3.faults.fail_for(Duration::ZERO, Fault::HangUp);
        // At least once: what is away comes back although nothing else is.
        self.tick().await;
        while self.models.is_none() || self.master().is_none() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            self.tick().await;
        }
    }

    fn set_max_memory(&self, bytes: &str) -> u64 {
        let command = ["CONFIG", "SET", "maxmemory", bytes];
        // A server that is away has no limit when it comes back.
        let set = self.nodes.iter();
        let set = set.filter(|node| node.try_ask::<String>(&command).is_ok());
        u64::from(set.count() == self.nodes.len())
    }
}

/// A Redis with a clock of its own and the user of the consumers.
fn start_redis(arguments: &[&str]) -> Redis {
    let user = rights::arguments();
    let all = arguments.iter().copied();
    let all: Vec<_> = all.chain(user.iter().map(String::as_str)).collect();
    Redis::start_with_clock(&all)
}

/// Adds a replica, and a Sentinel that watches both.
async fn replicate(nodes: &mut Vec<Redis>) -> Sentinel {
    let port = nodes[0].port().to_string();
    let follow = ["--appendonly", "yes", "--replicaof", "127.0.0.1", &port];
    let at_once = ["--repl-diskless-sync-delay", "0"];
    nodes.push(start_redis(&[&follow[..], &at_once].concat()));
    // A master without a replica takes no writes: else those of its last moments would be lost.
    nodes.iter().for_each(Redis::refuse_writes_without_replica);
    while !nodes[0].replicas_have_it() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let quick =
        "sentinel down-after-milliseconds mymaster 1000\nsentinel failover-timeout mymaster 3000\n";
    let started = Sentinel::start_with(&nodes[0], "mymaster", quick);
    while !started.knows_a_replica("mymaster") {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    started
}

fn models() -> Vec<Model> {
    vec![
        exact_models::model("nuclear", "NuclearSegmentation:6", [64, 64]),
        graph_models::encoder(&ModelId::new("NuclearTrackingNE", 6)),
        graph_models::inference(
            &ModelId::new("NuclearTrackingInf", 6),
            &graph_models::defaults(),
        ),
    ]
}
