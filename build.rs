//! Turns `proto/` into Rust. The compiler is a library, so no `protoc` is needed.

use std::env;
use std::error::Error;
use std::path::Path;

#[expect(
    clippy::disallowed_methods,
    reason = "cargo speaks to build scripts through the environment"
)]
fn main() -> Result<(), Box<dyn Error>> {
    // Asked for when it runs: checkouts may share what is built.
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let files = protox::compile(
        [
            root.join("tensorflow_serving/prediction_service.proto"),
            root.join("tensorflow_serving/model_service.proto"),
            root.join("open_inference/grpc_predict_v2.proto"),
            root.join("onnx_outline.proto"),
        ],
        [&root],
    )?;
    tonic_prost_build::configure()
        .bytes(".tensorflow.TensorProto.tensor_content")
        .bytes(".tensorflow.serving.PredictResponse.Output.tensor")
        .bytes(".inference.ModelInferRequest.raw_input_contents")
        .bytes(".inference.ModelInferResponse.raw_output_contents")
        .emit_rerun_if_changed(false)
        .compile_fds(files)?;
    Ok(())
}
