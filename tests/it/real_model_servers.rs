//! NVIDIA's Triton and MLServer, which nobody of this project has written: the same network gives the same labels on them and
//! in the process. `scripts/need-model-servers` brings them; where it cannot, a sentence says so.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use bioimage::{Limits, encode_tiff};
use ndarray::{ArrayD, Axis, concatenate};
use serde_json::json;

use crate::peers::browser::Dashboard;
use crate::peers::cluster::{Cluster, IMAGE, eventually};
use crate::peers::kiosk_client::KioskClient;
use crate::peers::redis::{Redis, free_port};
use crate::peers::results::{cell_count, labels};

/// Far more than either needs to start.
const PATIENCE: Duration = Duration::from_secs(120);

const INPUT: &str = "uploads/many.tif";

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A server that ends with the value.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    /// Serves the project's networks; nothing where the server is not installed.
    fn start(kind: &str) -> Option<Self> {
        if !project("target/model-servers")
            .join(kind)
            .join("brought.txt")
            .exists()
        {
            println!("skipped: {kind} is not there, and scripts/need-model-servers says why");
            return None;
        }
        let port = free_port();
        let log =
            std::fs::File::create(project("target/model-servers").join(format!("{kind}.test.log")));
        let log = log.expect("a log");
        let process = Command::new(project("scripts/model-server"))
            .arg(kind)
            .arg(project("models"))
            .arg(port.to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("bash is there");
        let mut server = Self { process, port };
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = server.process.try_wait().expect("it can be asked");
            assert!(
                ended.is_none(),
                "{kind} ended: target/model-servers/{kind}.test.log says why"
            );
            assert!(Instant::now() < until, "{kind} does not start");
            sleep(Duration::from_millis(100));
        }
        Some(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The sample image three times in each direction: more tiles than either server takes at once.
fn many() -> ArrayD<f32> {
    let image = bioimage::decode(IMAGE, "nuclei.png", &Limits::default()).expect("a picture");
    let gray = image.index_axis(Axis(2), 0);
    let row = concatenate(Axis(1), &[gray.view(), gray.view(), gray.view()]).expect("equal rows");
    concatenate(Axis(0), &[row.view(), row.view(), row.view()]).expect("equal columns")
}

/// Labels of the image from the network that runs where the variables say.
fn labels_from(variables: &[(&str, &str)]) -> (usize, ArrayD<f32>) {
    let cluster = tokio::task::block_in_place(|| {
        let cluster = Cluster::with(Redis::start_in_memory(), Vec::new());
        tokio::runtime::Handle::current().block_on(cluster)
    });
    cluster.put(INPUT, &encode_tiff(many().view()));
    let mut pod = cluster
        .pod("pod-1")
        .unset("TF_HOST")
        .unset("TF_PORT")
        .set("NUCLEAR_MODEL", "RealNuclei:1")
        .set("MODEL_TILE_SIZE", "256");
    for (name, value) in variables {
        pod = pod.set(name, value);
    }
    let _pod = pod.start();
    let hash =
        cluster.wait_done(&cluster.submit(INPUT, &[("channels", "0,"), ("dimension_order", "")]));
    let entries = cluster.result(&hash);
    (cell_count(&entries[0].1), labels(&entries[0].1))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_network_gives_the_same_labels_wherever_it_runs() {
    let models = project("models");
    let models = models.to_str().expect("a plain path");
    let (cells, here) = labels_from(&[("MODEL_SERVER", "onnx"), ("MODEL_DIR", models)]);
    assert!(cells > 150, "{cells} of 387 nuclei");
    for kind in ["triton", "mlserver"] {
        let Some(server) = Server::start(kind) else {
            continue;
        };
        let port = server.port.to_string();
        let variables = [
            ("MODEL_SERVER", "oip"),
            ("MODEL_HOST", "127.0.0.1"),
            ("MODEL_PORT", port.as_str()),
        ];
        let (found, there) = labels_from(&variables);
        let differing = here.iter().zip(&there).filter(|(a, b)| a != b).count();
        assert_eq!((found, differing), (cells, 0), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_tells_the_models_that_they_list() {
    let cluster = Cluster::with(Redis::start_in_memory(), Vec::new()).await;
    for kind in ["triton", "mlserver"] {
        let Some(server) = Server::start(kind) else {
            continue;
        };
        let port = server.port.to_string();
        let expected = json!({ "models": { "RealNuclei": ["1"], "StarNuclei": ["1"] } });
        eventually("its models are loaded and listed", || {
            // Another one each time: what was told is kept for a minute.
            let settings = [("MODEL_SERVER", "oip"), ("TF_PORT", &*port)];
            let dashboard = Dashboard::start(&cluster, &settings);
            let client = KioskClient::new(dashboard.port);
            client.get("/api/models").json() == expected
        });
    }
}
