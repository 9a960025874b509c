//! Turns `proto/` into Rust. The compiler is a library, so no `protoc` is needed.

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let files = protox::compile(
        [root.join("tensorflow_serving/prediction_service.proto")],
        [&root],
    )?;
    tonic_prost_build::configure()
        .bytes(".tensorflow.TensorProto.tensor_content")
        .emit_rerun_if_changed(false)
        .compile_fds(files)?;
    Ok(())
}
