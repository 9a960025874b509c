//! Redis behind a proxy or a Sentinel, the bucket and the model server, each of which can go away and come back.

use std::time::{Duration, Instant};

use redis_consumer::serving::{Model, ModelId, ModelServer};

use super::INPUT;
use super::peers::faults::Fault;
use super::peers::proxy::Proxy;
use super::peers::redis::{Redis, Replica, Sentinel, free_port};
use super::peers::results::zipped;
use super::peers::s3::S3Server;
use super::peers::{exact_models, graph_models};

/// What consumers connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topology {
    /// One Redis, through a proxy.
    Plain,
    /// Two servers, of which a Sentinel names the master.
    Sentinel,
}

pub(crate) struct Servers {
    nodes: Vec<Redis>,
    sentinel: Option<Sentinel>,
    proxy: Proxy,
    pub(crate) s3: S3Server,
    models: Option<ModelServer>,
    model_port: u16,
    topology: Topology,
    /// When something comes back.
    redis_back: Option<Instant>,
    proxy_back: Option<Instant>,
    swift_again: Option<Instant>,
    models_back: Option<Instant>,
}

impl Servers {
    pub(crate) async fn start(topology: Topology) -> Self {
        let redis = Redis::start();
        let proxy = Proxy::start(([127, 0, 0, 1], redis.port()).into()).await;
        let mut nodes = vec![redis];
        let mut sentinel = None;
        if topology == Topology::Sentinel {
            let replica = Replica::start(&nodes[0]);
            // A master without a replica takes no writes: else those of its last moments would be lost.
            nodes
                .iter()
                .chain([&replica.redis])
                .for_each(Redis::refuse_writes_without_replica);
            replica.catch_up(&nodes[0]);
            let quick = "sentinel down-after-milliseconds mymaster 1000\nsentinel failover-timeout mymaster 3000\n";
            let started = Sentinel::start_with(&nodes[0], "mymaster", quick);
            while !started.knows_a_replica("mymaster") {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            nodes.push(replica.redis);
            sentinel = Some(started);
        }
        let s3 = S3Server::start();
        s3.put(INPUT, &image());
        s3.put("uploads/broken.tif", b"II*\0broken");
        s3.put("uploads/cells.zip", &archive());
        s3.put("uploads/movie.tif", &movie());
        let model_port = free_port();
        let models = Some(
            ModelServer::start(model_port, models())
                .await
                .expect("the port is free"),
        );
        Self {
            nodes,
            sentinel,
            proxy,
            s3,
            models,
            model_port,
            topology,
            redis_back: None,
            proxy_back: None,
            swift_again: None,
            models_back: None,
        }
    }

    /// The settings of a consumer that are about servers.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let port = self
            .sentinel
            .as_ref()
            .map_or(self.proxy.port, |sentinel| sentinel.port);
        let mut variables = self.s3.environment();
        variables.extend(
            [
                ("REDIS_HOST", "127.0.0.1".to_owned()),
                ("REDIS_PORT", port.to_string()),
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

    pub(crate) async fn fail_over(&mut self) -> u64 {
        let Some(sentinel) = &self.sentinel else {
            return 0;
        };
        u64::from(sentinel.knows_a_replica("mymaster") && sentinel.try_fail_over("mymaster"))
    }

    pub(crate) fn cut(&mut self, time: Duration) -> u64 {
        if self.topology == Topology::Sentinel {
            return self
                .nodes
                .iter()
                .map(Redis::drop_clients)
                .sum::<u64>()
                .min(1);
        }
        self.proxy.close();
        self.proxy_back = Some(Instant::now() + time);
        1
    }

    pub(crate) fn slow(&mut self, time: Duration) -> u64 {
        if self.topology == Topology::Sentinel {
            return 0;
        }
        self.proxy.delay(Duration::from_millis(60));
        self.swift_again = Some(Instant::now() + time);
        1
    }

    pub(crate) fn break_storage(&mut self, status: u16, time: Duration) -> u64 {
        self.s3.faults.fail_for(time, Fault::Status(status));
        1
    }

    pub(crate) async fn stop_models(&mut self, time: Duration) -> u64 {
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
        if due(&mut self.proxy_back) {
            self.proxy.open();
        }
        if due(&mut self.swift_again) {
            self.proxy.delay(Duration::ZERO);
        }
        if due(&mut self.models_back) {
            match ModelServer::start(self.model_port, models()).await {
                Ok(models) => self.models = Some(models),
                // The old one has not let go of the port yet.
                Err(_) => self.models_back = Some(now),
            }
        }
    }

    /// Brings everything back.
    pub(crate) async fn calm(&mut self) {
        let now = Instant::now();
        for at in [
            &mut self.redis_back,
            &mut self.proxy_back,
            &mut self.swift_again,
            &mut self.models_back,
        ] {
            *at = at.map(|_| now);
        }
        self.s3.faults.fail_for(Duration::ZERO, Fault::HangUp);
        // At least once: what is cut off comes back although nothing else is away.
        self.tick().await;
        while self.models.is_none() || self.master().is_none() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            self.tick().await;
        }
    }
}

/// Images in the archive, of which one is broken.
pub(crate) const ARCHIVED: usize = 5;

fn archive() -> Vec<u8> {
    let entry = |n| {
        (
            format!("plate/{n}.tif"),
            if n == 2 {
                b"II*\0broken".to_vec()
            } else {
                image()
            },
        )
    };
    zipped((0..ARCHIVED).map(entry))
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

/// Frames of the movie.
pub(crate) const FRAMES: usize = 4;

/// A bright square that moves.
fn movie() -> Vec<u8> {
    let movie = ndarray::Array3::from_shape_fn((FRAMES, 64, 64), |(frame, row, column)| {
        if row.abs_diff(20 + frame) < 8 && column.abs_diff(30) < 8 {
            200.0_f32
        } else {
            20.0
        }
    });
    bioimage::encode_tiff(movie.view().into_dyn())
}

/// A picture of 64 x 64 pixels with a few bright squares.
fn image() -> Vec<u8> {
    let pixels = ndarray::Array2::from_shape_fn((64, 64), |(row, column)| {
        if (row / 8 + column / 8) % 3 == 0 {
            1000.0_f32 + row as f32
        } else {
            100.0
        }
    });
    bioimage::encode_tiff(pixels.view().into_dyn())
}
