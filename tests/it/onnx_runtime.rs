//! ONNX Runtime in the process, by Microsoft's own library: `scripts/need-onnxruntime` brings it; where it cannot, a sentence says so.

use std::path::{Path, PathBuf};

use ndarray::ArrayD;

use crate::peers::cluster::{Cluster, IMAGE};
use crate::peers::redis::Redis;
use crate::peers::results::{cell_count, labels};

const INPUT: &str = "uploads/nuclei.png";

fn project(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    path.to_str().expect("a plain path").to_owned()
}

/// The library; nothing where it is not there.
fn library() -> Option<String> {
    let library = PathBuf::from(project("target/onnxruntime/libonnxruntime.so"));
    if !library.exists() {
        println!("skipped: ONNX Runtime is not there, and scripts/need-onnxruntime says why");
        return None;
    }
    Some(library.to_str().expect("a plain path").to_owned())
}

async fn cluster() -> Cluster {
    let cluster = Cluster::with(Redis::start_in_memory(), Vec::new()).await;
    cluster.put(INPUT, IMAGE);
    cluster
}

/// Labels of the sample image from the project's network, with these variables.
fn labels_with(cluster: &Cluster, name: &str, variables: &[(&str, &str)]) -> (usize, ArrayD<f32>) {
    let mut pod = cluster
        .pod(name)
        .unset("TF_HOST")
        .unset("TF_PORT")
        .set("MODEL_SERVER", "onnx")
        .set("MODEL_DIR", &project("models"))
        .set("NUCLEAR_MODEL", "RealNuclei:1");
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
async fn both_runtimes_give_the_same_labels() {
    let Some(library) = library() else { return };
    let cluster = cluster().await;
    let (cells, by_rten) = labels_with(&cluster, "pod-1", &[]);
    assert!(cells > 30, "{cells}");
    let variables = [
        ("MODEL_RUNTIME", "onnxruntime"),
        ("ORT_DYLIB_PATH", library.as_str()),
    ];
    let (found, by_onnx_runtime) = labels_with(&cluster, "pod-2", &variables);
    let pairs = by_rten.iter().zip(&by_onnx_runtime);
    let differing = pairs.filter(|(a, b)| a != b).count();
    assert_eq!((found, differing), (cells, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_passes_its_own_test_on_onnx_runtime() {
    let Some(library) = library() else { return };
    let cluster = cluster().await;
    let models = project("models");
    let variables = [
        ("CONSUMER_TYPE", "bioimageio"),
        ("MODEL_SERVER", "onnx"),
        ("MODEL_DIR", models.as_str()),
        ("BIOIMAGEIO_MODEL", "nuclei-stars:1"),
        ("MODEL_RUNTIME", "onnxruntime"),
        ("ORT_DYLIB_PATH", library.as_str()),
    ];
    let output = cluster.run(&["check"], &variables);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("its own test passes: labels"), "{text}");
    assert!(text.contains("MB of weights, gives"), "{text}");

    // A library for processors has no GPU, and does not pretend.
    let output = cluster.run(
        &["check"],
        &[&variables[..], &[("MODEL_DEVICE", "cuda")]].concat(),
    );
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("fail") && text.contains("CUDA"), "{text}");
    assert_eq!(output.status.code(), Some(4), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_library_that_is_missing_is_named() {
    let cluster = cluster().await;
    let models = project("models");
    let variables = [
        ("MODEL_SERVER", "onnx"),
        ("MODEL_DIR", models.as_str()),
        ("NUCLEAR_MODEL", "RealNuclei:1"),
        ("MODEL_RUNTIME", "onnxruntime"),
        ("ORT_DYLIB_PATH", "/nowhere/libonnxruntime.so"),
    ];
    let output = cluster.run(&["check"], &variables);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("ORT_DYLIB_PATH /nowhere/libonnxruntime.so cannot be loaded"),
        "{text}"
    );
    assert_eq!(output.status.code(), Some(4), "{text}");
}
