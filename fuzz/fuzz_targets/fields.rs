//! Texts of a job's hash, of the environment and of the metadata cache, and tensors of a model server.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ndarray::ArrayD;
use prost::Message as _;
use redis_consumer::applications::Compartment;
use redis_consumer::applications::by_name::Pipeline;
use redis_consumer::consumers::output::ResultName;
use bioimage::to_bxyc;
use redis_consumer::serving::wire::{decode, decode_bytes};
use redis_consumer::serving::wire::tensorflow::TensorProto;
use redis_consumer::serving::{ModelId, Signature};
use redis_consumer::settings::{Env, Loader};
use redis_consumer::storage::StorageSettings;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(tensor) = TensorProto::decode(bytes) {
        let _ = decode(tensor);
    }
    let _ = decode_bytes(bytes.to_vec().into());
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = Pipeline::parse(text, text);
    let _ = text.parse::<Compartment>();
    let _ = to_bxyc(ArrayD::zeros(vec![2; text.chars().count().min(5)]), text);
    if let Ok(id) = text.parse::<ModelId>() {
        assert_eq!(id.to_string().parse(), Ok(id));
    }
    if let Ok(signature) = Signature::from_json(text) {
        let _ = signature.batch_size(64, 128);
    }
    let entry = ResultName::new(text).feature(0);
    assert!(!entry.starts_with('/') && entry.split('/').all(|part| part != ".."), "{entry:?} leaves its folder");
    let env: Env = [("STORAGE_BUCKET", text), ("STORAGE_MAX_BACKOFF", text), ("MAX_DOWNLOAD_BYTES", text)]
        .map(|(name, value)| (name, value.to_owned()))
        .into_iter()
        .collect();
    let mut loader = Loader::new(&env);
    let _ = StorageSettings::load(&mut loader);
    let _ = loader.finish();
});
