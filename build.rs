//! Turns `proto/` into Rust, and packs the files of the web page. The compiler is a library, so no `protoc` is needed.

use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::{env, fs};

use flate2::Compression;
use flate2::write::GzEncoder;

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
    if env::var_os("CARGO_FEATURE_DASHBOARD").is_some() {
        let assets = root.with_file_name("assets");
        println!("cargo:rerun-if-changed={}", assets.display());
        let packed = Path::new(&env::var("OUT_DIR")?).join("assets");
        pack(&assets, &packed)?;
    }
    Ok(())
}

/// Compresses each file of a folder: as browsers take them, and a quarter of the size in the binary.
fn pack(folder: &Path, target: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(target)?;
    for entry in fs::read_dir(folder)? {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        if path.is_dir() {
            pack(&path, &target.join(name))?;
            continue;
        }
        let mut packed = target.join(name).into_os_string();
        packed.push(".gz");
        let mut encoder = GzEncoder::new(fs::File::create(packed)?, Compression::best());
        encoder.write_all(&fs::read(path)?)?;
        encoder.finish()?;
    }
    Ok(())
}
